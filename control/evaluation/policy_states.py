"""States visited by a policy: D18's source of training images for the estimator."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.evaluation.batched_loop import BatchedLoop
from opendactyl.control.evaluation.episodes import open_renderer
from opendactyl.control.evaluation.sim_adapters import SimCameras, SimPose
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.errors import InputError
from opendactyl.geometry.articulation import wrap_angle
from opendactyl.geometry.rotation import Array, quat_canonical, quat_multiply, rotvec_to_quat
from opendactyl.geometry.symmetry import CUBE_ROTATIONS
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.render.appearance.config import load_appearance
from opendactyl.sim.assets.storage import is_same
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import Scene
from opendactyl.sim.state import State
from opendactyl.vision.measures.metrics import GOOD_ANGLE_DEG, GOOD_MM

ROLLOUTS = 16
"""Number of rollouts per shard."""
SPACING = 5
"""Mean number of actions between two states taken from a rollout; mining takes the hardest."""
KEPT = 8
"""Number of states mined from the rollouts' hardest states every `SPACING` actions: half."""
SPINS = 8
"""Number of rotations about an axis of revolution by which states are rotated."""
UNCHANGED, ROTATED = 0.2, 0.4
"""Fractions of poses left unchanged and rotated in steps of 90°; the rest is jittered (D18 D.2)."""
POSITION_JITTER, ROTATION_JITTER = 0.005, 0.2
JOINT_JITTER = 0.05
"""Standard deviations of the jitter in metres and radians; D18 does not state its values."""


class RolloutStates:
    """States from rollouts; a shard is a fixed batch of them, seeded by (seed, first index)."""

    name = "policy"

    def __init__(self, bundle: Path) -> None:
        """Loads the bundle that is rolled out."""
        self._bundle: Bundle = load_bundle(bundle)
        self.fingerprint = self._bundle.identity

    def check(self, object_name: str, hand: str = DEFAULT_HAND) -> None:
        """Raises an `InputError` unless the bundle was made for this object and hand."""
        if not is_same(hand_spec(hand), hand_spec(self._bundle.hand_reference)):
            raise InputError(
                f"the bundle was made for the hand {self._bundle.hand_name}, not {hand}; use "
                f"--hand {self._bundle.hand_reference}"
            )
        if not is_same(object_spec(object_name), object_spec(self._bundle.object)):
            raise InputError(
                f"the bundle was made for the {self._bundle.object_name}, not the {object_name}; "
                f"use --object {self._bundle.object}"
            )

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """Yields the states of samples `start` to `stop`, the bounds of a shard."""
        rng = np.random.default_rng([seed, start])
        env = self._environment(rng)
        loop = BatchedLoop(self._bundle, env, [SimPose(env, i) for i in range(ROLLOUTS)])
        wanted = stop - start
        # Rotated by another symmetry than its own, an object that is no cube enters the fingers.
        # So do parts between two right angles.
        obj = object_spec(self._bundle.object)
        is_solid = obj.files is None and not obj.attached
        rotations = CUBE_ROTATIONS if is_solid else env.scene.symmetry.samples(SPINS)
        while wanted > 0:
            for _ in range(int(rng.integers(1, 2 * SPACING))):
                loop.step()
            for i in range(min(ROLLOUTS, wanted)):
                state = augmented(env.state(i), rng, env.scene.joint_range, rotations)
                yield possible(env.scene, state)
            wanted -= ROLLOUTS

    def _environment(self, rng: np.random.Generator) -> HandEnv:
        settings = EnvConfig(
            task=self._bundle.task, object=self._bundle.object, hand=self._bundle.hand_reference
        )
        seed = int(rng.integers(2**31))
        return HandEnv(settings, ROLLOUTS, seed=seed, threads=1, first_episode=0)


