"""Evaluation of an estimator on held-out data: `metrics.json` and `report.html`."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.core.atomic_files import read_json, sha256, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME, Forecast, new_folder
from opendactyl.datasets.format.hand_check import check_hand
from opendactyl.datasets.format.manifest import Manifest, load_manifest
from opendactyl.datasets.loading.cache import CachedDataset, open_dataset
from opendactyl.geometry.rig import Rig
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.report import ReportContext, write_report
from opendactyl.vision.measures.metrics import compute_metrics
from opendactyl.vision.measures.predictions import (
    BatchEstimator,
    cached_size,
    predict,
    views_of,
)
from opendactyl.vision.training.checkpoints import best_checkpoint, first_stage, load_module
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.provenance import known_seeds

WARM_UP, TIMED = 10, 60
"""Number of untimed and of timed single estimates."""
REPORT_BYTES = 2e6
"""Size of the report."""


def open_model(path: Path) -> BatchEstimator:
    """Opens the estimator of a run folder or a bundle.

    Raises:
        InputError: there is none, or it is damaged.
    """
    network = path / "pose.onnx"
    if exists(network):
        try:
            expected = read_json(path / "manifest.json")["sha256"][network.name]
        except (TypeError, KeyError) as error:
            raise InputError(
                f"{path / 'manifest.json'} is not the manifest of a bundle; export it again"
            ) from error
        if expected != sha256(network):
            raise InputError(f"the checksum of {network} is wrong: the file was changed or damaged")
        return PoseEstimator(network, rig=_bundled_rig(path))
    if exists(path / "checkpoints"):
        return load_module(path)
    raise InputError(
        f"{path} is neither a run of train-vision nor a bundle; "
        "train one first with `make train-vision`"
    )


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Evaluates, writes the report, and returns the metrics.

    Raises:
        InputError: there is no model or no dataset, they do not match, or the model was trained on
            the dataset's seed.
        EnvironmentFailure: the estimates are not finite, or the disk is full.
    """
    if config.max_samples < 0:
        raise InputError(f"--max-samples is {config.max_samples}; 0 uses all")
    _check_out(config.out)
    model = _stages(config, open_model(config.model))
    data = _open(config, model)
    _check_held_out(config.model, data)
    out = new_folder(config.out, resume=config.resume)
    # An interrupted evaluation must not leave the results of an earlier one.
    for name in ("metrics.json", "report.html"):
        (out / name).unlink(missing_ok=True)
    subject = _subject(config, model, data)
    write_json(out / CONFIG_NAME, subject)
    count = min(len(data), config.max_samples or len(data))
    predictions = predict(model, data, count, Forecast(out, count, written=REPORT_BYTES))
    points = np.array(data.manifest.keypoints[: data.manifest.num_corners])
    metrics = compute_metrics(
        predictions, points[data.manifest.articulation.own], data.manifest.load_symmetry(), data.rig
    )
    write_json(out / "metrics.json", metrics)
    context = ReportContext(_latency(model, data), subject["chosen_by"])
    write_report(out / "report.html", predictions, metrics, data, context)
    return metrics


def _stages(config: EvalConfig, model: BatchEstimator) -> BatchEstimator:
    """The model, or its first stage if that is asked for, or all that the images suffice for."""
    if not isinstance(model, PoseModule):
        if config.coarse:
            raise InputError(
                f"{config.model} is a bundle, whose stages cannot be separated; name the run, or "
                "a bundle made by export --coarse"
            )
        return model
    native = load_manifest(config.data).rig["cameras"][0]["width"]
    if not config.coarse and (native >= model.image_size or not model.two_stages):
        return model
    first = first_stage(model)
    reason = "" if config.coarse else f": those of {config.data} have {native}"
    size = first.image_size
    print(f"measuring the first stage alone, on images of {size} pixels{reason}", file=sys.stderr)
    return first


def _check_out(out: Path) -> None:
    """Refuses the folder of another command, whose settings would be overwritten."""
    path = out / CONFIG_NAME
    if exists(path) and "config_hash" not in read_json(path):
        raise InputError(f"{path} contains the settings of another command; name another --out")


