"""Builds a bundle from an estimator and a policy, each of a run or of another bundle."""

import shutil
import uuid
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
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.control.packaging.metrics import metrics_of_run
from opendactyl.core.atomic_files import read_json, replace_folder, sha256, write_json, write_text
from opendactyl.core.errors import InputError, file_errors
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import new_folder
from opendactyl.datasets.format.manifest import MANIFEST_NAME, load_manifest
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.models.weights import save_weights
from opendactyl.policy.export import export_policy, load_student, training_record
from opendactyl.policy.interface.tasks import TASKS, check_task
from opendactyl.sim.hands.names import CONTROL_PERIOD, JOINTS
from opendactyl.sim.objects.shipped import object_of
from opendactyl.vision.evaluation.evaluate import check_cameras
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
"""Entries that are the same in every manifest."""


def default_policy_run() -> Path:
    """Returns the run of the hardest task in runs/ that has a policy."""
    for task in reversed(TASKS):
        run = Path("runs") / f"policy-{task}"
        if exists(run / "checkpoints" / "best.ckpt"):
            return run
    raise InputError(
        "there is no trained policy in runs/; train one first with `make train-policy`"
    )


def export_bundle(config: ExportConfig) -> Path:
    """Writes a bundle atomically and returns its folder.

    Raises:
        InputError: a run is missing or unfinished, or `out` holds files that are not a bundle's.
        EnvironmentFailure: the disk failed.
    """
    if config.task:
        check_task(config.task)
    _refuse_what_needs_runs(config)
    out = config.out.resolve() if config.out.is_symlink() else config.out
    new_folder(out.parent, resume=True)
    _refuse_other_files(out)
    folder = _temporary_folder(out.parent)
    try:
        # Everything that can be refused comes before the export, which takes half a minute.
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
        if config.weights is not None:
            _save_weights(config.weights, config.vision, policy)
        _refuse_other_files(out)
        replace_folder(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _temporary_folder(parent: Path) -> Path:
    folder = parent / f".bundle-{uuid.uuid4().hex}"
    with file_errors(f"cannot write to {parent}", "name another --out"):
        folder.mkdir()  # mkdtemp would ignore the umask
    return folder


def _refuse_two_objects(estimated: str | None, manipulated: str) -> None:
    if estimated and estimated != manipulated:
        raise InputError(
            f"the estimator was trained for the {estimated}, the policy for the {manipulated}; "
            "train both with the same --object"
        )


def _save_weights(folder: Path, vision: Path, policy: Path) -> None:
    if not _is_bundle(vision):
        estimator = load_module(vision).network.state_dict()
        save_weights(estimator, folder / "pose.safetensors", {"seeds": known_seeds(vision)})
    if not _is_bundle(policy):
        record = training_record(policy)
        about = {name: record[name] for name in ("task", "seeds", "seeds_complete")}
        path = folder / f"policy-{record['task']}.safetensors"
        save_weights(load_student(policy), path, about)


def _refuse_other_files(out: Path) -> None:
    """Checks that replacing the folder removes nothing but a bundle."""
    if not exists(out):
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file; name a folder with --out")
    names = {path.name for path in out.iterdir()}
    others = names - {POSE_FILE, POLICY_FILE, MANIFEST_FILE, CARD_FILE}
    if others or (names and not _is_bundle(out)):
        also = f"also holds {', '.join(sorted(others))}" if _is_bundle(out) else "is not a bundle"
        raise InputError(
            f"{out} {also}, and export replaces the whole folder; move the other files elsewhere, "
            "or name another folder with --out"
        )


def _is_bundle(folder: Path) -> bool:
    policy = folder / POLICY_FILE  # `load_bundle` reports a dangling link
    return exists(folder / MANIFEST_FILE) and (exists(policy) or policy.is_symlink())


def _refuse_what_needs_runs(config: ExportConfig) -> None:
    """Checks that no option needs the trained weights of a bundle, which holds ONNX files only."""
    needed = {"rig": config.vision, "quantize": config.vision}
    if config.policy is not None and _is_bundle(config.policy):
        needed["weights"] = config.vision
    for option, source in needed.items():
        if getattr(config, option) is not None and _is_bundle(source):
            raise InputError(
                f"--{option} needs a run of training; {source} is a bundle, which holds no trained "
                "weights"
            )


def _finished_estimator(config: ExportConfig) -> PoseModule:
    """Loads the network of a run, with the rig in the settings."""
    module = load_module(config.vision)
    if not module.calibrated:
        raise InputError(
            f"the covariance of {config.vision} is not calibrated: its training was interrupted, "
            "or ended in a version with other covariances; finish it with train-vision --resume "
            "and a small --max-minutes"
        )
    if config.rig is not None:
        module.set_cameras(load_rig(config.rig))
    return module


def _trained_estimator(
    config: ExportConfig, module: PoseModule, path: Path, manipulated: str
) -> dict[str, Any]:
    """Writes a run's `pose.onnx`; returns its entries of the manifest."""
    estimated = object_of(module.hparams["points"])
    _refuse_two_objects(estimated, manipulated)
    rig = Rig.from_dict(module.hparams["rig"])
    settings = read_json(config.vision / "config.json")
    return {
        "pose": _export_pose(config, module, rig, path) | {"object": estimated},
        "rig": rig.to_dict(),
        "training": {"vision": settings, "seeds": known_seeds(config.vision)},
        # The run has no metrics for another rig or for 8 bits.
        "metrics": {} if config.rig or config.quantize else metrics_of_run(config.vision),
    }


def _bundled_estimator(config: ExportConfig, path: Path, manipulated: str) -> dict[str, Any]:
    """Copies a bundle's `pose.onnx`; returns its entries of the manifest."""
    manifest = load_bundle(config.vision).manifest
    pose = {"object": manifest["policy"]["object"]} | manifest["pose"]
    _refuse_two_objects(pose["object"], manipulated)
    shutil.copyfile(config.vision / POSE_FILE, path)
    training, metrics = manifest.get("training", {}), manifest.get("metrics", {})
    return {
        "pose": pose,
        "rig": manifest["rig"],
        "training": {name: training[name] for name in ("vision", "seeds") if name in training},
        "metrics": {name: metrics[name] for name in ("vision", "sight") if name in metrics},
    }


def _write_policy(source: Path, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes `policy.onnx`; returns its entry of the manifest, and the record of its training."""
    if not _is_bundle(source):
        return export_policy(source, path), training_record(source)
    manifest = load_bundle(source).manifest
    shutil.copyfile(source / POLICY_FILE, path)
    return manifest["policy"], manifest.get("training", {}).get("policy", {})


def _export_pose(config: ExportConfig, module: PoseModule, rig: Rig, path: Path) -> dict[str, Any]:
    samples = None
    if config.quantize is not None:
        samples = open_dataset(config.quantize, module.image_size, module.views)
        check_cameras(config.vision, rig, samples)
    about = export_pose(module, rig, path)
    if samples is not None:
        quantize(path, samples)
    about["quantized"] = config.quantize is not None
    settings = read_json(config.vision / "config.json")
    val_data = Path(settings["val_data"])
    if config.rig is None and _holds_dataset(val_data, settings.get("data_hashes", [])):
        data = open_dataset(val_data, module.image_size, module.views)
        about["agreement"] = measure_agreement(module, path, data)
    return about


def _holds_dataset(dataset: Path, hashes: list[str]) -> bool:
    """Whether a folder still holds the dataset of a training: files may have been moved."""
    return exists(dataset / MANIFEST_NAME) and load_manifest(dataset).config_hash in hashes