class MinedStates(RolloutStates):
    """States in which the bundle's estimator has large errors, from vision rollouts.

    As in DeXtreme, the estimator is then trained on more of the states in which it failed.
    """

    name = "mined"

    def __init__(self, bundle: Path) -> None:
        """Loads the bundle that is rolled out, with poses from its estimator."""
        super().__init__(bundle)
        # The selection changed once: datasets started before cannot be resumed.
        self.fingerprint += "-2"

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """Yields the states of samples `start` to `stop`, the bounds of a shard."""
        rng = np.random.default_rng([seed, start])
        env = self._environment(rng)
        wanted = stop - start
        with open_renderer("classic", self._bundle) as renderer:
            appearance, appearance_seed = load_appearance("dactyl"), int(rng.integers(2**31))
            cameras = [
                SimCameras(env, i, renderer, appearance, appearance_seed) for i in range(ROLLOUTS)
            ]
            sources = [VisionPose(self._bundle, c, check_wiring=False) for c in cameras]
            loop = BatchedLoop(self._bundle, env, sources)
            while wanted > 0:
                states, errors = self._hardest(env, loop)
                for i in np.argsort(-errors, kind="stable")[: min(KEPT, wanted)]:
                    yield states[i]
                wanted -= KEPT

    def _hardest(self, env: HandEnv, loop: BatchedLoop) -> tuple[list[State], Array]:
        """Of each rollout's next `SPACING` states the one with the largest error, and the error."""
        largest, hardest = np.full(ROLLOUTS, -np.inf), [env.state(i) for i in range(ROLLOUTS)]
        for _ in range(SPACING):
            before = [env.state(i) for i in range(ROLLOUTS)]
            loop.step()
            errors = combined_error(loop.error_rad, loop.error_m)
            for i in np.flatnonzero(errors > largest):
                hardest[i] = before[i]
            largest = np.fmax(largest, errors)
        return hardest, largest


def combined_error(error_rad: Array, error_m: Array) -> Array:
    """Rotation and position errors (B,) in units of Dactyl's mean errors, added."""
    return np.rad2deg(error_rad) / GOOD_ANGLE_DEG + error_m * 1000 / GOOD_MM


def rollout_source(
    states: str, object_name: str, hand: str = DEFAULT_HAND
) -> Callable[[], RolloutStates] | None:
    """The factory of the source that `--states` names; None if it is not one of rollouts.

    Args:
        states: `policy:BUNDLE`, `mined:BUNDLE`, or another source.
        object_name: the dataset's object.
        hand: the dataset's hand.

    Raises:
        InputError: there is no such bundle, or it was made for another object or hand.
    """
    kind, _, bundle = states.partition(":")
    sources = {source.name: source for source in (RolloutStates, MinedStates)}
    if kind not in sources or not bundle:
        return None
    make_source = partial(sources[kind], Path(bundle))
    make_source().check(object_name, hand)
    return make_source


def augmented(
    state: State,
    rng: np.random.Generator,
    joint_range: Array,
    rotations: Array = CUBE_ROTATIONS,
) -> State:
    """D18's 20 / 40 / 40: unchanged, rotated by a symmetry of the solid, or jittered with the hand.

    Args:
        state: a state of a rollout.
        rng: random number generator.
        joint_range: joint limits (24, 2) in radians, to which jittered joints are clipped.
        rotations: the solid's symmetries (S, 4).
    """
    sample = rng.random()
    if sample < UNCHANGED:
        return state
    if sample < UNCHANGED + ROTATED:
        rotation = rotations[rng.integers(len(rotations))]
        rotated = quat_canonical(quat_multiply(state.quaternion, rotation))
        return dataclasses.replace(state, quaternion=rotated)
    position = state.position + rng.normal(0, POSITION_JITTER, 3)
    rotation = rotvec_to_quat(rng.normal(0, ROTATION_JITTER, 3))
    joints = np.clip(state.joints + rng.normal(0, JOINT_JITTER, len(state.joints)), *joint_range.T)
    hinges = wrap_angle(state.hinges + rng.normal(0, ROTATION_JITTER, len(state.hinges)))
    return State(
        joints, position, quat_canonical(quat_multiply(rotation, state.quaternion)), hinges
    )


def possible(scene: Scene, state: State) -> State:
    """The state with hinges in their limits and coupled joints where the others put them."""
    joints = scene.qpos(state)[scene.joint_qpos] if scene.couplings.ordered else state.joints
    hinges = scene.articulation.clipped(state.hinges)
    return dataclasses.replace(state, joints=joints, hinges=hinges)
