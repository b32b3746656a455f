"""Faults on purpose: wrappers that make a rig's parts fail in the ways that real ones do."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import Bundle, PolicyMemory, PolicySession
from opendactyl.control.runtime.interfaces import CameraSource, Hand, HandReading, PoseSource, Views
from opendactyl.geometry.rotation import Array, quat_from_axis_angle, quat_multiply
from opendactyl.vision.estimator import Pose

FAULTS = {
    "freeze": "a camera repeats its last image",
    "drop": "a camera gives no image",
    "black": "a camera gives black images",
    "nan": "a camera gives values that are not numbers",
    "size": "a camera gives images of another size",
    "occlude": "something stands before a camera",
    "jump": "the estimate jumps",
    "policy": "the policy gives NaN",
    "hand": "the hand does not answer",
}
"""Every fault that can be injected, and what it does."""
SLEEVE = np.array([120.0, 90.0, 70.0])
"""The colour of what stands before a camera."""
SLEEVE_SHADE, SLEEVE_NOISE = 10.0, 6.0
"""How much darker it is to one side, and the deviation of the picture's noise, of 255."""
JUMP_POSITION, JUMP_ANGLE = 0.05, 1.5
"""How far an estimate jumps, in metres and radians."""


class Faults:
    """Which faults are on, shared by the wrappers."""

    def __init__(self, view: int = 0) -> None:
        """All off; `view` is the number of the camera that fails."""
        self.active: set[str] = set()
        self.view = view

    def bundle(self, bundle: Bundle) -> Bundle:
        """The bundle, with a policy that can fail."""
        return dataclasses.replace(bundle, policy=_FaultyPolicy(bundle.policy, self))

    def cameras(self, cameras: CameraSource) -> CameraSource:
        """The cameras, one of which can fail."""
        return _FaultyCameras(cameras, self)

    def source(self, source: PoseSource) -> PoseSource:
        """A pose source whose estimates can jump; put a filter around it, not inside."""
        return _FaultyPose(source, self)

    def hand(self, hand: Hand) -> Hand:
        """The hand, which can fall silent."""
        return _FaultyHand(hand, self)


class _FaultyCameras:
    def __init__(self, cameras: CameraSource, faults: Faults) -> None:
        self._cameras, self._faults = cameras, faults
        self._last: dict[int, NDArray[np.uint8]] = {}
        self._rng = np.random.default_rng(0)

    def read(self) -> Views:
        views, number = list(self._cameras.read()), self._faults.view
        active = self._faults.active
        for other, fresh in enumerate(views):
            if fresh is not None and not (other == number and "freeze" in active):
                self._last[other] = fresh
        view = views[number]
        if view is not None and "freeze" in active:
            view = self._last.get(number, view)
        if view is not None:
            views[number] = self._spoilt(view, active)  # type: ignore[assignment]
        return views

    def close(self) -> None:
        self._cameras.close()

    def _spoilt(self, view: NDArray[np.uint8], active: set[str]) -> NDArray[np.generic] | None:
        if "drop" in active:
            return None
        if "black" in active:
            return np.zeros_like(view)
        if "nan" in active:
            return np.full(view.shape, np.nan, dtype=np.float32)
        if "size" in active:
            return view[:-8, ::2]
        return self._covered(view.shape) if "occlude" in active else view

    def _covered(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """A sleeve before the lens: one colour, a little darker to one side, and noise."""
        shade = np.linspace(0, SLEEVE_SHADE, shape[1])[:, None]
        noise = self._rng.normal(0, SLEEVE_NOISE, shape)
        return np.clip(SLEEVE - shade + noise, 0, 255).astype(np.uint8)


class _FaultyPose:
    def __init__(self, source: PoseSource, faults: Faults) -> None:
        self._source, self._faults = source, faults

    @property
    def seconds(self) -> Mapping[str, float]:
        return self._source.seconds

    def pose(self, reading: HandReading) -> Pose:
        pose = self._source.pose(reading)
        if "jump" not in self._faults.active:
            return pose
        turn = quat_from_axis_angle([1.0, 1.0, 0.0], JUMP_ANGLE)
        shifted = pose.position + [0.0, JUMP_POSITION, 0.0]
        return Pose(shifted, quat_multiply(turn, pose.quaternion), pose.covariance)

    def skip(self) -> None:
        self._source.skip()

    def restart(self) -> None:
        self._source.restart()

    def close(self) -> None:
        self._source.close()


class _FaultyPolicy(PolicySession):
    def __init__(self, policy: PolicySession, faults: Faults) -> None:
        self._policy, self._faults = policy, faults

    def initial_memory(self, batch: int = 1) -> PolicyMemory:
        return self._policy.initial_memory(batch)

    def act(
        self, observation: NDArray[np.float32], memory: PolicyMemory
    ) -> tuple[Array, PolicyMemory, NDArray[np.bool_]]:
        if "policy" in self._faults.active:
            # What a network gives for an input that is not a number is not a number either.
            observation = np.full_like(observation, np.nan)
        return self._policy.act(observation, memory)


class _FaultyHand:
    def __init__(self, hand: Hand, faults: Faults) -> None:
        self._hand, self._faults = hand, faults
        self._last: Array | None = None

    def read(self) -> HandReading:
        if "hand" in self._faults.active:
            raise TimeoutError("no answer")
        return self._hand.read()

    def command(self, targets: Array) -> None:
        if "hand" not in self._faults.active:
            self._last = targets
            self._hand.command(targets)
            return
        # A hand out of reach goes on holding what it was told last, and time goes on for it.
        if self._last is not None:
            self._hand.command(self._last)
        raise TimeoutError("no answer")

    def close(self) -> None:
        self._hand.close()
