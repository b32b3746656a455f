"""The state of a run that its checkpoints hold: network, average, optimizer and counters."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.models.policy.chunks import ChunkNetwork
from opendactyl.models.weights import save_checkpoint
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.provenance import SeedRecord

EMA = 0.995


@dataclass
class Counters:
    """The plain values of a run's state, which its checkpoints hold under the same names."""

    stage: str = ""
    seconds: float = 0.0
    actions: int = 0
    steps: int = 0
    """Steps of the optimizer."""
    next_episode: int = 0
    """Number of the first episode that was not begun."""
    best: float = -math.inf
    """Most goals in an evaluation."""


class RunState(Counters):
    """What training changes."""

    def __init__(
        self, network: ChunkNetwork, folder: Path, learning_rate: float, seeds: SeedRecord
    ) -> None:
        """The state of a new run in a folder; if it holds a checkpoint, `load` follows."""
        super().__init__()
        self.network, self._folder, self.seeds = network, folder, seeds
        self.average = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(EMA), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=0.01
        )

    @property
    def averaged(self) -> ChunkNetwork:
        """The network with averaged weights, which is evaluated and exported."""
        network = self.average.module
        assert isinstance(network, ChunkNetwork)
        return network

    def path(self, name: str) -> Path:
        """The file of a checkpoint: `last` or `best`."""
        return self._folder / "checkpoints" / f"{name}.ckpt"

    def save(self, name: str) -> None:
        """Writes a checkpoint atomically."""
        value: dict[str, Any] = {
            "student": self.averaged.state_dict(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        counters = {f.name: getattr(self, f.name) for f in fields(Counters)}
        save_checkpoint(value | counters | self.seeds, self.path(name))

    def load(self) -> None:
        """Continues from the last checkpoint.

        Raises:
            InputError: the file is damaged, or of another network.
        """
        path = self.path("last")
        value = load_checkpoint(path)
        try:
            self.network.load_state_dict(value["network"])
            self.average.load_state_dict(value["average"])
            self.optimizer.load_state_dict(value["optimizer"])
            for counter in fields(Counters):
                setattr(self, counter.name, value[counter.name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path} is of another network ({error}); start a new run") from error
        if exists(self.path("best")):  # It may be newer than the last checkpoint.
            self.best = max(self.best, load_checkpoint(self.path("best"))["best"])
