"""States a policy gets into: D18's source of training images for its estimator."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from opendactyl.control.bundle import MANIFEST_FILE, Bundle, load_bundle
from opendactyl.control.loop import Loop
from opendactyl.control.simulated import SimPose
from opendactyl.files.atomic import sha256
from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import quat_canonical, quat_multiply, rotvec_to_quat
from opendactyl.geometry.symmetry import CUBE_ROTATIONS
from opendactyl.policy.env import EnvConfig, HandEnv
from opendactyl.sim.state import State

ROLLOUTS = 16
"""Roll-outs that fill a shard between them."""
SPACING = 5
"""Actions between two kept states."""
UNCHANGED, TURNED = 0.2, 0.4
"""Shares of poses left alone and turned by 90° steps; the rest is jittered (D18 D.2)."""
POSITION_JITTER, ROTATION_JITTER = 0.005, 0.2
"""Standard deviations of the jitter in metres and radians; D18 does not state its own."""


class RolloutStates:
    """States from roll-outs; a shard is a fixed batch of them, seeded by (seed, first index)."""

    name = "policy"

    def __init__(self, bundle: Path) -> None:
        """Loads the bundle whose policy acts."""
        self._bundle: Bundle = load_bundle(bundle)
        self.fingerprint = sha256(bundle / MANIFEST_FILE)

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
        settings = EnvConfig(task=self._bundle.task, object=self._bundle.object_name)
        env = HandEnv(settings, ROLLOUTS, seed=int(rng.integers(2**31)), threads=1, first_episode=0)
        loop = Loop(self._bundle, env, [SimPose(env, i) for i in range(ROLLOUTS)])
        wanted = stop - start
        while wanted > 0:
            for _ in range(int(rng.integers(1, 2 * SPACING))):
                loop.step()
            for i in range(min(ROLLOUTS, wanted)):
                yield augmented(env.state(i), rng)
            wanted -= ROLLOUTS


def augmented(state: State, rng: np.random.Generator) -> State:
    """D18's 20 / 40 / 40: as it is, turned by a rotation of the cube, or jittered."""
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
    return State(state.joints, position, quat_canonical(quat_multiply(turn, state.quaternion)))
