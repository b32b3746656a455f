"""The demonstrator, who knows the program, and the oracle, who does no more than it says."""

from collections.abc import Sequence

import numpy as np

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.evaluation.sim_adapters import SimPose
from opendactyl.control.imitation.goal_rollout import (
    DEMONSTRATED,
    make_goal_env,
    run_goal_episodes,
)
from opendactyl.control.runtime.imitated_goals import HOLD, REACHED, HeldGoals
from opendactyl.geometry.rotation import Array, geodesic_angle, random_quat
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.imitation.dataset import IDLE
from opendactyl.policy.imitation.forms import held_out, sample_program
from opendactyl.policy.imitation.predicate import satisfied
from opendactyl.policy.imitation.programs import Program
from opendactyl.policy.imitation.tracks import Track
from opendactyl.vision.estimator import Pose

REST = (15, 35)
"""Actions for which a demonstrator rests at a goal."""
DETOUR, PAUSE = 0.3, 0.3
"""Probabilities of a detour and of a pause on the way to a goal."""
UNMEASURED = 1.0
"""Mean absolute error in degrees about each axis of an estimator whose errors are not known."""
DETOUR_ACTIONS, PAUSE_ACTIONS = (8, 20), (5, 15)
"""Actions that they take."""


TRACKS = 2 * DEMONSTRATED
"""Number of the first episode of a training's demonstrations."""


class OracleGoals(HeldGoals):
    """The goals of a program."""

    def __init__(self, program: Program, reached_angle: float = REACHED) -> None:
        """Starts at the first pose; `reached_angle` as of `HeldGoals`."""
        self._program = program
        super().__init__(reached_angle)

    def _next(self, waypoints: Array) -> Array | None:
        if len(waypoints) > len(self._program.actions):
            return None
        return self._program.actions[len(waypoints) - 1].goal(waypoints)


class DemonstratorGoals(OracleGoals):
    """The goals of a program, with rests at them and detours and pauses on the way."""

    def __init__(self, program: Program, rng: np.random.Generator) -> None:
        """Starts at the first pose; `rng` draws what means nothing."""
        self._rng = rng
        super().__init__(program)

    def restart(self) -> None:
        """Starts again at the next pose."""
        super().restart()
        self.times: list[int] = []
        """Indices of the waypoints among the poses so far."""
        self._time, self._rest_until = -1, -1
        self._interludes: list[tuple[int, int, Array | None]] = []

    def goal(self, pose: Pose) -> Array:
        """Returns the goal (4,), or that of a detour or pause."""
        self._time += 1
        goal = super().goal(pose)
        for number, (first, last, aside) in enumerate(self._interludes):
            if first <= self._time < last and self._rest_until < 0 and not self.done:
                if aside is None:  # A pause stays where the object is when it begins.
                    aside = pose.quaternion.copy()
                    self._interludes[number] = (first, last, aside)
                return aside
        return goal

    def _is_over(self) -> bool:
        if self._near >= HOLD and self._rest_until < 0:
            self._rest_until = self._time + int(self._rng.integers(*REST))
        return self._near >= HOLD and 0 <= self._rest_until <= self._time

    def _next(self, waypoints: Array) -> Array | None:
        self.times.append(self._time)
        self._rest_until = -1
        self._interludes = self._sample_interludes()
        return super()._next(waypoints)

    def _sample_interludes(self) -> list[tuple[int, int, Array | None]]:
        """First action, end, and goal of each; no goal for a pause."""
        rng, begin = self._rng, self._time
        found: list[tuple[int, int, Array | None]] = []
        if rng.random() < DETOUR:
            begin += int(rng.integers(0, 8))
            found.append((begin, begin + int(rng.integers(*DETOUR_ACTIONS)), random_quat(rng)))
            begin = found[-1][1]
        if rng.random() < PAUSE:
            begin += int(rng.integers(5, 12))
            found.append((begin, begin + int(rng.integers(*PAUSE_ACTIONS)), None))
        return found


def random_demonstrations(bundle: Bundle, seed: int, count: int, threads: int = 0) -> list[Track]:
    """Demonstrations of random programs that are not held out, without those that failed."""
    env = make_goal_env(bundle, count, seed, threads, first=TRACKS)
    env.reset()
    rngs = [np.random.default_rng([seed, number]) for number in range(count)]
    starts = env.object_pose()[1]
    programs = [_fitting_program(*pair) for pair in zip(rngs, starts, strict=True)]
    return [track for track in demonstrations(bundle, env, programs, rngs) if track is not None]


def demonstrations(
    bundle: Bundle, env: HandEnv, programs: Sequence[Program], rngs: Sequence[np.random.Generator]
) -> list[Track | None]:
    """Demonstrates a program in each simulation; None where the demonstration failed."""
    goals = [DemonstratorGoals(*pair) for pair in zip(programs, rngs, strict=True)]
    sources = [SimPose(env, i) for i in range(env.num_envs)]
    episodes = run_goal_episodes(bundle, env, sources, goals)
    found: list[Track | None] = []
    for program, episode, goal in zip(programs, episodes, goals, strict=True):
        good = episode.done and satisfied(program, episode.track)
        found.append(Track(program, episode.track, np.array(goal.times)) if good else None)
    return found


def fits(program: Program, start: Array) -> bool:
    """Whether the first action rotates an object at `start`, so that it can be demonstrated."""
    return bool(geodesic_angle(program.actions[0].goal(start[None]), start) > IDLE)


def _fitting_program(rng: np.random.Generator, start: Array) -> Program:
    """Draws a program, not held out, that can be demonstrated from `start`."""
    while True:
        program = sample_program(rng)
        if fits(program, start) and not held_out(program):
            return program


def estimator_noise(bundle: Bundle) -> Array:
    """The covariance (3, 3) of the rotation vector in the hand frame, from the measured errors.

    About each axis the largest of the bundle's test sets; `UNMEASURED` without such.
    """
    metrics = bundle.manifest.get("metrics", {})
    rows = [*metrics.get("sight", []), *([metrics["vision"]] if "vision" in metrics else [])]
    errors = [[row["rotation_error_deg"].get(axis, UNMEASURED) for axis in "xyz"] for row in rows]
    mean_deg = np.max(errors, axis=0) if errors else np.full(3, UNMEASURED)
    # The mean absolute value of a normal variable is sqrt(2 / pi) of its spread.
    return np.diag(np.deg2rad(mean_deg) ** 2 * np.pi / 2)
