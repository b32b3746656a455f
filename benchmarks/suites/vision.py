"""Suite `vision`: training against a plain loop, and the loader against a training step."""

import dataclasses
import itertools
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import lightning as L
import torch

from opendactyl.benchmarks.measure import Budget, Row
from opendactyl.benchmarks.peers.plain_torch import PlainTraining
from opendactyl.core.cpu import cores
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.datasets.loading.datamodule import Item, PoseDataModule
from opendactyl.models.allocator import keep_freed_memory
from opendactyl.models.choices import POSE_NETWORKS
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.data_sizes import with_image_size
from opendactyl.vision.training.train import build_module, make_data
from opendactyl.vision.training.trainer import build_trainer

SAMPLES, VAL_SAMPLES = 512, 16
ROUNDS = 2
"""The two sides alternate this many times."""
WARM_UP = 4
"""Batches before the measurement."""


def run(budget: Budget) -> list[Row]:
    """Measures samples a second on a small dataset rendered for the purpose."""
    # Importing Lightning sets the level, so this comes after.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="opendactyl-bench-") as folder:
        config = small_config(Path(folder), SAMPLES)
        rows = [_against_plain(config, budget.seconds, "vision/plain_torch")]
        rows.append(_loader(config, budget.seconds / 2))
        if budget.full:
            for name in POSE_NETWORKS[1:]:
                other = dataclasses.replace(config, model=name)
                rows.append(_against_plain(other, budget.seconds, f"vision/plain_torch_{name}"))
    return rows


def small_config(folder: Path, samples: int) -> VisionConfig:
    """Default training settings, with a dataset rendered into `folder`."""
    for name, seed, count in (("train", 0, samples), ("val", 1, VAL_SAMPLES)):
        generate(DatasetConfig(out=folder / name, num_samples=count, seed=seed, shard_size=64))
    # A run of this length neither validates nor saves within the measuring time.
    config = VisionConfig(
        data=(folder / "train",), val_data=folder / "val", out=folder / "run", max_minutes=6000.0,
        accelerator="cpu", devices=1, from_scratch=True,
    )  # fmt: skip
    return with_image_size(config)


class Meter(L.Callback):
    """Counts samples for some seconds, then stops the training."""

    def __init__(self, seconds: float, batch_size: int) -> None:
        """Counts from the end of the warm-up."""
        self._seconds = seconds
        self._batch_size = batch_size
        self._began = 0.0
        self._batches = -WARM_UP
        self.spent = 0.0

    @property
    def samples(self) -> int:
        """Samples trained on since the clock started."""
        return self._batches * self._batch_size

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """Called after each step."""
        self._batches += 1
        if self._batches == 0:
            self._began = time.perf_counter()
        self.spent = time.perf_counter() - self._began
        if self._batches > 0 and self.spent >= self._seconds:
            trainer.should_stop = True


class RepeatedBatch(L.LightningDataModule):
    """One batch again and again: training without loading."""

    def __init__(self, batch: Item, data: PoseDataModule) -> None:
        """Trains on `batch` of `data`, whose validation data it keeps."""
        super().__init__()
        self._batch = batch
        self.batch_size = data.batch_size
        self.val_dataloader = data.val_dataloader

    def train_dataloader(self) -> "RepeatedBatch":
        """This object: Lightning would take a list as one loader per item."""
        return self

    def __len__(self) -> int:
        """More batches than any measurement takes."""
        return 10**9

    def __iter__(self) -> Iterator[Item]:
        """The batch, without end."""
        return itertools.repeat(self._batch)


def train_for(config: VisionConfig, seconds: float, batch: Item | None = None) -> Meter:
    """Trains as `train-vision` does, on the dataset or on one batch, and counts samples."""
    data = make_data(config)
    trainer, _ = build_trainer(config, None)
    meter = Meter(seconds, config.batch_size)
    trainer.callbacks.append(meter)  # pyright: ignore[reportAttributeAccessIssue]
    progress = trainer.progress_bar_callback
    if progress is not None:
        progress.disable()
    source = data if batch is None else RepeatedBatch(batch, data)
    trainer.fit(build_module(config, data), datamodule=source)
    return meter


def measure_ours(
    config: VisionConfig, seconds: float, batch: Item | None = None
) -> tuple[int, float]:
    """Samples, and seconds in which `train_for` trained on them, in a process of its own.

    The settings of the memory allocator would otherwise be those of the peer, too.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_train_in_process, config, seconds, batch).result()


def _train_in_process(
    config: VisionConfig, seconds: float, batch: Item | None
) -> tuple[int, float]:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    keep_freed_memory()
    meter = train_for(config, seconds, batch)
    return meter.samples, meter.spent


def _against_plain(config: VisionConfig, seconds: float, name: str) -> Row:
    data = make_data(config)
    plain = PlainTraining(config, build_module(config, data))
    round_seconds = seconds / ROUNDS
    ours_samples, ours_spent, peer_samples, peer_spent = 0.0, 0.0, 0.0, 0.0
    for _ in range(ROUNDS):
        samples, spent = measure_ours(config, round_seconds)
        ours_samples, ours_spent = ours_samples + samples, ours_spent + spent
        samples, spent = plain.train_for(round_seconds, warm_up=WARM_UP)
        peer_samples, peer_spent = peer_samples + samples, peer_spent + spent
    return Row(
        name=name, ours=ours_samples / ours_spent, peer=peer_samples / peer_spent,
        unit="samples/s",
        peer_name="a plain float32 PyTorch loop of the same network, decoding JPEG as it goes",
        extra={
            "model": config.model,
            "image_size": config.image_size,
            "batch_size": config.batch_size,
            "loader_processes": config.workers,
        },
    )  # fmt: skip


def _loader(config: VisionConfig, seconds: float) -> Row:
    """Speed of the loader alone against that of training without loading."""
    data = make_data(config)
    loader = data.train_dataloader()
    batch = next(iter(loader))
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for item in loader:
            count += len(item["index"])
            if time.perf_counter() - began >= seconds:
                break
    loaded = count / (time.perf_counter() - began)
    samples, spent = measure_ours(config, seconds, _as_tensors(batch))
    return Row(
        name="vision/loader", ours=loaded, peer=samples / spent, unit="samples/s",
        peer_name="training on one batch, without loading",
        extra={"loader_processes": config.workers, "batch_size": config.batch_size},
    )  # fmt: skip


def _as_tensors(batch: Item) -> Item:
    return {key: torch.as_tensor(value) for key, value in batch.items()}
