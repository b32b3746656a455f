"""Evaluates an estimator on a dataset it has not seen: `metrics.json` and `report.html`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from opendactyl.datasets.cache import CachedDataset, open_dataset
from opendactyl.files.atomic import read_json, sha256, write_json
from opendactyl.files.errors import InputError
from opendactyl.files.runs import new_folder
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.metrics import Predictions, compute_metrics
from opendactyl.vision.module import to_arrays
from opendactyl.vision.report import write_report
from opendactyl.vision.train import load_module

BATCH = 32


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of `eval-vision`."""

    model: Path = Path("runs/vision")
    """A run of `train-vision`, or a bundle."""
    data: Path = Path("data/val")
    """The dataset to evaluate on."""
    out: Path = Path("runs/eval-vision")
    """Folder for metrics.json and report.html."""
    max_samples: int = 0
    """Use only the first samples; 0 uses all."""
    resume: bool = False
    """Write into a folder that is not empty."""


class BatchEstimator(Protocol):
    """Anything that estimates poses of images (B, V, H, W, 3)."""

    image_size: int

    def estimate_batch(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Positions (B, 3), quaternions (B, 4), covariances (B, 6, 6)."""
        ...


class _Run:
    """The network of a run, in torch."""

    def __init__(self, run: Path) -> None:
        self._module = load_module(run)
        self.image_size = int(self._module.hparams["image_size"])

    @torch.inference_mode()
    def estimate_batch(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return to_arrays(self._module({"images": torch.from_numpy(images)}))


class _Bundle:
    """The exported estimator of a bundle."""

    def __init__(self, bundle: Path) -> None:
        path = bundle / "pose.onnx"
        manifest = read_json(bundle / "manifest.json")
        if manifest.get("sha256", {}).get(path.name) != sha256(path):
            raise InputError(f"the checksum of {path} is wrong: the file was changed or damaged")
        self._estimator = PoseEstimator(path)
        self.image_size = self._estimator.shape[1]

    def estimate_batch(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return self._estimator.estimate_batch(images)


def open_model(path: Path) -> BatchEstimator:
    """The estimator in a run folder or a bundle.

    Raises:
        InputError: there is neither.
    """
    if (path / "pose.onnx").exists():
        return _Bundle(path)
    if (path / "checkpoints").exists():
        return _Run(path)
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
    data = open_dataset(config.data, model.image_size)
    _refuse_training_data(config.model, data)
    out = new_folder(config.out, resume=config.resume)
    count = min(len(data), config.max_samples or len(data))
    began = time.perf_counter()
    predictions = predict(model, data, count)
    milliseconds = (time.perf_counter() - began) / count * 1000
    points = np.array(data.manifest.keypoints[: data.manifest.num_corners])
    metrics = compute_metrics(predictions, points)
    write_json(out / "metrics.json", metrics)
    write_report(out / "report.html", predictions, metrics, data, milliseconds)
    return metrics


def predict(model: BatchEstimator, data: CachedDataset, count: int) -> Predictions:
    """Estimates the first `count` samples of a dataset."""
    parts = []
    with tqdm(total=count, unit="sample", desc="evaluating", leave=False) as bar:
        for start in range(0, count, BATCH):
            images = np.array(data.images[start : min(start + BATCH, count)])
            parts.append(model.estimate_batch(images))
            bar.update(len(images))
    return Predictions.of(data, *(np.concatenate(column) for column in zip(*parts, strict=True)))


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
