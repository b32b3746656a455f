"""Evaluates an estimator on a dataset it has not seen: `metrics.json` and `report.html`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.datasets.cache import CachedDataset, open_dataset
from opendactyl.files.atomic import read_json, sha256, write_json
from opendactyl.files.errors import InputError
from opendactyl.files.runs import new_folder
from opendactyl.geometry.rig import Rig
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.metrics import compute_metrics
from opendactyl.vision.module import PoseModule
from opendactyl.vision.predictions import BatchEstimator, predict
from opendactyl.vision.report import write_report
from opendactyl.vision.train import load_module


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
    if isinstance(model, PoseModule) and model.any_cameras:
        data = open_dataset(config.data, model.image_size)
        model.look_through(data.rig)
    else:
        data = open_dataset(config.data, model.image_size, model.views)
        refuse_other_cameras(config.model, _trained_rig(config.model, model), data)
    _refuse_training_data(config.model, data)
    out = new_folder(config.out, resume=config.resume)
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


def _what_is_measured(config: EvalConfig, data: CachedDataset) -> dict[str, Any]:
    """Model and data, as a record of the measurement names them."""
    network, about = config.model / "pose.onnx", data.manifest.config
    return {
        "model": str(config.model),
        "bundle_sha256": sha256(network) if network.exists() else None,
        "data": str(config.data),
        "seed": data.manifest.seed,
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
    for mine, theirs in zip(trained.cameras, data.rig.cameras, strict=True):
        same = np.allclose(mine.K, theirs.K) and np.allclose(
            mine.cam_from_hand, theirs.cam_from_hand, atol=1e-6
        )
        if not same:
            raise InputError(
                f"{path} was trained for rig {trained.name}, and camera {theirs.name!r} of the "
                f"dataset's rig {data.rig.name} is another; render the dataset with its --rig"
            )


def _refuse_training_data(model: Path, data: CachedDataset) -> None:
    path = model / "config.json"
    if not path.exists():
        return
    for folder in map(Path, read_json(path).get("data", [])):
        if not (folder / "manifest.json").exists():
            continue
        seed = read_json(folder / "manifest.json").get("seed")
        if seed == data.manifest.seed:
            raise InputError(
                f"the model was trained on seed {seed}, which is this dataset's as well; "
                "evaluate on one with another --seed"
            )
