"""Ablations of the estimator: one change at a time, equal training steps, the same tests.

    python -P -m opendactyl.benchmarks.studies.ablations base views-1 head-6d

renders the missing data, trains each variant for `--steps`, tests it on samples of the training
renderer and of a held-out one, and rewrites the table of all variants trained so far. Its figures
compare with each other only. The budget is in steps, not minutes, because the speed of a shared
machine varies.
"""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.core.atomic_files import read_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import open_run, to_plain
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.loading.augmentation_config import AugmentConfig

TRAIN_SEED, VAL_SEED = 3000, 3001
VAL_SAMPLES = 500
MOST_MINUTES = 24 * 60.0
"""Longer than any variant takes: `--steps` ends the training."""
CONTINUED = ("pose.safetensors", 6e-4)
"""Weights beside the shipped ones, and learning rate, of variants that continue a training."""
DONE = "tested"
"""The file that marks a variant as trained and tested."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A variant of the base."""

    states: str = "settled"
    """States of the training data: settled, random or policy."""
    appearance: str = "dactyl"
    """Appearance preset of the training data."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `VisionConfig` that differ."""
    augment: Mapping[str, float] | None = None
    """Fields of the augmentation that differ. Such a variant starts from the shipped weights, and
    is tested on images with such effects."""


VARIANTS = {
    "base": Variant(),
    "views-1": Variant(settings={"views": 1}),
    "views-2": Variant(settings={"views": 2}),
    "states-random": Variant(states="random"),
    "states-policy": Variant(states="policy"),
    "appearance-calibrated": Variant(appearance="calibrated"),
    "appearance-wide": Variant(appearance="wide"),
    "head-6d": Variant(settings={"head": "6d"}),
    "head-quaternion": Variant(settings={"head": "quaternion"}),
    "model-keypoint": Variant(settings={"model": "keypoint"}),
    "model-dactyl": Variant(settings={"model": "dactyl"}),
    "effects-base": Variant(augment={}),
    "effects-noise": Variant(augment={"noisy": 1.0}),
    "effects-blur": Variant(augment={"blur": 0.5}),
    "effects-defocus": Variant(augment={"defocus": 0.3}),
    "effects-motion-blur": Variant(augment={"motion_blur": 0.3}),
    "effects-exposure": Variant(augment={"exposure": 0.3}),
    "effects-demosaicing": Variant(augment={"demosaicing": 0.3}),
}
"""Each differs from `base`, or `effects-base`, in one setting."""


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """A dataset that all variants are tested on."""

    seed: int
    samples: int
    states: str = "settled"
    renderer: str = "classic"
    augment: Mapping[str, float] = field(default_factory=dict)
    """Probabilities of effects that are added to its images."""


