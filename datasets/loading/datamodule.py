"""Batches for training: shuffled by epoch, augmented by draw, the same on every run."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.augmentation import Augmentation, AugmentConfig
from opendactyl.datasets.loading.cache import CachedDataset, open_dataset
from opendactyl.geometry.rig import Rig

Item = dict[str, Any]


class PoseDataset(Dataset[Item]):
    """Samples by (epoch, index): the epoch decides the augmentation."""

    def __init__(
        self, parts: Sequence[CachedDataset], augment: AugmentConfig | None, seed: int
    ) -> None:
        """The samples of all `parts` in order; augments when `augment` is given."""
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self._augmentation = Augmentation(augment) if augment else None
        self._seed = seed

    def __len__(self) -> int:
        """Number of samples."""
        return int(self._ends[-1])

    def __getitem__(self, key: tuple[int, int]) -> Item:
        """One sample as numpy arrays."""
        epoch, index = key
        number = int(np.searchsorted(self._ends, index, side="right"))
        data = self._parts[number]
        i = index - int(self._ends[number]) + len(data)
        images = np.array(data.images[i])
        if self._augmentation is not None:
            rng = np.random.default_rng([self._seed, epoch, index])
            masks = None if data.masks is None else data.masks[i]
            images = self._augmentation(images, rng, masks)
        return {
            "images": images,
            "position": data.position[i],
            "quaternion": data.quaternion[i],
            "landmarks": data.landmarks[i],
            "anchors": data.anchors[i],
            "visible_fraction": data.visible_fraction[i],
            "index": index,
        }


class EpochSampler(DistributedSampler[tuple[int, int]]):
    """A permutation of the samples for each epoch, drawn from (seed, epoch), split by rank.

    It is a `DistributedSampler` so that Lightning, which would wrap any other, leaves it alone.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        *,
        shuffle: bool,
        rank: int = 0,
        ranks: int = 1,
        place: Callable[[int], tuple[int, int]] | None = None,
    ) -> None:
        """Samples 0 to `size`, of which each rank gets an equal share.

        Args:
            size: number of samples.
            seed: decides the order.
            shuffle: False keeps the samples in order.
            rank: which share.
            ranks: number of shares.
            place: gives, of a share's size, the epoch to go on with and the samples of it to leave
                out; without it, `set_epoch` alone decides.
        """
        super().__init__(
            range(size),  # pyright: ignore[reportArgumentType]
            num_replicas=ranks,
            rank=rank,
            shuffle=shuffle,
            seed=seed,
        )
        self._size = size
        self._place = place

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(epoch, index) of each sample."""
        epoch, done = self._place(self.num_samples) if self._place else (self.epoch, 0)
        order = np.arange(self._size)
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(self._size)
        share = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        return iter([(epoch, int(index)) for index in share[done:]])


class ResumableLoader(DataLoader[Item]):
    """A loader that may go on in the middle of an epoch.

    Lightning asks the loader whether it can. Where to go on follows from the steps the trainer has
    taken (`PoseDataModule`), so there is nothing to keep here.
    """

    def state_dict(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Takes nothing."""


class PoseDataModule(L.LightningDataModule):
    """Training and validation batches from two datasets of one rig."""

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
    ) -> None:
        """Names the datasets; `setup` opens them.

        Args:
            data: the training datasets, which are mixed.
            val_data: the validation dataset, of another seed.
            image_size: width and height the network sees.
            views: how many of the rig's first cameras it sees; 0 is all.
            batch_size: samples in a batch.
            workers: loader processes.
            seed: seed of order and augmentation.
            augment: ranges of the augmentation; None augments nothing.
            limit_val: use at most this many validation samples.
        """
        super().__init__()
        self._folders = (*data, val_data)
        self._image_size, self._views = image_size, views
        self.batch_size = batch_size
        self._workers = workers
        self._seed = seed
        self._augment = augment
        self.limit_val = limit_val
        self.train: list[CachedDataset] = []

    def setup(self, stage: str | None = None) -> None:
        """Opens the datasets and checks that they belong together."""
        if self.train:
            return
        *train, self.val = (open_dataset(f, self._image_size, self._views) for f in self._folders)
        *folders, val_folder = self._folders
        for folder, part in zip(folders, train, strict=True):
            a, b = part.manifest, self.val.manifest
            if a.rig != b.rig or a.object != b.object:
                raise InputError(
                    f"{folder} and {val_folder} differ in rig or object; "
                    "make both with the same --rig, --object and --image-size"
                )
            if a.seed == b.seed:
                raise InputError(
                    f"{folder} and {val_folder} have the same seed {a.seed}: "
                    "validation would see training samples; make one with another --seed"
                )
        if sum(map(len, train)) < 2:
            raise InputError(f"{folders[0]} has fewer than two samples; make more")
        self.train = train

    @property
    def rig(self) -> Rig:
        """The nominal cameras at the size the network sees."""
        return self.val.rig

    def train_dataloader(self) -> DataLoader[Item]:
        """Shuffled and augmented batches."""
        dataset = PoseDataset(self.train, self._augment, self._seed)
        sampler = self._sampler(len(dataset), shuffle=True)
        full = sampler.num_samples >= self.batch_size
        return self._loader(dataset, sampler, drop_last=full)

    def _place(self, share: int) -> tuple[int, int]:
        """The epoch that the next batch belongs to, and the samples of it that were trained on.

        Only the steps taken count: a run that stopped within an epoch goes on within it, while
        Lightning's own epoch is already the next.
        """
        steps = self.trainer.global_step if self.trainer else 0
        epoch, batches = divmod(steps, max(share // self.batch_size, 1))
        return epoch, batches * self.batch_size

    def val_dataloader(self) -> DataLoader[Item]:
        """Plain batches in order."""
        dataset = PoseDataset([self.val], None, self._seed)
        sampler = self._sampler(min(len(dataset), self.limit_val), shuffle=False)
        return self._loader(dataset, sampler, drop_last=False)

    def _sampler(self, size: int, *, shuffle: bool) -> EpochSampler:
        rank, ranks = 0, 1
        if self.trainer is not None:
            rank, ranks = self.trainer.global_rank, self.trainer.world_size
        place = self._place if shuffle and self.trainer is not None else None
        return EpochSampler(size, self._seed, shuffle=shuffle, rank=rank, ranks=ranks, place=place)

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
        )
