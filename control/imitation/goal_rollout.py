"""Episodes in batched physics whose goals come from goal sources, such as an imitation network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.evaluation.batched_loop import BatchedLoop
from opendactyl.control.evaluation.episodes import check_period
from opendactyl.control.runtime.interfaces import EndingGoals, GoalSource, HandReading, PoseSource
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.vision.estimator import Pose

UNLIMITED = 10**9
"""Goals per episode: the goal source ends it."""
SECONDS_PER_GOAL = 20.0
"""An episode ends when the object was nowhere near a goal for this long."""
DEMONSTRATED = 1_000_000
"""Number of the first episode of demonstrations, so that imitations of one seed start elsewhere."""
MAX_ACTIONS = 900
"""Length of an episode: 72 s."""


@dataclass(frozen=True, eq=False)
class Episode:
    """What happened to the object."""

    track: Array
    """True orientations (T, 4), the first before any action, the last where the goals ended."""
    observed: Array
    """The same as the pose source gave them; the one before where it gave none."""
    done: bool
    """Whether the goal source ended the episode; otherwise a drop or a time-out did."""


class DirectedPose:
    """A pose source that hands each pose to a goal source first, which sets the goal."""

    def __init__(self, source: PoseSource, goals: GoalSource, env: HandEnv, number: int) -> None:
        """The pose and goals of simulation `number`."""
        self._source, self._goals, self._env, self._number = source, goals, env, number
        self.goal: Array | None = None
        """The goal (4,) at the last pose; None before the first."""
        self.observed: list[Array] = []
        """The orientation (4,) at each action; the one before where the source had none."""

    @property
    def seconds(self) -> dict[str, float]:
        """Durations of the pose source."""
        return dict(self._source.seconds)

    def pose(self, reading: HandReading) -> Pose:
        """Returns the pose, after setting the environment's goal."""
        actions = len(self.observed)
        try:
            pose = self._source.pose(reading)
            self.observed.append(pose.quaternion.copy())
            self.goal = self._goals.goal(pose)
            return pose
        finally:
            if len(self.observed) == actions:
                self.observed += self.observed[-1:]
            # Without a pose, too: the environment draws another goal wherever it counts a success.
            if self.goal is not None:
                self._env.goal[self._number] = self.goal

    def skip(self) -> None:
        """As the source does."""
        self._source.skip()

    def restart(self) -> None:
        """Restarts both."""
        self._source.restart()
        self._goals.restart()
        self.goal, self.observed = None, []

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


def make_goal_env(
    bundle: Bundle, count: int, seed: int, threads: int = 0, first: int = 0
) -> HandEnv:
    """Makes `count` episodes, from number `first` on, whose goals are set from outside.

    Raises:
        InputError: the bundle's control period is not that of the simulation.
    """
    check_period(bundle)
    config = EnvConfig(
        task="reorient",
        object=bundle.object,
        hand=bundle.hand_reference,
        seconds_per_goal=SECONDS_PER_GOAL,
        max_goals=UNLIMITED,
        evaluation=True,
    )
    return HandEnv(config, count, seed=seed, threads=threads, first_episode=first)


def run_goal_episodes(
    bundle: Bundle,
    env: HandEnv,
    sources: Sequence[PoseSource],
    goals: Sequence[EndingGoals],
    each_action: Callable[[], object] = lambda: None,
) -> list[Episode]:
    """Runs every episode until its goals end, a drop, or a time-out.

    Args:
        bundle: provides the policy.
        env: B simulations, see `make_goal_env`.
        sources: their pose sources.
        goals: their goal sources.
        each_action: called before each action.
    """
    directed = [
        DirectedPose(source, goal, env, i)
        for i, (source, goal) in enumerate(zip(sources, goals, strict=True))
    ]
    loop = BatchedLoop(bundle, env, directed)
    tracks = [[quat] for quat in env.object_pose()[1].copy()]
    for _ in range(MAX_ACTIONS):
        running = [int(i) for i in np.flatnonzero(env.running)]
        if not running:
            break
        each_action()
        loop.step()
        quats = env.object_pose()[1]
        for i in running:
            if goals[i].done:  # at the pose before this action
                env.running[i] = False
            else:
                tracks[i].append(quats[i].copy())
    return [
        Episode(np.array(track), np.array(pose.observed), goal.done)
        for track, pose, goal in zip(tracks, directed, goals, strict=True)
    ]
