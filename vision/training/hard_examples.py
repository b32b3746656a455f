"""Hard-example mining: renders states with large estimation errors (DeXtreme's replay)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig
from opendactyl.datasets.generation.generate import generate_resolved
from opendactyl.datasets.generation.shard_builder import MakeSource

SEED_OFFSET = 1_000_003
"""Added to the first training dataset's seed, so that the roll-outs are others than its own."""

FindSource = Callable[[str, str, str], MakeSource | None]
"""Returns the source that `--states`, `--object` and `--hand` name; from a higher package."""


def mine(data: Path, bundle: Path, samples: int, out: Path, find_source: FindSource) -> Path:
    """Renders a dataset of hard states, or resumes it; returns its folder.

    Args:
        data: the dataset whose rig, object, appearance and image size are used.
        bundle: the bundle whose estimator and policy are run.
        samples: number of samples.
        out: folder of the new dataset.
        find_source: returns the source of the states.
    """
    template = ResolvedConfig.from_content(load_manifest(data).config, DatasetConfig(out=data))
    config = dataclasses.replace(
        template.config, out=out, num_samples=samples, seed=template.config.seed + SEED_OFFSET,
        states=f"mined:{bundle}", resume=True,
    )  # fmt: skip
    make_source = find_source(config.states, config.object, config.hand)
    return generate_resolved(dataclasses.replace(template, config=config), make_source, write_card)
