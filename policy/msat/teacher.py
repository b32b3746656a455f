"""Policies that act in batches of simulations, and the one that is imitated."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.models.policy.actor_critic import Actor
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import decide
from opendactyl.policy.interface.observations import LAYOUTS, HandSize, layout_size
from opendactyl.policy.interface.policy import Policy
from opendactyl.policy.msat.config import MsatConfig
from opendactyl.policy.training.provenance import SeedRecord
from opendactyl.sim.assets.storage import is_same
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec

TEACHER_LAYOUT, LAYOUT = "default", "physics"
"""Layouts of the teacher and of the driver, which begins with the teacher's."""


class ActorPolicy:
    """An actor of a run or a weights file."""

    def __init__(self, actor: Actor) -> None:
        """Wraps the actor."""
        self._actor = actor

    def begin(self, batch: int) -> None:
        """See `Policy`."""
        self._memory = self._actor.initial_state(batch)

    @torch.no_grad()
    def act(self, observation: NDArray[np.float32], start: NDArray[np.bool_]) -> Array:
        """See `Policy`."""
        begins = torch.from_numpy(start[:, None].astype(np.float32))
        logits, *memory = self._actor(torch.from_numpy(observation)[:, None], begins, *self._memory)
        self._memory = (memory[0], memory[1])
        return decide(logits[:, 0].numpy())


@dataclass(frozen=True, eq=False)
class Teacher:
    """The policy that is imitated."""

    source: Path
    policy: Policy
    environment: EnvConfig
    """Its environment, without randomization."""
    seeds: SeedRecord
    """The seeds of its training."""

    @property
    def size(self) -> int:
        """The length of its observation."""
        return layout_size(LAYOUTS[TEACHER_LAYOUT], HandSize.of(hand_spec(self.environment.hand)))


def check_teacher(config: MsatConfig, teacher: Teacher) -> None:
    """Raises an `InputError` if the teacher is not one of the settings' task, hand or object."""
    environment = teacher.environment
    for name, describe in (("task", None), ("hand", hand_spec), ("object", object_spec)):
        wanted, found = getattr(config, name), getattr(environment, name)
        if not wanted or wanted == found:
            continue
        if describe is None or not is_same(describe(wanted), describe(found)):
            raise InputError(
                f"{teacher.source} was trained with --{name} {found}, and --{name} is {wanted}; "
                f"leave it out, or name a teacher of {wanted}"
            )
    if environment.layout != TEACHER_LAYOUT:
        raise InputError(
            f"{teacher.source} has layout {environment.layout}; --driver msat imitates policies "
            f"with --layout {TEACHER_LAYOUT}"
        )
