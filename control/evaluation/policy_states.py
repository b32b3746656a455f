"""States a policy gets into: D18's source of training images for its estimator."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.evaluation.batched_loop import Loop
from opendactyl.control.evaluation.episodes import open_renderer
from opendactyl.control.evaluation.sim_adapters import SimCameras, SimPose
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array, quat_canonical, quat_multiply, rotvec_to_quat
from opendactyl.geometry.symmetry import CUBE_ROTATIONS
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.render.appearance.config import load_appearance
from opendactyl.sim.state import State
from opendactyl.vision.measures.metrics import GOOD_ANGLE_DEG, GOOD_MM

ROLLOUTS = 16
"""Roll-outs that fill a shard between them."""
SPACING = 5
"""Actions between two states kept of a roll-out, on average; of these the hardest is mined."""
KEPT = 8
"""Of the roll-outs' hardest states in so many actions, how many are mined: the hardest half."""
UNCHANGED, TURNED = 0.2, 0.4
"""Shares of poses left alone and turned by 90° steps; the rest is jittered (D18 D.2)."""
POSITION_JITTER, ROTATION_JITTER = 0.005, 0.2
JOINT_JITTER = 0.05
"""Standard deviations of the jitter in metres and radians; D18 does not state its own."""


class RolloutStates:
    """States from roll-outs; a shard is a fixed batch of them, seeded by (seed, first index)."""

    name = "policy"

    def __init__(self, bundle: Path) -> None:
        """Loads the bundle whose policy acts."""
        self._bundle: Bundle = load_bundle(bundle)
        self.fingerprint = self._bundle.identity

    def check(self, object_name: str) -> None:
        """Raises an `InputError` unless the bundle was made for this object."""
        if object_name != self._bundle.object_name:
            raise InputError(
                f"the bundle turns the {self._bundle.object_name}, not the {object_name}; "
                f"use --object {self._bundle.object_name}"
            )

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`, the bounds of a shard."""
        rng = np.random.default_rng([seed, start])
        env = self._environment(rng)
        loop = Loop(self._bundle, env, [SimPose(env, i) for i in range(ROLLOUTS)])
        wanted = stop - start
        while wanted > 0:
            for _ in range(int(rng.integers(1, 2 * SPACING))):
                loop.step()
            for i in range(min(ROLLOUTS, wanted)):
                yield augmented(env.state(i), rng, env.scene.joint_range)
            wanted -= ROLLOUTS

    def _environment(self, rng: np.random.Generator) -> HandEnv:
        settings = EnvConfig(task=self._bundle.task, object=self._bundle.object_name)
        seed = int(rng.integers(2**31))
        return HandEnv(settings, ROLLOUTS, seed=seed, threads=1, first_episode=0)


class MinedStates(RolloutStates):
    """What the bundle's own estimator gets wrong while the policy acts by its sight.

    DeXtreme's replay: the estimator is trained on more of the states in which it failed.
    """

    name = "mined"

    def __init__(self, bundle: Path) -> None:
        """Loads the bundle whose policy acts by the bundle's own sight."""
        super().__init__(bundle)
        # How states are chosen has changed once: a dataset begun before is not gone on with.
        self.fingerprint += "-2"

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`, the bounds of a shard."""
        rng = np.random.default_rng([seed, start])
        env = self._environment(rng)
        wanted = stop - start
        with open_renderer("classic", self._bundle) as renderer:
            look, looks = load_appearance("dactyl"), int(rng.integers(2**31))
            cameras = [SimCameras(env, i, renderer, look, looks) for i in range(ROLLOUTS)]
            loop = Loop(self._bundle, env, [VisionPose(self._bundle, c) for c in cameras])
            while wanted > 0:
                states, badness = self._worst(env, loop)
                for i in np.argsort(-badness, kind="stable")[: min(KEPT, wanted)]:
                    yield states[i]
                wanted -= KEPT

    def _worst(self, env: HandEnv, loop: Loop) -> tuple[list[State], Array]:
        """Of each roll-out's next `SPACING` states the hardest, and how bad the estimate was."""
        worst, hardest = np.full(ROLLOUTS, -np.inf), [env.state(i) for i in range(ROLLOUTS)]
        for _ in range(SPACING):
            before = [env.state(i) for i in range(ROLLOUTS)]
            loop.step()
            bad = badness(loop.error_rad, loop.error_m)
            for i in np.flatnonzero(bad > worst):
                hardest[i] = before[i]
            worst = np.fmax(worst, bad)
        return hardest, worst


def badness(error_rad: Array, error_m: Array) -> Array:
    """How bad estimates (B,) are, beside Dactyl's own: degrees and millimetres on one scale."""
    return np.rad2deg(error_rad) / GOOD_ANGLE_DEG + error_m * 1000 / GOOD_MM


def rollout_source(states: str, object_name: str) -> Callable[[], RolloutStates] | None:
    """Makes the source that `--states` names, if it is one of roll-outs.

    Args:
        states: `policy:BUNDLE` or `mined:BUNDLE`; of anything else nothing is made.
        object_name: what the dataset shows.

    Raises:
        InputError: there is no such bundle, or it was made for another object.
    """
    kind, _, bundle = states.partition(":")
    sources = {source.name: source for source in (RolloutStates, MinedStates)}
    if kind not in sources or not bundle:
        return None
    make_source = partial(sources[kind], Path(bundle))
    make_source().check(object_name)
    return make_source


def augmented(state: State, rng: np.random.Generator, joint_range: Array) -> State:
    """D18's 20 / 40 / 40: as it is, turned by a rotation of the cube, or jittered with the hand.

    Args:
        state: what the policy got into.
        rng: decides what happens to it.
        joint_range: the joints' limits (24, 2) in radians, which jitter respects.
    """
    draw = rng.random()
    if draw < UNCHANGED:
        return state
    if draw < UNCHANGED + TURNED:
        turn = CUBE_ROTATIONS[rng.integers(len(CUBE_ROTATIONS))]
        return State(
            state.joints, state.position, quat_canonical(quat_multiply(state.quaternion, turn))
        )
    position = state.position + rng.normal(0, POSITION_JITTER, 3)
    turn = rotvec_to_quat(rng.normal(0, ROTATION_JITTER, 3))
    joints = np.clip(state.joints + rng.normal(0, JOINT_JITTER, len(state.joints)), *joint_range.T)
    return State(joints, position, quat_canonical(quat_multiply(turn, state.quaternion)))
