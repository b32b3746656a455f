"""Pose sources: the loop never knows whether a pose was measured or estimated."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle import Bundle
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env import HandEnv
from opendactyl.render.appearance import Appearance, load_appearance
from opendactyl.render.draw import sample_appearance
from opendactyl.render.renderer import Renderer, make_renderer
from opendactyl.sim.objects import object_spec

APPEARANCE_STREAM = 12
POSE_SOURCES = ("sim", "vision")


class PoseSource(Protocol):
    """Where the policy's idea of the object's pose comes from."""

    def poses(self, env: HandEnv, which: NDArray[np.intp]) -> tuple[Array, Array]:
        """Positions (M, 3) and quaternions (M, 4) in the hand frame of simulations `which` (M,)."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


class SimPose:
    """The simulator's own truth."""

    def poses(self, env: HandEnv, which: NDArray[np.intp]) -> tuple[Array, Array]:
        """The true poses."""
        position, quaternion = env.object_pose()
        return position[which], quaternion[which]

    def close(self) -> None:
        """Holds nothing."""


@dataclass(eq=False)
class VisionPose:
    """The bundle's estimator on rendered images; the appearance is drawn once an episode."""

    bundle: Bundle
    renderer_kind: str = "classic"
    appearance: str = "dactyl"
    seed: int = 0
    images: NDArray[np.uint8] | None = None
    """The last images (V, H, W, 3), for videos."""
    _drawn: dict[int, Appearance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Opens the cameras."""
        self._ranges = load_appearance(self.appearance)
        self._renderer: Renderer = make_renderer(
            self.renderer_kind,
            rig=self.bundle.rig,
            object_name=self.bundle.object_name,
            image_size=self.bundle.estimator.shape[1],
        )

    def poses(self, env: HandEnv, which: NDArray[np.intp]) -> tuple[Array, Array]:
        """The estimated poses, one simulation after the other."""
        estimates = []
        for i in which:
            self.images = self._renderer.render(env.state(int(i)), self._look(int(env.episode[i])))
            estimates.append(self.bundle.estimator.estimate(self.images))
        return (
            np.stack([e.position for e in estimates]),
            np.stack([e.quaternion for e in estimates]),
        )

    def _look(self, episode: int) -> Appearance:
        if episode not in self._drawn:
            rng = np.random.default_rng([self.seed, episode, APPEARANCE_STREAM])
            self._drawn[episode] = sample_appearance(
                rng,
                self._ranges,
                views=len(self.bundle.rig.cameras),
                thing=object_spec(self.bundle.object_name),
            )
        return self._drawn[episode]

    def close(self) -> None:
        """Closes the cameras."""
        self._renderer.close()
