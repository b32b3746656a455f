"""Protocols that a robot implements: hand, cameras, pose source and goal source.

An implementation that has no usable value raises an exception; the loop reports it and continues.
Only `EndOfRecording` ends the loop. The robot loop imports no simulator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.vision.estimator import Pose

Views = Sequence[NDArray[np.uint8] | None]
"""Synchronized images (H, W, 3), one per camera; None where a camera gave no image."""


@dataclass(frozen=True, eq=False)
class TimedViews:
    """Images with the times at which they were captured."""

    views: Views
    """One per camera."""
    times: Sequence[float]
    """One capture time per camera, in seconds of the loop's clock, `time.perf_counter`."""


def images_of(read: Views | TimedViews) -> Views:
    """What a camera source has read, without the times."""
    return read.views if isinstance(read, TimedViews) else read


class Fault(RuntimeError):
    """A component of the loop gave no usable value."""

    def __init__(self, component: str, message: str) -> None:
        """`component` is `camera`, `wiring`, `pose`, `goal`, `policy` or `hand`."""
        super().__init__(message)
        self.component = component


def as_fault(component: str, what: str, error: Exception) -> Fault:
    """Returns `error` if it is a `Fault`, else a `Fault` of `component` that quotes it."""
    return error if isinstance(error, Fault) else Fault(component, f"{what} ({error!r})")


class EndOfRecording(Exception):
    """A recording has no more frames: the loop ends."""


@dataclass(frozen=True, eq=False)
class HandReading:
    """A measurement of the hand."""

    joints: Array
    """Joint angles (J,) in radians, in the order of `Bundle.hand.joints`."""
    fingertips: Array
    """Fingertips (F, 3) in metres, hand frame, in the order of `Bundle.hand.fingertips`."""
    time: float | None = None
    """When they were measured, in seconds of the loop's clock; None: unknown, never too old."""
    touch: Array | None = None
    """Contact forces (F,) on the fingertips in N, NaN where a sensor fails; None: not measured."""
    forces: Array | None = None
    """Forces or torques (A,) of the actuators in N or N m, likewise."""


class Hand(Protocol):
    """A hand under position control."""

    def read(self) -> HandReading:
        """Returns the newest measurement."""
        ...

    def command(self, targets: Array) -> None:
        """Sends targets (A,) in radians, in the order of `Bundle.hand.actuators`."""
        ...

    def close(self) -> None:
        """Disconnects from the hand."""
        ...


class CameraSource(Protocol):
    """Synchronized cameras."""

    def read(self) -> Views | TimedViews:
        """Returns the newest images: RGB, in the rig's order, at the estimator's size.

        With `TimedViews`, a camera that lags or returns buffered frames is a fault.
        """
        ...

    def close(self) -> None:
        """Disconnects from the cameras."""
        ...


class PoseSource(Protocol):
    """Provides the object's pose."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Durations of the last call in seconds: `camera` and `estimate`, where they apply."""
        ...

    def pose(self, reading: HandReading) -> Pose:
        """Returns the object's pose in the hand frame, for the given measurement of the hand.

        Raises:
            Fault: no pose is available at present.
        """
        ...

    def skip(self) -> None:
        """Called instead of `pose` in an action in which the hand could not be read."""
        ...

    def restart(self) -> None:
        """Clears all state: the object was taken out of the hand and put back."""
        ...

    def close(self) -> None:
        """Releases resources."""
        ...


class GoalSource(Protocol):
    """Provides goal orientations."""

    @property
    def reached(self) -> int:
        """Number of goals reached so far."""
        ...

    def goal(self, pose: Pose) -> Array:
        """Returns the goal (4 + H,) in the hand frame, for an object at `pose`.

        A quaternion, then the angles of the object's H hinges in radians, if it has any.
        """
        ...

    def restart(self) -> None:
        """Starts the next series of goals."""
        ...


class EndingGoals(GoalSource, Protocol):
    """A goal source that ends, such as one that imitates a demonstration."""

    @property
    def done(self) -> bool:
        """Whether the last goal is reached; it then stays the goal."""
        ...
