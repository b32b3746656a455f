"""Joins an estimator and a policy, each from a run or from another bundle, into a bundle."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.control.bundle.load import (
    CARD_FILE,
    MANIFEST_FILE,
    POLICY_FILE,
    POSE_FILE,
    SCHEMA_VERSION,
    load_bundle,
)
from opendactyl.control.bundle.model_card import model_card
from opendactyl.control.packaging.metrics import figures_of_run
from opendactyl.core.atomic_files import read_json, replace_folder, sha256, write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import new_folder
from opendactyl.datasets.format.manifest import MANIFEST_NAME, load_manifest
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.models.weights import save_weights
from opendactyl.policy.export import export_policy, load_student
from opendactyl.policy.interface.tasks import TASKS, check_task
from opendactyl.sim.hands.names import CONTROL_PERIOD, JOINTS
from opendactyl.sim.objects.shipped import object_of
from opendactyl.vision.evaluation.evaluate import refuse_other_cameras
from opendactyl.vision.export import export_pose, measure_agreement
from opendactyl.vision.quantize import quantize
from opendactyl.vision.training.checkpoints import load_module
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.provenance import known_seeds

CONVENTIONS = {
    "control_period_s": CONTROL_PERIOD,
    "joints": list(JOINTS),
    "frames": {
        "hand": "origin over the palm, fixed to the mount; x to the fingertips, z up",
        "camera": "OpenCV: x right, y down, z forward; pixel centres at +0.5",
    },
    "units": "metres, radians, seconds; quaternions w, x, y, z with w >= 0",
}
"""What every manifest says alike."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Settings of `export`."""

    vision: Path = Path("runs/vision")
    """A run of train-vision, or a bundle, whose estimator is taken."""
    policy: Path | None = None
    """A run of train-policy, or a bundle, whose policy is taken; default the hardest task's run in
    runs/."""
    task: str = ""
    """The task the bundle is for, where it is not the one the policy was trained on: one that
    reorients can spin, too."""
    out: Path = Path("exports/bundle")
    """Folder of the bundle; an older bundle there is replaced."""
    rig: str | None = None
    """A rig's name or TOML file, for cameras other than those of training: --model keypoint."""
    quantize: Path | None = None
    """A dataset of the rig: the estimator's convolutions then compute in 8 bits, with ranges found
    on its samples. Smaller and quicker, for a little accuracy."""
    weights: Path | None = None
    """Also write the weights of the networks that come from runs into this folder as safetensors,
    for --warm-start."""
    check: Path | None = None
    """Export nothing; check this bundle and print its contract."""
    record: tuple[Path, ...] = ()
    """Export nothing; write what these folders of evaluate and eval-vision say of the bundle in
    --out into its manifest and model card."""


def default_policy_run() -> Path:
    """The run of the hardest task that was trained."""
    for task in reversed(TASKS):
        run = Path("runs") / f"policy-{task}"
        if (run / "checkpoints" / "best.ckpt").exists():
            return run
    raise InputError(
        "there is no trained policy in runs/; train one first with `make train-policy`"
    )


