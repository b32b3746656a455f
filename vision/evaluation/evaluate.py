"""Evaluation of an estimator on held-out data: `metrics.json` and `report.html`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import read_json, sha256, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import (
    CONFIG_NAME,
    Forecast,
    new_folder,
    removed_on_failure,
    to_plain,
)
from opendactyl.datasets.foreign.samples import ForeignManifest
from opendactyl.datasets.format.manifest import Manifest
from opendactyl.datasets.loading.augmentation import Augmentation
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.data import open_data
from opendactyl.vision.evaluation.models import open_model
from opendactyl.vision.evaluation.report import ReportContext, write_report
from opendactyl.vision.measures.metrics import compute_metrics
from opendactyl.vision.measures.predictions import BatchEstimator, Data, batches_of, predict
from opendactyl.vision.training.checkpoints import best_checkpoint
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.provenance import known_seeds

WARM_UP, TIMED = 10, 60
"""Number of untimed and of timed single estimates."""
REPORT_BYTES = 2e6
"""Size of the report."""


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Evaluates, writes the report, and returns the metrics.

    Raises:
        InputError: there is no model or no dataset, they do not match, or the model was trained on
            the dataset's seed.
        EnvironmentFailure: the estimates are not finite, or the disk is full.
    """
    if config.max_samples < 0:
        raise InputError(f"--max-samples is {config.max_samples}; 0 uses all")
    if config.augment.background:
        raise InputError("--augment.background needs masks of the images, which no estimator sees")
    _check_out(config.out)
    model, data = open_data(config, open_model(config.model))
    with removed_on_failure(config.out):
        out = new_folder(config.out, resume=config.resume)
        return _measure(config, model, data, out)


def _measure(config: EvalConfig, model: BatchEstimator, data: Data, out: Path) -> dict[str, Any]:
    """Writes settings, metrics and report; returns the metrics."""
    # An interrupted evaluation must not leave the results of an earlier one.
    for name in ("metrics.json", "report.html"):
        (out / name).unlink(missing_ok=True)
    subject = _subject(config, model, data)
    write_json(out / CONFIG_NAME, subject)
    count = min(len(data), config.max_samples or len(data))
    forecast = Forecast(out, count, written=REPORT_BYTES)
    predictions = predict(model, data, count, forecast, _effects(config.augment))
    points = np.array(data.manifest.keypoints[: data.manifest.num_corners])
    rig = data.rig if isinstance(data, CachedDataset) else data.rigs
    metrics = compute_metrics(
        predictions, points[data.manifest.articulation.own], data.manifest.load_symmetry(), rig
    )
    write_json(out / "metrics.json", metrics)
    context = ReportContext(_latency(model, data), subject["chosen_by"], config.augment)
    write_report(out / "report.html", predictions, metrics, data, context)
    return metrics


def _effects(config: AugmentConfig) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """What `--augment` does to a batch of images; None if nothing."""
    if config == AugmentConfig.none():
        return None
    augmentation, rng = Augmentation(config), np.random.default_rng(0)
    return lambda images: np.stack([augmentation(sample, rng) for sample in images])


def _check_out(out: Path) -> None:
    """Refuses the folder of another command, whose settings would be overwritten."""
    path = out / CONFIG_NAME
    if exists(path) and "config_hash" not in read_json(path):
        raise InputError(f"{path} contains the settings of another command; name another --out")


def _latency(model: BatchEstimator, data: Data) -> list[float]:
    """Times of single sequential estimates in milliseconds, with the images in memory."""
    images, rig = next(batches_of(data, model.image_size, 1))
    milliseconds = []
    for _ in range(TIMED + WARM_UP):
        start = time.perf_counter()
        model.estimate_batch(images, rig)
        milliseconds.append((time.perf_counter() - start) * 1000)
    return milliseconds[WARM_UP:]


def _subject(config: EvalConfig, model: BatchEstimator, data: Data) -> dict[str, Any]:
    """Identifies model and data: the content of `config.json`."""
    network, manifest = config.model / "pose.onnx", data.manifest
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
        "config_hash": manifest.config_hash,
        "stages": 2 if crops else 1,
        **({} if config.augment == AugmentConfig.none() else {"augment": to_plain(config.augment)}),
        **_origin(config.model, manifest),
    }


def _origin(model: Path, manifest: Manifest | ForeignManifest) -> dict[str, Any]:
    """How the samples were made; data of other software has neither seed nor renderer."""
    if isinstance(manifest, ForeignManifest):
        return manifest.origin() | {"chosen_by": False}
    return {
        "seed": manifest.seed,
        "chosen_by": manifest.seed in known_seeds(model).get("val", []),
        **{name: manifest.config[name] for name in ("states", "renderer")},
    }
