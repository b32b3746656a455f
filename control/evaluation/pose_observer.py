"""Poses and tokens of an estimator in all simulations of an environment."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import PoseBundle, load_pose_bundle
from opendactyl.control.evaluation.batched_loop import raise_renderer_error
from opendactyl.control.evaluation.episodes import open_renderer
from opendactyl.control.evaluation.sim_adapters import SimCameras
from opendactyl.control.runtime.interfaces import Fault, HandReading
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.env import HandEnv
from opendactyl.render.appearance.config import load_appearance
from opendactyl.render.base import Renderer
from opendactyl.sim.assets.storage import is_same
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec

APPEARANCE_SEED_OFFSET = 700_000
"""Added to the environment's seed for the appearances."""


class ObserverFactory:
    """Opens the classic renderer and a bundle's estimator for an environment."""

    def __init__(self, path: Path, appearance: str = "dactyl") -> None:
        """Loads the estimator.

        Args:
            path: the bundle.
            appearance: preset or file of the appearances, which are sampled once an episode.

        Raises:
            InputError: the bundle cannot be used, or its estimator gives no tokens.
        """
        self._bundle, self._ranges = load_pose_bundle(path), load_appearance(appearance)
        outputs = self._bundle.manifest["pose"]["outputs"]
        if "tokens" not in outputs:
            raise InputError(
                f"the estimator of {path} gives no tokens, since it was exported by an earlier "
                "version or detects no landmarks; export a --model landmark again"
            )
        views, size = outputs["tokens"][1:]
        self.tokens: tuple[int, int] = (int(views), int(size))
        """Shape (V, T) of the estimator's tokens."""

    def __call__(self, env: HandEnv) -> "EstimatedPoses":
        """Observes the simulations of `env`.

        Raises:
            InputError: the estimator is of another object or hand.
        """
        bundle, config = self._bundle, env.config
        for kind, describe, theirs, own in (
            ("object", object_spec, bundle.object, config.object),
            ("hand", hand_spec, bundle.hand_reference, config.hand),
        ):
            if not is_same(describe(theirs), describe(own)):
                raise InputError(
                    f"the estimator of {bundle.path} is of {kind} {theirs}, the policy of {own}"
                )
        renderer = open_renderer("classic", bundle)
        seed = env.seed + APPEARANCE_SEED_OFFSET
        cameras = [SimCameras(env, i, renderer, self._ranges, seed) for i in range(env.num_envs)]
        return EstimatedPoses(bundle, renderer, cameras, self.tokens)


class EstimatedPoses:
    """Renders and estimates every simulation in turn."""

    def __init__(
        self,
        bundle: PoseBundle,
        renderer: Renderer,
        cameras: list[SimCameras],
        tokens: tuple[int, int],
    ) -> None:
        """Takes over the renderer."""
        self._renderer = renderer
        self._sources = [VisionPose(bundle, c, check_wiring=False) for c in cameras]
        self._position = np.zeros((len(cameras), 3))
        self._quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (len(cameras), 1))
        self._tokens = np.full((len(cameras), *tokens), np.nan, np.float32)

    def observe(self, env: HandEnv) -> tuple[Array, Array, NDArray[np.float32]]:
        """Positions (B, 3), quaternions (B, 4) and tokens (B, V, T).

        Without an estimate, the last pose, and NaN as tokens.
        """
        measured = env.measured
        for i, source in enumerate(self._sources):
            try:
                pose = source.pose(HandReading(measured.joints[i], measured.fingertips[i]))
            except Fault as fault:
                if fault.__cause__ is not None:  # the renderer failed
                    raise_renderer_error(fault.__cause__)
                self._tokens[i] = np.nan
                continue
            self._position[i], self._quaternion[i] = pose.position, pose.quaternion
            self._tokens[i] = np.nan if pose.tokens is None else pose.tokens
        return self._position.copy(), self._quaternion.copy(), self._tokens.copy()

    def close(self) -> None:
        """Closes the renderer."""
        self._renderer.close()