def _latency(model: BatchEstimator, data: CachedDataset) -> list[float]:
    """Times of single sequential estimates in milliseconds, with the images in memory."""
    images = next(views_of(data, model.image_size, 1))
    milliseconds = []
    for _ in range(TIMED + WARM_UP):
        start = time.perf_counter()
        model.estimate_batch(images)
        milliseconds.append((time.perf_counter() - start) * 1000)
    return milliseconds[WARM_UP:]


def _open(config: EvalConfig, model: BatchEstimator) -> CachedDataset:
    """Opens the dataset, and checks that its object and cameras fit the model."""
    _check_object(config, model)
    check_hand(config.model, load_manifest(config.data), config.data)
    if isinstance(model, PoseModule) and model.any_cameras:
        data = open_dataset(config.data, cached_size(model), cache=config.cache)
        model.set_cameras(data.rig)
        return data
    data = open_dataset(config.data, cached_size(model), model.views, config.cache)
    check_cameras(config.model, _trained_rig(config.model, model), data)
    return data


def _check_object(config: EvalConfig, model: BatchEstimator) -> None:
    if not _same_object(config.model, model, load_manifest(config.data)):
        raise InputError(
            f"{config.model} was trained on another object than that of {config.data}; render a "
            "dataset with the --object of its training data"
        )


def _same_object(path: Path, model: BatchEstimator, data: Manifest) -> bool:
    """Whether a dataset and an estimator have the same object; true if unknown."""
    if isinstance(model, PoseModule):
        points, others = np.array(model.hparams["points"]), np.array(data.keypoints)
        return points.shape == others.shape and np.allclose(points, others, atol=1e-6)
    manifest = read_json(path / "manifest.json")
    name = manifest.get("pose", {}).get("object") or manifest.get("policy", {}).get("object")
    files = (manifest.get("object") or {}).get("files")
    return name is None or (name, files) == (data.object, data.object_files)


def _subject(config: EvalConfig, model: BatchEstimator, data: CachedDataset) -> dict[str, Any]:
    """Identifies model and data: the content of `config.json`."""
    network, settings = config.model / "pose.onnx", data.manifest.config
    checkpoint = best_checkpoint(config.model)
    if isinstance(model, PoseModule):
        crops = model.two_stages
    else:
        crops = read_json(config.model / "manifest.json").get("pose", {}).get("crop_size")
    return {
        "model": config.model.name,
        "bundle_sha256": sha256(network) if exists(network) else None,
        "checkpoint_sha256": None if exists(network) else sha256(checkpoint),
        "data": config.data.name,
        "config_hash": data.manifest.config_hash,
        "seed": data.manifest.seed,
        "chosen_by": data.manifest.seed in known_seeds(config.model).get("val", []),
        "stages": 2 if crops else 1,
        **{name: settings[name] for name in ("states", "renderer")},
    }


def _trained_rig(path: Path, model: BatchEstimator) -> Rig:
    if isinstance(model, PoseModule):
        return Rig.from_dict(model.hparams["rig"])
    return _bundled_rig(path)


def _bundled_rig(path: Path) -> Rig:
    manifest = path / "manifest.json"
    content = read_json(manifest)
    try:
        return Rig.from_dict(content["rig"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{manifest} has no valid rig ({error}); export it again") from error


def check_cameras(path: Path, trained: Rig, data: CachedDataset) -> None:
    """Checks that a dataset has the nominal cameras that an estimator was trained with.

    Args:
        path: the estimator, for messages.
        trained: the cameras it was trained with.
        data: the dataset.

    Raises:
        InputError: the cameras differ.
    """
    trained = trained.resized(data.rig.cameras[0].width)
    for camera, other in zip(trained.cameras, data.rig.cameras, strict=True):
        same = np.allclose(camera.K, other.K) and np.allclose(
            camera.cam_from_hand, other.cam_from_hand, atol=1e-6
        )
        if not same:
            raise InputError(
                f"{path} was trained for rig {trained.name}, and camera {other.name!r} of the "
                f"dataset's rig {data.rig.name} differs; render the dataset with its --rig"
            )


def _check_held_out(model: Path, data: CachedDataset) -> None:
    seed = data.manifest.seed
    if seed in known_seeds(model).get("train", []):
        raise InputError(
            f"the model was trained on seed {seed}, which is also this dataset's; evaluate on one "
            "with another --seed"
        )
