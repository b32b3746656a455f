"""Batches for training: shuffled and augmented per epoch, reproducible."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from opendactyl.core.errors import InputError
from opendactyl.core.worker_process import can_start_workers
from opendactyl.datasets.format.compatibility import check_together
from opendactyl.datasets.format.label import unseeing_cameras
from opendactyl.datasets.loading.augmentation import Augmentation
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
from opendactyl.datasets.loading.cache import CachedDataset, open_dataset
from opendactyl.datasets.loading.decoding import MASKS, WindowSize
from opendactyl.datasets.loading.sampler import EpochSampler, ResumableLoader
from opendactyl.geometry.rig import Rig

Item = dict[str, Any]
LOADS_ITSELF = "until then the training process loads the images itself, which is slower"
LOADER_SECONDS = 600
"""A training whose loader gives no batch for so long fails: it would wait forever."""


class PoseDataset(Dataset[Item]):
    """Samples by (epoch, index); the epoch is a part of the augmentation's seed."""

    def __init__(
        self,
        datasets: Sequence[CachedDataset],
        augment: AugmentConfig | None,
        seed: int,
        *,
        masks: bool = False,
    ) -> None:
        """Concatenates `datasets`; augments if `augment` is given; `masks` adds stored masks."""
        self._datasets = datasets
        self._ends = np.cumsum([len(data) for data in datasets])
        self._augmentation = Augmentation(augment) if augment else None
        self._seed, self._masks = seed, masks

    def __len__(self) -> int:
        """Number of samples."""
        return int(self._ends[-1])

    def __getitem__(self, key: tuple[int, int]) -> Item:
        """One sample as numpy arrays."""
        epoch, index = key
        number = int(np.searchsorted(self._ends, index, side="right"))
        data = self._datasets[number]
        i = index - int(self._ends[number]) + len(data)
        rng = np.random.default_rng([self._seed, epoch, index])
        item = {"images": self._augmented(data.images[i], data.masks, i, rng)}
        if data.windows is not None and data.window_corners is not None:
            item["windows"] = self._augmented(data.windows[i], data.window_masks, i, rng)
            item["window_corners"] = data.window_corners[i]
        if data.anchor_crops is not None:
            item["anchor_crops"] = self._augmented(data.anchor_crops[i], data.anchor_masks, i, rng)
        if self._masks:
            stored = {name: getattr(data, name) for name in MASKS.values()}
            item |= {name: np.array(m[i]) for name, m in stored.items() if m is not None}
        return item | {
            "position": data.position[i],
            "quaternion": data.quaternion[i],
            "hinges": data.hinges[i],
            "keypoints": data.keypoints[i],
            "anchors": data.anchors[i],
            "visible_fraction": data.visible_fraction[i],
            "index": index,
        }

    def _augmented(
        self,
        images: NDArray[np.uint8],
        masks: NDArray[np.uint8] | None,
        i: int,
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        images = np.array(images)
        if self._augmentation is None:
            return images
        return self._augmentation(images, rng, None if masks is None else masks[i])


class PoseDataModule(L.LightningDataModule):
    """Training and validation batches from datasets of one rig and object."""

    def __init__(
        self,
        data: Sequence[Path],
        val_data: Path,
        *,
        image_size: int,
        views: int = 0,
        batch_size: int,
        workers: int = 1,
        seed: int = 0,
        augment: AugmentConfig | None = None,
        limit_val: int = 2000,
        cache: Path | None = None,
        windows: WindowSize | None = None,
        augment_on_device: bool = False,
    ) -> None:
        """Stores the settings; `setup` opens the datasets.

        Args:
            data: training datasets, concatenated.
            val_data: validation dataset, of another seed.
            image_size: width and height of the images.
            views: number of the rig's first cameras to use; 0 uses all.
            batch_size: batch size of each process.
            workers: number of loader processes.
            seed: seed of order and augmentation.
            augment: ranges of the augmentation; None disables it.
            limit_val: largest number of validation samples.
            cache: folder of the decoded images; by default in each dataset's folder.
            windows: also give windows of frames around the object.
            augment_on_device: augment batches on the device that trains, not samples in the loader.
        """
        super().__init__()
        self._folders = (*data, val_data)
        self._image_size, self._views = image_size, views
        self.batch_size = batch_size
        self._workers = workers
        self._seed = seed
        self._augment, self._batch_augmentation = augment, None
        if augment is not None and augment_on_device:
            # Loading Kornia takes seconds.
            from opendactyl.datasets.loading.device_augmentation import DeviceAugmentation

            self._augment, self._batch_augmentation = None, DeviceAugmentation(augment, seed)
        self.limit_val = limit_val
        self._cache, self._windows = cache, windows
        self.train: list[CachedDataset] = []

    def setup(self, stage: str | None = None) -> None:
        """Opens the datasets and checks that they are compatible."""
        if self.train:
            return
        *folders, val_folder = self._folders
        check_together(folders, val_folder)
        *train, self.val = (
            open_dataset(f, self._image_size, self._views, self._cache, self._windows)
            for f in self._folders
        )
        for folder, data in zip(folders, train, strict=True):
            if unseeing := unseeing_cameras(data.rig.names, data.visible_fraction.max(axis=0)):
                raise InputError(f"{folder}: {'; '.join(unseeing)}")
        augments = self._batch_augmentation is not None
        if augments and len({data.masks is None for data in train}) > 1:
            raise InputError(
                "some datasets of --data have masks and others none, and a batch on the device has "
                "samples of both; make all with `dataset --masks`, or use --augment-on loader"
            )
        if sum(map(len, train)) < 2:
            raise InputError(f"{folders[0]} has fewer than two samples; make more")
        self.train = train
        item = sum(
            np.asarray(v).nbytes for v in PoseDataset(train, None, 0, masks=augments)[0, 0].values()
        )
        # In training and validation: the batch at hand, and two ahead per process (torch's own).
        shared = 2 * (2 * self._workers + 1) * self.batch_size * item
        if self._workers and not can_start_workers(LOADS_ITSELF, shared):
            self._workers = 0

    @property
    def rig(self) -> Rig:
        """The nominal cameras at the image size."""
        return self.val.rig

    def train_dataloader(self) -> DataLoader[Item]:
        """Shuffled and augmented batches."""
        masks = self._batch_augmentation is not None
        dataset = PoseDataset(self.train, self._augment, self._seed, masks=masks)
        sampler = self._sampler(len(dataset), shuffle=True)
        full = sampler.num_samples >= self.batch_size
        return self._loader(dataset, sampler, drop_last=full)

    def on_after_batch_transfer(self, batch: Item, dataloader_idx: int) -> Item:
        """Augments a batch of the training on its device, if that is asked for."""
        trainer = self.trainer
        if self._batch_augmentation is None or trainer is None or not trainer.training:
            return batch
        number = len(MASKS) * (trainer.global_step * trainer.world_size + trainer.global_rank)
        for offset, (name, mask) in enumerate(MASKS.items()):
            masks = batch.pop(mask, None)
            if name in batch:
                batch[name] = self._batch_augmentation(batch[name], number + offset, masks)
        return batch

    def _position(self, samples: int) -> tuple[int, int]:
        """The epoch of the next batch, and the number of its samples already trained on.

        Derived from the steps: after a stop within an epoch, Lightning's epoch is already the next.

        Args:
            samples: number of samples per epoch and process.
        """
        steps = self.trainer.global_step if self.trainer else 0
        epoch, batches = divmod(steps, max(samples // self.batch_size, 1))
        return epoch, batches * self.batch_size

    def val_dataloader(self) -> DataLoader[Item]:
        """Batches in order, without augmentation."""
        dataset = PoseDataset([self.val], None, self._seed)
        sampler = self._sampler(min(len(dataset), self.limit_val), shuffle=False)
        return self._loader(dataset, sampler, drop_last=False)

    def _sampler(self, size: int, *, shuffle: bool) -> EpochSampler:
        rank, ranks = 0, 1
        if self.trainer is not None:
            rank, ranks = self.trainer.global_rank, self.trainer.world_size
        resume = self._position if shuffle and self.trainer is not None else None
        return EpochSampler(
            size, self._seed, shuffle=shuffle, rank=rank, ranks=ranks, resume=resume
        )

    def _loader(
        self, dataset: PoseDataset, sampler: EpochSampler, *, drop_last: bool
    ) -> DataLoader[Item]:
        return ResumableLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            drop_last=drop_last,
            timeout=LOADER_SECONDS if self._workers else 0,
        )
