"""The rig in simulation: hand, cameras, true pose and goals of one simulation of an environment."""

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
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.estimator import Pose

APPEARANCE_STREAM = 12
CERTAIN = np.diag([1e-8] * 6)
"""The covariance of what is known: not zero, so that a filter can invert it."""


class Commanded(ActionDecoder):
    """Stands in an environment for the decoder of bins: joint targets come as they are."""

    @classmethod
    def into(cls, env: HandEnv) -> "Commanded":
        """Makes an environment take targets instead of bins."""
        old = env.decoder
        env.decoder = new = cls(old.config, old.low, old.high)
        return new

    def decode(self, bins: NDArray[Any], actuated: Array) -> Array:
        """The targets (B, 20) that were commanded last."""
        return self.targets

    def step(self, env: HandEnv, targets: Array) -> Step:
        """Takes one action of targets (B, 20), in radians."""
        self.targets = np.clip(targets, self.low, self.high)
        return env.step(np.zeros(targets.shape, dtype=np.int64))


class SimHand:
    """An environment of one simulation as a hand: each command takes one control period."""

    def __init__(self, env: HandEnv) -> None:
        """Starts the episode."""
        self.env = env
        self._commanded = Commanded.into(env)
        env.reset()
        self.last: Step | None = None
        """What the last command brought."""

    @property
    def over(self) -> bool:
        """Whether the episode has ended; commands then do nothing."""
        return not self.env.running[0]

    def read(self) -> HandReading:
        """Joint angles and fingertips as the environment's sensors tell them."""
        seen = self.env.seen
        return HandReading(seen.joints[0].copy(), seen.fingertips[0].copy())

    def command(self, targets: Array) -> None:
        """Moves towards the targets (20,) for one period."""
        if not self.over:
            self.last = self._commanded.step(self.env, targets[None])

    def restart(self) -> None:
        """Starts the next episode."""
        self.env.first_episode += 1
        self.env.reset()

    def close(self) -> None:
        """Holds nothing."""


class SimCameras:
    """Rendered images of one simulation; its appearance is drawn once an episode."""

    def __init__(
        self, env: HandEnv, number: int, renderer: Renderer, look: AppearanceConfig, seed: int
    ) -> None:
        """Shares a renderer, which whoever made it closes.

        Args:
            env: the environment.
            number: the simulation in it.
            renderer: of the bundle's rig, at the estimator's size.
            look: ranges of the appearance.
            seed: seed of the appearances.
        """
        self.renderer = renderer
        self._env, self._number, self._ranges, self._seed = env, number, look, seed
        self.visibility_every = 0
        """Images between two looks at how much of the object is seen; 0 never looks."""
        self.visible: NDArray[np.float64] | None = None
        """Visible share of the object per view (V,) in the last images, where looked at."""
        self.images: Views = ()
        """The last images."""
        self._taken = 0
        self._drawn: tuple[int, Appearance] | None = None

    def read(self) -> Views:
        """The images (V, H, W, 3) of the present state."""
        images = self.renderer.render(self._env.state(self._number), self._look())
        look = self.visibility_every and self._taken % self.visibility_every == 0
        self.visible = self.renderer.visible_fraction() if look else None
        self._taken += 1
        self.images = [*images]
        return self.images

    def _look(self) -> Appearance:
        episode = int(self._env.episode[self._number])
        if self._drawn is None or self._drawn[0] != episode:
            rng = np.random.default_rng([self._seed, episode, APPEARANCE_STREAM])
            obj = object_spec(self._env.config.object)
            views = len(self.renderer.rig.cameras)
            look = sample_appearance(rng, self._ranges, views=views, obj=obj)
            self._drawn = (episode, look)
        return self._drawn[1]

    def close(self) -> None:
        """Leaves the renderer open: others use it too."""


class SimPose:
    """The simulator's own pose: the truth, unless the environment randomizes what is measured."""

    seconds: Mapping[str, float] = {}

    def __init__(self, env: HandEnv, number: int = 0) -> None:
        """The pose in one simulation."""
        self._env, self._number = env, number

    def pose(self, reading: HandReading) -> Pose:
        """The pose as the environment tells it."""
        seen, number = self._env.seen, self._number
        position, quaternion = seen.object_position[number], seen.object_quaternion[number]
        return Pose(position.copy(), quaternion.copy(), CERTAIN)

    def skip(self) -> None:
        """Does not mind."""

    def restart(self) -> None:
        """Remembers nothing."""

    def close(self) -> None:
        """Holds nothing."""


class SimGoals:
    """The environment's own goals, reached by the true pose."""

    def __init__(self, env: HandEnv) -> None:
        """The goals of the first simulation."""
        self._env = env

    @property
    def reached(self) -> int:
        """Goals reached in this episode."""
        return int(self._env.goals[0])

    def goal(self, pose: Pose) -> Array:
        """The present goal (4,)."""
        return self._env.goal[0]

    def restart(self) -> None:
        """Follows the environment's episodes by itself."""
