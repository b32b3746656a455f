"""The estimator of a bundle: exported from a run, or copied from another bundle."""

import shutil
from pathlib import Path
from typing import Any

from opendactyl.control.bundle.load import (
    MANIFEST_FILE,
    POLICY_FILE,
    POSE_FILE,
    load_pose_bundle,
)
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.control.packaging.metrics import metrics_of_run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.format.compatibility import check_hand
from opendactyl.datasets.format.manifest import MANIFEST_NAME, load_manifest
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.sim.assets.storage import stored_name
from opendactyl.sim.objects.shipped import object_of
from opendactyl.vision.evaluation.data import check_cameras
from opendactyl.vision.export import export_pose, measure_agreement
from opendactyl.vision.measures.predictions import cached_size
from opendactyl.vision.quantize import quantize
from opendactyl.vision.raw_frames import check_raw_rig
from opendactyl.vision.training.checkpoints import first_stage, load_module
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.provenance import known_seeds


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle; one with a dangling link counts, and loading reports it."""
    if not exists(folder / MANIFEST_FILE):
        return False
    networks = [folder / POSE_FILE, folder / POLICY_FILE]
    return any(exists(path) or path.is_symlink() for path in networks)


def finished_estimator(config: ExportConfig) -> PoseModule:
    """Loads the network of a run, with the rig in the settings.

    Raises:
        InputError: the run is missing or unfinished, or works with other cameras only.
    """
    module = load_module(config.vision)
    if not module.calibrated:
        raise InputError(
            f"the covariance of {config.vision} is not calibrated: its training was interrupted, "
            "or ended in a version with other covariances; finish it with train-vision --resume "
            "and a small --max-minutes"
        )
    if config.coarse:
        module = first_stage(module)
    if config.rig is not None:
        rig = load_rig(config.rig)
        if module.any_cameras:
            module.set_cameras(rig.regions())
        else:
            _check_raw_rig(config, rig, module)
    return module


def _check_raw_rig(config: ExportConfig, rig: Rig, module: PoseModule) -> None:
    try:
        check_raw_rig(rig, Rig.from_dict(module.hparams["rig"]))
    except InputError as error:
        raise InputError(
            f"model {module.hparams['model']!r} works with the cameras it was trained on only, and "
            f"{error}; train --model keypoint, or train with --rig {config.rig}"
        ) from error


def trained_estimator(
    config: ExportConfig, module: PoseModule, path: Path, manipulated: str | None
) -> dict[str, Any]:
    """Writes a run's `pose.onnx`; returns its entries of the manifest."""
    estimated = stored_name(config.vision, "object") or object_of(module.hparams["points"])
    _refuse_two_objects(estimated, manipulated)
    rig = Rig.from_dict(module.hparams["rig"])
    raw_rig = load_rig(config.rig).to_dict() if config.rig else module.hparams["raw_rig"]
    settings = read_json(config.vision / "config.json")
    # The run has no metrics for other cameras, for 8 bits, or for its first stage.
    changed = _other_cameras(config, module) or config.quantize or config.coarse
    return {
        "pose": _export_pose(config, module, rig, path) | {"object": estimated},
        "rig": rig.to_dict(),
        **({} if raw_rig is None else {"raw_rig": raw_rig}),
        "training": {"vision": settings, "seeds": known_seeds(config.vision)},
        "metrics": {} if changed else metrics_of_run(config.vision),
    }


def bundled_estimator(config: ExportConfig, path: Path, manipulated: str | None) -> dict[str, Any]:
    """Copies a bundle's `pose.onnx`; returns its entries of the manifest."""
    bundle = load_pose_bundle(config.vision)
    manifest = bundle.manifest
    pose = {"object": bundle.object_name or None} | manifest["pose"]
    _refuse_two_objects(pose["object"], manipulated)
    shutil.copyfile(config.vision / POSE_FILE, path)
    training, metrics = manifest.get("training", {}), manifest.get("metrics", {})
    return {
        "pose": pose,
        **{name: manifest[name] for name in ("rig", "raw_rig") if name in manifest},
        "training": {name: training[name] for name in ("vision", "seeds") if name in training},
        "metrics": {name: metrics[name] for name in ("vision", "sight") if name in metrics},
    }


def _refuse_two_objects(estimated: str | None, manipulated: str | None) -> None:
    if estimated and manipulated and estimated != manipulated:
        raise InputError(
            f"the estimator was trained for the {estimated}, the policy for the {manipulated}; "
            "train both with the same --object"
        )


def _export_pose(config: ExportConfig, module: PoseModule, rig: Rig, path: Path) -> dict[str, Any]:
    samples = None
    if config.quantize is not None:
        manifest = load_manifest(config.quantize)
        check_cameras(config.vision, rig, manifest)
        check_hand(config.vision, manifest, config.quantize)
        samples = open_dataset(config.quantize, cached_size(module), module.views, config.cache)
    about = export_pose(module, rig, path)
    if samples is not None:
        quantize(path, samples, module.image_size)
    about["quantized"] = config.quantize is not None
    settings = read_json(config.vision / "config.json")
    val_data = Path(settings["val_data"])
    if not _other_cameras(config, module) and _holds_dataset(
        val_data, settings.get("data_hashes", [])
    ):
        data = open_dataset(val_data, cached_size(module), module.views, config.cache)
        about["agreement"] = measure_agreement(module, path, data)
    return about


def _other_cameras(config: ExportConfig, module: PoseModule) -> bool:
    return config.rig is not None and module.any_cameras


def _holds_dataset(dataset: Path, hashes: list[str]) -> bool:
    """Whether a folder still holds the dataset of a training: files may have been moved."""
    return exists(dataset / MANIFEST_NAME) and load_manifest(dataset).config_hash in hashes
