"""The parts of a rig, as protocols: what a real robot brings of its own.

A part that has nothing usable to give raises; the loop says what happened and goes on. `Over`
alone ends it. Nothing here or in what the loop needs imports a simulator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.vision.estimator import Pose

Views = Sequence[NDArray[np.uint8] | None]
"""One moment's images (H, W, 3), one per camera; None where a camera gave none."""


class Fault(RuntimeError):
    """A part gave nothing that could be used."""

    def __init__(self, part: str, message: str) -> None:
        """Names the part (`camera`, `pose`, `goal`, `policy` or `hand`) and says what happened."""
        super().__init__(message)
        self.part = part


def as_fault(part: str, what: str, error: Exception) -> Fault:
    """The error itself if it is a fault, else a fault of `part` that says `what` and why."""
    return error if isinstance(error, Fault) else Fault(part, f"{what} ({error!r})")


class EndOfRecording(Exception):
    """A recording has nothing more to show: the loop ends."""


@dataclass(frozen=True, eq=False)
class HandReading:
    """What a hand measures."""

    joints: Array
    """Joint angles (24,) in radians, in the order of `sim.names.JOINTS`."""
    fingertips: Array
    """Fingertip positions (5, 3) in metres, in the hand frame, in `sim.names.FINGERTIPS` order."""


class Hand(Protocol):
    """A hand under position control."""

    def read(self) -> HandReading:
        """The newest measurement."""
        ...

    def command(self, targets: Array) -> None:
        """Takes joint targets (20,) in radians, in the order of `sim.names.ACTUATORS`."""
        ...

    def close(self) -> None:
        """Lets go of the hand."""
        ...


class CameraSource(Protocol):
    """Synchronized cameras."""

    def read(self) -> Views:
        """The newest images, RGB, in the rig's order and of the estimator's size."""
        ...

    def close(self) -> None:
        """Lets go of the cameras."""
        ...


class PoseSource(Protocol):
    """Where the policy's idea of the object's pose comes from."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """How long the parts of the last call took: `camera` and `estimate`, where it has them."""
        ...

    def pose(self, reading: HandReading) -> Pose:
        """The object's pose in the hand frame, when the hand stands as `reading` says.

        Raises:
            Fault: there is none to be had just now.
        """
        ...

    def skip(self) -> None:
        """Is told that an action passes without a look, because the hand does not answer."""
        ...

    def restart(self) -> None:
        """Forgets what it saw: the object was taken out of the hand and put back."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


class GoalSource(Protocol):
    """Which orientation comes next."""

    @property
    def reached(self) -> int:
        """Goals reached so far."""
        ...

    def goal(self, pose: Pose) -> Array:
        """The goal (4,) in the hand frame, for an object at `pose`."""
        ...

    def restart(self) -> None:
        """Starts the next series of goals."""
        ...
