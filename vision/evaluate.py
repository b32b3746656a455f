"""Evaluates an estimator on a dataset it has not seen: `metrics.json` and `report.html`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.datasets.cache import CachedDataset, open_dataset
from opendactyl.datasets.manifest import load_manifest
from opendactyl.files.atomic import read_json, sha256, write_json
from opendactyl.files.errors import InputError
from opendactyl.files.runs import new_folder
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.vision.checkpoints import load_module
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.metrics import compute_metrics
from opendactyl.vision.module import PoseModule
from opendactyl.vision.predictions import BatchEstimator, predict
from opendactyl.vision.report import write_report


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of `eval-vision`."""

    model: Path = Path("runs/vision")
    """A run of `train-vision`, or a bundle."""
    data: Path = Path("data/val")
    """The dataset to evaluate on. A run of --model keypoint takes one of any cameras."""
    out: Path = Path("runs/eval-vision")
    """Folder for metrics.json and report.html."""
    max_samples: int = 0
    """Use only the first samples; 0 uses all."""
    resume: bool = False
    """Write into a folder that is not empty."""


def open_model(path: Path) -> BatchEstimator:
    """The estimator in a run folder or a bundle.

    Raises:
        InputError: there is neither.
    """
    network = path / "pose.onnx"
    if network.exists():
        manifest = read_json(path / "manifest.json")
        if manifest.get("sha256", {}).get(network.name) != sha256(network):
            raise InputError(f"the checksum of {network} is wrong: the file was changed or damaged")
        return PoseEstimator(network)
    if (path / "checkpoints").exists():
        return load_module(path)
    raise InputError(
        f"{path} is neither a run of train-vision nor a bundle; "
        "train one first with `make train-vision`"
    )


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Evaluates and writes the report; returns the metrics.

    Raises:
        InputError: no model or dataset, or the model was trained on this very dataset's seed.
    """
    model = open_model(config.model)
    data = _open(config, model)
    _refuse_training_data(config.model, data)
    out = new_folder(config.out, resume=config.resume)
    # An interruption must not leave older figures beside the names of other data.
    (out / "metrics.json").unlink(missing_ok=True)
    write_json(out / "config.json", _what_is_measured(config, data))
    count = min(len(data), config.max_samples or len(data))
    began = time.perf_counter()
    predictions = predict(model, data, count)
    milliseconds = (time.perf_counter() - began) / count * 1000
    points = np.array(data.manifest.keypoints[: data.manifest.num_corners])
    metrics = compute_metrics(predictions, points)
    write_json(out / "metrics.json", metrics)
    write_report(out / "report.html", predictions, metrics, data, milliseconds)
    return metrics


def _open(config: EvalConfig, model: BatchEstimator) -> CachedDataset:
    """The dataset, of the cameras that the model knows, or may be shown."""
    trained = _trained_rig(config.model, model)
    cameras = load_manifest(config.data).load_rig().resized(model.image_size).cameras
    same = len(cameras) >= model.views and _other_camera(trained, cameras) is None
    if isinstance(model, PoseModule) and model.any_cameras and not same:
        data = open_dataset(config.data, model.image_size)
        model.look_through(data.rig)
        return data
    data = open_dataset(config.data, model.image_size, model.views)
    refuse_other_cameras(config.model, trained, data)
    return data


def _what_is_measured(config: EvalConfig, data: CachedDataset) -> dict[str, Any]:
    """Model and data, as a record of the measurement names them."""
    network, about = config.model / "pose.onnx", data.manifest.config
    return {
        "model": config.model.name,
        "bundle_sha256": sha256(network) if network.exists() else None,
        "data": config.data.name,
        "config_hash": data.manifest.config_hash,
        "seed": data.manifest.seed,
        "chosen_by": data.manifest.seed in _known_seeds(config.model).get("val", []),
        **{name: about[name] for name in ("states", "renderer")},
    }


def _trained_rig(path: Path, model: BatchEstimator) -> Rig:
    known = (
        model.hparams["rig"]
        if isinstance(model, PoseModule)
        else read_json(path / "manifest.json")["rig"]
    )
    return Rig.from_dict(known)


def refuse_other_cameras(path: Path, trained: Rig, data: CachedDataset) -> None:
    """An estimator knows its cameras; pictures of others would only look like bad estimates.

    Args:
        path: the estimator, for messages.
        trained: the cameras it knows.
        data: samples it is asked about.

    Raises:
        InputError: they were taken by other cameras.
    """
    wrong = _other_camera(trained, data.rig.cameras)
    if wrong is not None:
        raise InputError(
            f"{path} was trained for rig {trained.name}, and camera {wrong!r} of the dataset's rig "
            f"{data.rig.name} is another; render the dataset with its --rig"
        )


def _other_camera(trained: Rig, cameras: Sequence[Camera]) -> str | None:
    """The first of the cameras that is not the trained rig's in its place."""
    for mine, theirs in zip(trained.cameras, cameras, strict=False):
        same = np.allclose(mine.K, theirs.K) and np.allclose(
            mine.cam_from_hand, theirs.cam_from_hand, atol=1e-6
        )
        if not same:
            return theirs.name
    return None


def data_seeds(config: dict[str, Any]) -> dict[str, list[int]]:
    """The seeds a run was trained on and chosen by, as far as its datasets are still there.

    Args:
        config: the run's settings.

    Returns:
        Lists under `train` and `val`.
    """
    folders = {"train": config.get("data", []), "val": [config.get("val_data", "")]}
    return {
        use: [
            read_json(Path(name) / "manifest.json")["seed"]
            for name in names
            if (Path(name) / "manifest.json").exists()
        ]
        for use, names in folders.items()
    }


def _known_seeds(model: Path) -> dict[str, list[int]]:
    if (model / "config.json").exists():
        return data_seeds(read_json(model / "config.json"))
    manifest = read_json(model / "manifest.json")
    return manifest.get("training", {}).get("seeds", {})


def _refuse_training_data(model: Path, data: CachedDataset) -> None:
    seed = data.manifest.seed
    if seed in _known_seeds(model).get("train", []):
        raise InputError(
            f"the model was trained on seed {seed}, which is this dataset's as well; "
            "evaluate on one with another --seed"
        )