def export_bundle(config: ExportConfig) -> Path:
    """Writes a bundle, complete or not at all, and returns its folder.

    Raises:
        InputError: a run is missing or unfinished, or `out` holds something that is no bundle.
    """
    if config.task:
        check_task(config.task)
    _refuse_what_needs_runs(config)
    out = config.out.resolve() if config.out.is_symlink() else config.out
    if new_folder(out.parent, resume=True) and out.exists() and not _is_replaceable(out):
        raise InputError(f"{out} exists and is no bundle; name another folder with --out")
    folder = Path(tempfile.mkdtemp(prefix=".bundle-", dir=out.parent))
    try:
        # What may be refused comes first: an estimator takes half a minute to export.
        module = None if _is_bundle(config.vision) else _finished_estimator(config)
        policy = config.policy or default_policy_run()
        about, trained = _write_policy(policy, folder / POLICY_FILE)
        manifest: dict[str, Any] = {"schema": SCHEMA_VERSION}
        if module is None:
            manifest |= _bundled_estimator(config, folder / POSE_FILE, about["object"])
        else:
            manifest |= _trained_estimator(config, module, folder / POSE_FILE, about["object"])
        manifest["policy"] = about | ({"task": config.task} if config.task else {})
        manifest["training"]["policy"] = trained
        manifest |= CONVENTIONS
        manifest["sha256"] = {name: sha256(folder / name) for name in (POSE_FILE, POLICY_FILE)}
        write_json(folder / MANIFEST_FILE, manifest)
        write_text(folder / CARD_FILE, model_card(manifest))
        folder.chmod(0o755)
        if config.weights is not None:
            _save_weights(config.weights, config.vision, policy)
        replace_folder(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _refuse_two_objects(seen: str | None, held: str) -> None:
    if seen and seen != held:
        raise InputError(
            f"the estimator was trained to see the {seen}, the policy to hold the {held}; train "
            "both with the same --object"
        )


def _save_weights(folder: Path, vision: Path, policy: Path) -> None:
    if not _is_bundle(vision):
        estimator = load_module(vision).network.state_dict()
        save_weights(estimator, folder / "pose.safetensors", {"seeds": known_seeds(vision)})
    if not _is_bundle(policy):
        task = read_json(policy / "config.json")["task"]
        save_weights(load_student(policy), folder / f"policy-{task}.safetensors", {"task": task})


def _is_replaceable(folder: Path) -> bool:
    return folder.is_dir() and (_is_bundle(folder) or not any(folder.iterdir()))


def _is_bundle(folder: Path) -> bool:
    return (folder / MANIFEST_FILE).exists() and (folder / POLICY_FILE).exists()


def _refuse_what_needs_runs(config: ExportConfig) -> None:
    """Bundles hold finished networks, which can be copied but neither changed nor taken apart."""
    needed = {"rig": config.vision, "quantize": config.vision}
    if config.policy is not None and _is_bundle(config.policy):
        needed["weights"] = config.vision
    for option, source in needed.items():
        if getattr(config, option) is not None and _is_bundle(source):
            raise InputError(
                f"--{option} needs a run of training; {source} is a bundle, whose networks can "
                "only be copied"
            )


def _finished_estimator(config: ExportConfig) -> PoseModule:
    """The network of a run, looking through the cameras that were asked for."""
    module = load_module(config.vision)
    if not module.calibrated:
        raise InputError(
            f"the training in {config.vision} was interrupted before its uncertainty was scaled; "
            "finish it with train-vision --resume, which a small --max-minutes ends at once"
        )
    if config.rig is not None:
        module.look_through(load_rig(config.rig))
    return module


def _trained_estimator(
    config: ExportConfig, module: PoseModule, path: Path, held: str
) -> dict[str, Any]:
    """Writes a run's `pose.onnx`; returns the parts of a manifest that speak of it."""
    seen = object_of(module.hparams["points"])
    _refuse_two_objects(seen, held)
    rig = Rig.from_dict(module.hparams["rig"])
    settings = read_json(config.vision / "config.json")
    return {
        "pose": _export_pose(config, module, rig, path) | {"object": seen},
        "rig": rig.to_dict(),
        "training": {"vision": settings, "seeds": known_seeds(config.vision)},
        # Of another rig or of 8 bits nothing was measured.
        "metrics": {} if config.rig or config.quantize else figures_of_run(config.vision),
    }


def _bundled_estimator(config: ExportConfig, path: Path, held: str) -> dict[str, Any]:
    """Copies a bundle's `pose.onnx`; returns the parts of a manifest that speak of it."""
    manifest = load_bundle(config.vision).manifest
    pose = {"object": manifest["policy"]["object"]} | manifest["pose"]
    _refuse_two_objects(pose["object"], held)
    shutil.copyfile(config.vision / POSE_FILE, path)
    training, metrics = manifest.get("training", {}), manifest.get("metrics", {})
    return {
        "pose": pose,
        "rig": manifest["rig"],
        "training": {name: training[name] for name in ("vision", "seeds") if name in training},
        "metrics": {name: metrics[name] for name in ("vision", "sight") if name in metrics},
    }


def _write_policy(source: Path, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes `policy.onnx`; returns a manifest's words on it, and its training's settings."""
    if not _is_bundle(source):
        return export_policy(source, path), read_json(source / "config.json")
    manifest = load_bundle(source).manifest
    shutil.copyfile(source / POLICY_FILE, path)
    return manifest["policy"], manifest.get("training", {}).get("policy", {})


def _export_pose(config: ExportConfig, module: PoseModule, rig: Rig, path: Path) -> dict[str, Any]:
    ranges = None
    if config.quantize is not None:
        ranges = open_dataset(config.quantize, module.image_size, module.views)
        refuse_other_cameras(config.vision, rig, ranges)
    about = export_pose(module, rig, path)
    if ranges is not None:
        quantize(path, ranges)
    about["quantized"] = config.quantize is not None
    settings = read_json(config.vision / "config.json")
    seen = Path(settings["val_data"])
    if config.rig is None and _is_there(seen, settings.get("data_hashes", [])):
        data = open_dataset(seen, module.image_size, module.views)
        about["agreement"] = measure_agreement(module, path, data)
    return about


def _is_there(dataset: Path, hashes: list[str]) -> bool:
    """Whether a folder still holds the dataset that a training used: its files may move."""
    return (dataset / MANIFEST_NAME).exists() and load_manifest(dataset).config_hash in hashes
