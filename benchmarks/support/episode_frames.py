"""Rendered frames of a bundle's episodes with true poses, for the study of the cameras' wiring."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import POSE_FILE, Bundle
from opendactyl.control.evaluation.batched_loop import BatchedLoop
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_env,
    open_renderer,
)
from opendactyl.control.evaluation.sim_adapters import SimPose
from opendactyl.vision.estimator import PoseEstimator

WARM_UP = 40
"""Largest number of actions before the first frames of an episode."""


def of_views(bundle: Bundle) -> Bundle:
    """The bundle with an estimator of the views that are rendered here, not of raw frames."""
    estimator = PoseEstimator(bundle.path / POSE_FILE, rig=bundle.rig)
    return replace(bundle, estimator=estimator, raw_rig=None)


class EpisodeFrames(AbstractContextManager["EpisodeFrames"]):
    """Opens a renderer; each episode has an appearance of its own."""

    def __init__(self, bundle: Bundle, renderer: str, appearance: str, seed: int) -> None:
        """Takes the renderer's name, the appearance's preset, and the seed of the episodes."""
        self._bundle = bundle
        self._config = EpisodeConfig(
            bundle=bundle.path, renderer=renderer, appearance=appearance, seed=seed
        )
        self._renderer = open_renderer(renderer, bundle)

    def since(self, episode: int) -> Iterator[list[NDArray[np.uint8]]]:
        """The frame sets of an episode and those after it, one per action; it never ends."""
        while True:
            env = make_env(self._config, self._bundle, 1, first=episode, threads=1)
            loop = BatchedLoop(self._bundle, env, [SimPose(env)])
            cameras = make_cameras(self._config, env, 0, self._renderer)
            rng = np.random.default_rng([self._config.seed, episode])
            for _ in range(int(rng.integers(WARM_UP))):
                if env.running[0]:
                    loop.step()
            while env.running[0]:
                yield [np.array(view) for view in cameras.read()]
                loop.step()
            episode += 1

    def __exit__(self, *error: object) -> None:
        """Closes the renderer."""
        self._renderer.close()
