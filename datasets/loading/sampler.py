"""Order of the samples, and resuming within an epoch."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


class EpochSampler(DistributedSampler[tuple[int, int]]):
    """A permutation of the samples for each (seed, epoch), split by rank.

    A `DistributedSampler`, since Lightning replaces any other sampler in distributed training.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        *,
        shuffle: bool,
        rank: int = 0,
        ranks: int = 1,
        resume: Callable[[int], tuple[int, int]] | None = None,
    ) -> None:
        """Samples 0 to `size`, split evenly.

        Args:
            size: number of samples.
            seed: seed of the order.
            shuffle: False keeps the samples in order.
            rank: index of this process.
            ranks: number of processes.
            resume: maps the number of samples per rank to the epoch to continue with and the number
                of its samples to skip; by default, the epoch of `set_epoch`.
        """
        super().__init__(
            range(size),  # pyright: ignore[reportArgumentType]
            num_replicas=ranks,
            rank=rank,
            shuffle=shuffle,
            seed=seed,
        )
        self._size = size
        self._resume = resume

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(epoch, index) of each sample."""
        epoch, done = self._resume(self.num_samples) if self._resume else (self.epoch, 0)
        order = np.arange(self._size)
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(self._size)
        own = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        return iter([(epoch, int(index)) for index in own[done:]])


class ResumableLoader(DataLoader[dict[str, Any]]):
    """A loader that can resume in the middle of an epoch.

    Lightning requires these methods. The state is empty: `PoseDataModule` derives the position in
    the epoch from the trainer's step.
    """

    def state_dict(self) -> dict[str, int]:
        """Empty."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Does nothing."""