TESTS = {
    "classic, settled": TestSet(seed=3002, samples=1000),
    "classic, policy": TestSet(seed=3003, samples=1000, states="policy"),
    "filament, settled": TestSet(seed=3004, samples=300, renderer="filament"),
}
"""The columns of the table."""
POLICY = TESTS["classic, policy"]
EFFECT_TESTS = {
    "no effect": POLICY,
    "noise": dataclasses.replace(POLICY, augment={"noisy": 1.0}),
    "blur": dataclasses.replace(POLICY, augment={"blur": 1.0}),
    "defocus": dataclasses.replace(POLICY, augment={"defocus": 1.0}),
    "motion blur": dataclasses.replace(POLICY, augment={"motion_blur": 1.0}),
    "exposure": dataclasses.replace(POLICY, augment={"exposure": 1.0}),
    "demosaicing": dataclasses.replace(POLICY, augment={"demosaicing": 1.0}),
    "filament": dataclasses.replace(TESTS["filament, settled"], seed=3005, states="policy"),
}
"""The columns of the table of effects."""


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """Settings of the ablations."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ("base",)
    """Variants to train."""
    out: Path = Path("runs/ablations")
    """Folder for the shared data, the runs and table.md."""
    steps: int = 800
    """Training steps of each variant, of 64 samples: 15 to 25 minutes on two cores."""
    samples: int = 8000
    """Training samples of each variant."""
    bundle: Path = Path("pretrained/reorient")
    """Bundle whose policy generates the states `policy`."""
    image_size: int = 128
    """Width and height of the input images."""


def run(config: AblationConfig) -> str:
    """Trains and tests the variants that are missing; returns the table.

    Raises:
        InputError: there is no such variant, or the folder has variants of other settings.
    """
    from opendactyl.vision.evaluation.config import EvalConfig
    from opendactyl.vision.evaluation.evaluate import evaluate  # slow to import

    if config.steps < 1:
        raise InputError(f"--steps is {config.steps}; it must be at least 1")
    for name in config.names:
        if name not in VARIANTS:
            raise InputError(f"no ablation {name!r}; choose from {', '.join(VARIANTS)}")
    settings = {k: v for k, v in to_plain(config).items() if k not in ("out", "names")}
    open_run(config.out, settings, resume=True)
    for name in config.names:
        if (config.out / name / DONE).exists():
            continue
        folder = _train(config, VARIANTS[name], config.out / name)
        for test, spec in tests_of(name).items():
            data = _dataset(config, spec.states, seed=spec.seed, samples=spec.samples,
                            renderer=spec.renderer)  # fmt: skip
            effects = dataclasses.replace(AugmentConfig.none(), **spec.augment)
            out = folder / _file_name(test)
            evaluate(EvalConfig(model=folder, data=data, out=out, augment=effects, resume=True))
        (config.out / name / DONE).touch()
    table = make_table(config.out)
    write_text(config.out / "table.md", table)
    return table


def _train(config: AblationConfig, variant: Variant, folder: Path) -> Path:
    from opendactyl.vision.training.config import SHIPPED_WEIGHTS, VisionConfig  # slow to import
    from opendactyl.vision.training.train import train

    training = _dataset(config, variant.states, seed=TRAIN_SEED, samples=config.samples,
                        appearance=variant.appearance)  # fmt: skip
    # Validation data has the training's appearance, so that no test data selects a checkpoint.
    val = _dataset(config, variant.states, seed=VAL_SEED, samples=VAL_SAMPLES,
                   appearance=variant.appearance)  # fmt: skip
    settings = VisionConfig(
        data=(training,), val_data=val, out=folder, image_size=config.image_size,
        max_steps=config.steps, max_minutes=MOST_MINUTES, resume=True, from_scratch=True,
    )  # fmt: skip
    if variant.augment is not None:
        weights, rate = CONTINUED
        settings = dataclasses.replace(
            settings, augment=dataclasses.replace(settings.augment, **variant.augment),
            from_scratch=False, warm_start=SHIPPED_WEIGHTS.with_name(weights), learning_rate=rate,
        )  # fmt: skip
    return train(dataclasses.replace(settings, **variant.settings))


def tests_of(name: str) -> dict[str, TestSet]:
    """The tests of a variant, by name."""
    return TESTS if VARIANTS[name].augment is None else EFFECT_TESTS


def _file_name(test: str) -> str:
    return test.replace(", ", "-").replace(" ", "-")


def _dataset(config: AblationConfig, states: str, **settings: Any) -> Path:
    """The dataset of these settings, which is rendered if it is missing."""
    from opendactyl.control.evaluation.policy_states import rollout_source
    from opendactyl.datasets.export.card import write_card
    from opendactyl.datasets.generation.generate import generate

    samples = settings.pop("samples")
    name = "-".join([states, *(str(value) for value in settings.values()), str(samples)])
    source = f"policy:{config.bundle}" if states == "policy" else states
    made = DatasetConfig(
        out=config.out / "data" / name, num_samples=samples, states=source, resume=True, **settings
    )
    return generate(made, rollout_source(source, made.object), write_card)


def make_table(out: Path) -> str:
    """Markdown tables of mean errors, degrees and millimetres, of every variant tested."""
    tables = []
    for tests in (TESTS, EFFECT_TESTS):
        rows = [
            f"| `{name}` | {' | '.join(_mean(out / name / _file_name(test)) for test in tests)} |"
            for name in VARIANTS
            if tests_of(name) is tests and (out / name / DONE).exists()
        ]
        if rows:
            head = [f"| variant | {' | '.join(tests)} |", "|---" * (len(tests) + 1) + "|"]
            tables.append("\n".join([*head, *rows]) + "\n")
    return "\n".join(tables)


def _mean(evaluation: Path) -> str:
    metrics = read_json(evaluation / "metrics.json")
    keys = ("rotation_error_deg", "position_error_mm")
    degrees, millimetres = (metrics[key]["mean"] for key in keys)
    return f"{degrees:.2f}°, {millimetres:.2f} mm"


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    prepare_gl(renders=True)
    run_study("ablations", __doc__, AblationConfig, run)
