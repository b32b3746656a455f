"""One simulation of an environment as a hand, cameras, pose source and goal source."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.runtime.interfaces import HandReading, Views
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Step
from opendactyl.policy.interface.actions import ActionDecoder
from opendactyl.render.appearance.config import Appearance, AppearanceConfig
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import Renderer
from opendactyl.render.episode_views import APPEARANCE_STREAM
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.estimator import Pose

TRUE_POSE_COVARIANCE = np.diag([1e-8] * 6)
"""Covariance of the simulator's pose: not zero, so that a filter can invert it."""


class TargetDecoder(ActionDecoder):
    """Replaces an environment's decoder of bins, so that actions are joint targets."""

    delay = 0
    """Actions after which targets act; until the first do, the hand holds those of its start."""
    _sent: list[Array]

    @classmethod
    def install(cls, env: HandEnv, delay: int = 0) -> "TargetDecoder":
        """Replaces the decoder of an environment, which must be reset then."""
        old = env.decoder
        env.decoder = new = cls(old.config, old.low, old.high)
        new.delay, new._sent = delay, []
        return new

    def reset(self, actuated: Array, where: NDArray[np.bool_] | None = None) -> None:
        """Sets the targets to the angles (B, A) of the actuated joints, in the hands `where`."""
        super().reset(actuated, where)
        if where is None:
            self._sent = [self.targets.copy() for _ in range(self.delay)]
        else:
            for targets in self._sent:
                targets[where] = self.targets[where]

    def decode(self, bins: NDArray[Any], actuated: Array) -> Array:
        """Returns the targets (B, 20) of the current step; ignores the bins."""
        return self.targets

    def step(self, env: HandEnv, targets: Array) -> Step:
        """Takes one action with targets (B, 20) in radians, clipped to the limits."""
        self._sent.append(np.clip(targets, self.low, self.high))
        self.targets = self._sent.pop(0)
        return env.step(np.zeros(targets.shape, dtype=np.int64))


class SimHand:
    """An environment of one simulation as a hand: each command advances one control period."""

    def __init__(self, env: HandEnv, delay: int = 0) -> None:
        """Resets the environment; targets act `delay` actions later."""
        self.env = env
        self._decoder = TargetDecoder.install(env, delay)
        env.reset()
        self.last: Step | None = None
        """Result of the last command."""

    @property
    def done(self) -> bool:
        """Whether the episode has ended; commands then have no effect."""
        return not self.env.running[0]

    def read(self) -> HandReading:
        """Returns joint angles and fingertips from the environment's sensors."""
        measured = self.env.measured
        sensed = [None if x is None else x[0].copy() for x in (measured.touch, measured.forces)]
        return HandReading(measured.joints[0].copy(), measured.fingertips[0].copy(), None, *sensed)

    def command(self, targets: Array) -> None:
        """Simulates one control period with targets (20,) in radians."""
        if not self.done:
            self.last = self._decoder.step(self.env, targets[None])

    def restart(self) -> None:
        """Starts the next episode."""
        self.env.first_episode += 1
        self.env.reset()

    def close(self) -> None:
        """No-op."""


class SimCameras:
    """Rendered images of one simulation; the appearance is sampled once per episode."""

    def __init__(
        self, env: HandEnv, number: int, renderer: Renderer, ranges: AppearanceConfig, seed: int
    ) -> None:
        """Uses a renderer that may be shared; the caller closes it.

        Args:
            env: the environment.
            number: index of the simulation in it.
            renderer: renders the bundle's rig at the estimator's size.
            ranges: ranges of the appearance.
            seed: seed of the appearances.
        """
        self.renderer = renderer
        self._env, self._number, self._ranges, self._seed = env, number, ranges, seed
        self.visibility_every = 0
        """Number of images between two measurements of visibility; 0 measures none."""
        self.visible: NDArray[np.float64] | None = None
        """Visible fraction of the object per view (V,) in the last images, if measured."""
        self.images: Views = ()
        """The last images."""
        self._taken = 0
        self._sampled: tuple[int, Appearance] | None = None

    def read(self) -> Views:
        """Renders the images (V, H, W, 3) of the current state."""
        images = self.renderer.render(self._env.state(self._number), self._appearance())
        measure = self.visibility_every and self._taken % self.visibility_every == 0
        self.visible = self.renderer.visible_fraction() if measure else None
        self._taken += 1
        self.images = [*images]
        return self.images

    def _appearance(self) -> Appearance:
        episode = int(self._env.episode[self._number])
        if self._sampled is None or self._sampled[0] != episode:
            rng = np.random.default_rng([self._seed, episode, APPEARANCE_STREAM])
            obj = object_spec(self._env.config.object)
            views = len(self.renderer.rig.cameras)
            self._sampled = episode, sample_appearance(rng, self._ranges, views=views, obj=obj)
        return self._sampled[1]

    def close(self) -> None:
        """No-op: the caller closes the renderer."""


class SimPose:
    """The simulator's pose: exact, unless the environment randomizes its sensors."""

    seconds: Mapping[str, float] = {}

    def __init__(self, env: HandEnv, number: int = 0) -> None:
        """The pose in simulation `number`."""
        self._env, self._number = env, number

    def pose(self, reading: HandReading) -> Pose:
        """Returns the pose that the environment measures."""
        measured, number = self._env.measured, self._number
        position, quaternion = measured.object_position[number], measured.object_quaternion[number]
        hinges = measured.hinges[number].copy()
        return Pose(position.copy(), quaternion.copy(), TRUE_POSE_COVARIANCE, hinges=hinges)

    def skip(self) -> None:
        """No-op: the source is stateless."""

    def restart(self) -> None:
        """No-op: the source is stateless."""

    def close(self) -> None:
        """No-op."""


class SimGoals:
    """The goals of an environment, where success is measured on the true pose."""

    def __init__(self, env: HandEnv) -> None:
        """The goals of the first simulation."""
        self._env = env

    @property
    def reached(self) -> int:
        """Number of goals reached in this episode."""
        return int(self._env.goals[0])

    def goal(self, pose: Pose) -> Array:
        """Returns the current goal (4 + H,)."""
        return self._env.goal[0]

    def restart(self) -> None:
        """No-op: goals restart with the environment's episodes."""
