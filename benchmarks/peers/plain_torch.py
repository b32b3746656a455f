"""The plain training loop as a peer: float32, JPEG files decoded on every pass."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.format.shards import read_shard
from opendactyl.datasets.loading.augmentation import Augmentation
from opendactyl.datasets.loading.datamodule import Item
from opendactyl.datasets.loading.decoding import views_and_windows
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.data_sizes import view_size, window_size
from opendactyl.vision.training.losses import pose_loss
from opendactyl.vision.training.module import PoseModule

JPEG_QUALITY = 95


class JpegFolder(Dataset[Item]):
    """A dataset as JPEG files, with labels in memory."""

    def __init__(self, data: Path, out: Path, config: VisionConfig) -> None:
        """Unpacks the shards of `data` into `out`."""
        self._size, self._windows = view_size(config), window_size(config)
        self._augmentation = Augmentation(config.augment)
        self._items: list[tuple[list[Path], Item]] = []
        manifest = load_manifest(data)
        articulation, static = manifest.articulation, manifest.load_static_landmarks()
        out.mkdir(parents=True, exist_ok=True)
        for shard in manifest.shards:
            for sample in read_shard(data / shard.name):
                label = sample.label
                paths = [out / f"{label.index}-{view}.jpg" for view in range(len(sample.images))]
                for path, image in zip(paths, sample.images, strict=True):
                    Image.fromarray(image).save(path, quality=JPEG_QUALITY)
                item = {
                    "position": label.position.astype(np.float32),
                    "quaternion": label.quaternion.astype(np.float32),
                    "keypoints": label.project(articulation.at(label.hinges)).astype(np.float32),
                    "anchors": label.project_fixed(static).astype(np.float32),
                    "visible_fraction": label.visible_fraction.astype(np.float32),
                }
                self._items.append((paths, item))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        """Decodes, resizes and augments one sample."""
        paths, item = self._items[index]
        frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
        item = dict(item)
        images = views_and_windows({"images": frames}, item, self._size, self._windows)
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        return item | {name: self._augmentation(views, rng) for name, views in images.items()}


class PlainTraining:
    """AdamW on the same network, loss, batch size, augmentation and number of loader processes."""

    def __init__(self, config: VisionConfig, module: PoseModule) -> None:
        """Unpacks the training dataset beside the run."""
        self._module = module.to(memory_format=torch.contiguous_format).float().train()  # pyright: ignore
        self._optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate)
        folder = JpegFolder(config.data[0], config.out.parent / "jpeg", config)
        self._loader = DataLoader(
            folder,
            config.batch_size,
            shuffle=True,
            num_workers=config.workers,
            drop_last=True,
            persistent_workers=config.workers > 0,
        )

    def train_for(self, seconds: float, *, warm_up: int) -> tuple[int, float]:
        """Trains for some seconds after `warm_up` batches; returns samples and elapsed seconds."""
        batches = self._batches()
        for _ in range(warm_up):
            self._step(next(batches))
        began, samples = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            samples += self._step(next(batches))
        return samples, time.perf_counter() - began

    def _batches(self) -> Iterator[Item]:
        while True:
            yield from self._loader

    def _step(self, batch: Item) -> int:
        loss = pose_loss(self._module(batch), batch, self._module.position_unit)["total"]
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._module.parameters(), 1.0)
        self._optimizer.step()
        return len(batch["images"])
