"""Evaluates an estimator on a dataset it has not seen: `metrics.json` and `report.html`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.core.atomic_files import read_json, sha256, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import CONFIG_NAME, new_folder
from opendactyl.datasets.format.manifest import Manifest, load_manifest
from opendactyl.datasets.loading.cache import CachedDataset, open_dataset
from opendactyl.geometry.rig import Rig
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluation.report import Circumstances, write_report
from opendactyl.vision.measures.metrics import compute_metrics
from opendactyl.vision.measures.predictions import BatchEstimator, predict
from opendactyl.vision.training.checkpoints import best_checkpoint, load_module
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.provenance import known_seeds

WARM_UP, TIMED = 10, 60
"""Single estimates before the clock counts, and those that are timed."""


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
        try:
            known = read_json(path / "manifest.json")["sha256"][network.name]
        except (TypeError, KeyError) as error:
            raise InputError(
                f"{path / 'manifest.json'} is no bundle manifest; export it again"
            ) from error
        if known != sha256(network):
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
    if config.max_samples < 0:
        raise InputError(f"--max-samples is {config.max_samples}; 0 uses all")
    _refuse_other_folders(config.out)
    model = open_model(config.model)
    data = _open(config, model)
    _refuse_training_data(config.model, data)
    out = new_folder(config.out, resume=config.resume)
    # An interruption must not leave older figures beside the names of other data.
    for name in ("metrics.json", "report.html"):
        (out / name).unlink(missing_ok=True)
    measured = _what_is_measured(config, data)
    write_json(out / CONFIG_NAME, measured)
    count = min(len(data), config.max_samples or len(data))
    predictions = predict(model, data, count)
    points = np.array(data.manifest.keypoints[: data.manifest.num_corners])
    metrics = compute_metrics(predictions, points)
    write_json(out / "metrics.json", metrics)
    about = Circumstances(_latency(model, data), measured["chosen_by"])
    write_report(out / "report.html", predictions, metrics, data, about)
    return metrics


def _refuse_other_folders(out: Path) -> None:
    """The folder of a run or of another command has settings that must not be lost."""
    path = out / CONFIG_NAME
    if path.exists() and "config_hash" not in read_json(path):
        raise InputError(f"{path} holds the settings of another command; name another --out")


def _latency(model: BatchEstimator, data: CachedDataset) -> list[float]:
    """Milliseconds of single estimates, one after the other, images in memory."""
    images = np.array(data.images[:1])
    milliseconds = []
    for _ in range(TIMED + WARM_UP):
        began = time.perf_counter()
        model.estimate_batch(images)
        milliseconds.append((time.perf_counter() - began) * 1000)
    return milliseconds[WARM_UP:]


def _open(config: EvalConfig, model: BatchEstimator) -> CachedDataset:
    """The dataset, of the cameras that the model knows, or may be shown."""
    _refuse_another_object(config, model)
    if isinstance(model, PoseModule) and model.any_cameras:
        data = open_dataset(config.data, model.image_size)
        model.look_through(data.rig)
        return data
    data = open_dataset(config.data, model.image_size, model.views)
    refuse_other_cameras(config.model, _trained_rig(config.model, model), data)
    return data


def _refuse_another_object(config: EvalConfig, model: BatchEstimator) -> None:
    if not _knows_object(config.model, model, load_manifest(config.data)):
        raise InputError(
            f"{config.model} was trained to see another object than {config.data} shows; render a "
            "dataset with the --object of its training data"
        )


def _knows_object(path: Path, model: BatchEstimator, data: Manifest) -> bool:
    """Whether a dataset shows what an estimator was trained to see, as far as it is known."""
    if isinstance(model, PoseModule):
        points, theirs = np.array(model.hparams["points"]), np.array(data.keypoints)
        return points.shape == theirs.shape and np.allclose(points, theirs, atol=1e-6)
    about = read_json(path / "manifest.json")
    known = about.get("pose", {}).get("object") or about.get("policy", {}).get("object")
    return known in (None, data.object)


def _what_is_measured(config: EvalConfig, data: CachedDataset) -> dict[str, Any]:
    """Model and data, as a record of the measurement names them."""
    network, about = config.model / "pose.onnx", data.manifest.config
    checkpoint = best_checkpoint(config.model)
    return {
        "model": config.model.name,
        "bundle_sha256": sha256(network) if network.exists() else None,
        "checkpoint_sha256": None if network.exists() else sha256(checkpoint),
        "data": config.data.name,
        "config_hash": data.manifest.config_hash,
        "seed": data.manifest.seed,
        "chosen_by": data.manifest.seed in known_seeds(config.model).get("val", []),
        **{name: about[name] for name in ("states", "renderer")},
    }


def _trained_rig(path: Path, model: BatchEstimator) -> Rig:
    if isinstance(model, PoseModule):
        return Rig.from_dict(model.hparams["rig"])
    manifest = path / "manifest.json"
    try:
        return Rig.from_dict(read_json(manifest)["rig"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{manifest} names no rig ({error!r}); export it again") from error


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
    seed = data.manifest.seed
    if seed in known_seeds(model).get("train", []):
        raise InputError(
            f"the model was trained on seed {seed}, which is this dataset's as well; "
            "evaluate on one with another --seed"
        )
