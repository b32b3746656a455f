"""Records a video of an imitation: `opendactyl run --imitate DIR`."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.imitation_session import load_imitation
from opendactyl.control.estimation.recorded_poses import recorded_orientations
from opendactyl.control.imitation.evaluate import refuse_unused
from opendactyl.control.imitation.goal_rollout import DirectedPose, make_goal_env
from opendactyl.control.runtime.imitated_goals import ImitatedGoals
from opendactyl.control.runtime.interfaces import PoseSource
from opendactyl.control.viewer.video import RunConfig, VideoRecorder
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.imitation.programs import check_object


class ImitationRecorder(VideoRecorder):
    """Records an episode whose goals follow from a demonstration; it ends with the last."""

    def _make_env(self, config: RunConfig) -> HandEnv:
        assert config.imitate is not None
        refuse_unused(config)
        check_object(self.bundle.object_name)
        network, track = load_imitation(self.bundle), recorded_orientations(config.imitate)
        # As of this episode in `evaluate`.
        self._goals = ImitatedGoals(network, track, seed=config.episode)
        return make_goal_env(self.bundle, 1, config.seed, first=config.episode)

    def _directed(self, source: PoseSource) -> PoseSource:
        self._pose = DirectedPose(source, self._goals, self.env, 0)
        return self._pose

    def _progress(self) -> tuple[Array, int]:
        # Before the first pose nothing is known of a goal but where the object lies.
        start = self.env.object_pose()[1][0].copy()
        return start if self._pose.goal is None else self._pose.goal, self._goals.reached

    def step(self) -> NDArray[np.uint8]:
        """Takes an action; returns the frame before it."""
        frame = super().step()
        if self._goals.done:
            self.env.running[0] = False
        return frame
