"""Fault injection: wrappers that make the components of a robot fail as real ones do."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.bundle.policy_session import PolicyMemory, PolicySession
from opendactyl.control.runtime.interfaces import (
    CameraSource,
    Hand,
    HandReading,
    PoseSource,
    TimedViews,
    Views,
)
from opendactyl.geometry.rotation import Array, quat_from_axis_angle, quat_multiply
from opendactyl.vision.estimator import Pose

FAULTS = {
    "freeze": "a camera repeats its last image",
    "drop": "a camera gives no image",
    "black": "a camera gives black images",
    "nan": "a camera gives values that are not finite",
    "size": "a camera gives images of another size",
    "occlude": "a camera is covered",
    "jump": "the estimate jumps",
    "policy": "the policy's output is NaN",
    "hand": "the hand does not respond",
}
"""Every fault that can be injected, and its effect."""
OCCLUDER_RGB = np.array([120.0, 90.0, 70.0])
"""Colour of the object that covers a camera."""
OCCLUDER_SHADE, OCCLUDER_NOISE = 10.0, 6.0
"""Its brightness gradient across the image, and the standard deviation of the noise, of 255."""
JUMP_POSITION, JUMP_ANGLE = 0.05, 1.5
"""Offset of an estimate that jumps, in metres and radians."""


class FaultInjector:
    """Makes wrappers that fail while a fault is in `active`."""

    def __init__(self, view: int = 0) -> None:
        """No fault is active; `view` is the index of the camera that fails."""
        self.active: set[str] = set()
        self.view = view

    def bundle(self, bundle: Bundle) -> Bundle:
        """Wraps the policy of a bundle."""
        return dataclasses.replace(bundle, policy=_FaultyPolicy(bundle.policy, self))

    def cameras(self, cameras: CameraSource) -> CameraSource:
        """Wraps cameras."""
        return _FaultyCameras(cameras, self)

    def source(self, source: PoseSource) -> PoseSource:
        """Wraps a pose source, whose estimates can jump. Filters go outside of this wrapper."""
        return _FaultyPose(source, self)

    def hand(self, hand: Hand) -> Hand:
        """Wraps a hand."""
        return _FaultyHand(hand, self)


class _FaultyCameras:
    def __init__(self, cameras: CameraSource, faults: FaultInjector) -> None:
        self._cameras, self._faults = cameras, faults
        self._last: dict[int, NDArray[np.uint8]] = {}
        self._rng = np.random.default_rng(0)

    def read(self) -> Views | TimedViews:
        read = self._cameras.read()
        if isinstance(read, TimedViews):
            return TimedViews(self._changed(read.views), read.times)
        return self._changed(read)

    def _changed(self, fresh: Views) -> Views:
        views, number = list(fresh), self._faults.view
        active = self._faults.active
        for other, image in enumerate(views):
            if image is not None and not (other == number and "freeze" in active):
                self._last[other] = image
        view = views[number]
        if view is not None and "freeze" in active:
            view = self._last.get(number, view)
        if view is not None:
            views[number] = self._corrupted(view, active)  # type: ignore[assignment]
        return views

    def close(self) -> None:
        self._cameras.close()

    def _corrupted(self, view: NDArray[np.uint8], active: set[str]) -> NDArray[np.generic] | None:
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
        """An image of one colour with a brightness gradient and noise."""
        shade = np.linspace(0, OCCLUDER_SHADE, shape[1])[:, None]
        noise = self._rng.normal(0, OCCLUDER_NOISE, shape)
        return np.clip(OCCLUDER_RGB - shade + noise, 0, 255).astype(np.uint8)


class _FaultyPose:
    def __init__(self, source: PoseSource, faults: FaultInjector) -> None:
        self._source, self._faults = source, faults

    @property
    def seconds(self) -> Mapping[str, float]:
        return self._source.seconds

    def pose(self, reading: HandReading) -> Pose:
        pose = self._source.pose(reading)
        if "jump" not in self._faults.active:
            return pose
        rotation = quat_from_axis_angle([1.0, 1.0, 0.0], JUMP_ANGLE)
        shifted = pose.position + [0.0, JUMP_POSITION, 0.0]
        return Pose(shifted, quat_multiply(rotation, pose.quaternion), pose.covariance)

    def skip(self) -> None:
        self._source.skip()

    def restart(self) -> None:
        self._source.restart()

    def close(self) -> None:
        self._source.close()


class _FaultyPolicy(PolicySession):
    def __init__(self, policy: PolicySession, faults: FaultInjector) -> None:
        self._policy, self._faults = policy, faults

    def initial_memory(self, batch: int = 1) -> PolicyMemory:
        return self._policy.initial_memory(batch)

    def act(
        self,
        observation: NDArray[np.float32],
        memory: PolicyMemory,
        tokens: NDArray[np.float32] | None = None,
    ) -> tuple[Array, PolicyMemory, NDArray[np.bool_]]:
        if "policy" in self._faults.active:
            # NaN inputs make every output of the network NaN.
            observation = np.full_like(observation, np.nan)
        return self._policy.act(observation, memory, tokens)


class _FaultyHand:
    def __init__(self, hand: Hand, faults: FaultInjector) -> None:
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
        # A disconnected hand holds its last targets while time passes.
        if self._last is not None:
            self._hand.command(self._last)
        raise TimeoutError("no answer")

    def close(self) -> None:
        self._hand.close()
