"""Initial states: the object settled in the hand by simulation, or placed at random.

A state depends on the given generator only.
"""

import mujoco
import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array, random_quat
from opendactyl.sim.scene import Scene
from opendactyl.sim.state import State
from opendactyl.sim.timing import SUBSTEPS

HOLD_ACTIONS = 5
"""Number of actions for which a random target is held."""
SMOOTHING = 0.5
"""Weight of the previous target in the moving average, the default of the policy's control."""
MAX_PENETRATION = 0.001
"""Largest penetration in a `random_state`, in metres."""
_MAX_TRIES = 1000


def settled_state(scene: Scene, rng: np.random.Generator, max_actions: int = 40) -> State:
    """Samples a state by dropping the object on the palm and moving the fingers at random.

    Similar to the start of an episode in D18 C.1 (random orientation, 100 random actions), with a
    random number of smoothed actions from 8 to `max_actions`. States whose object was dropped are
    rejected.

    Raises:
        InputError: the hand does not hold the object.
    """
    data = mujoco.MjData(scene.model)
    for _ in range(_MAX_TRIES):
        scene.set_state(data, start_state(scene, rng))
        data.ctrl[:] = scene.actuated(data.qpos)
        if _move_fingers(scene, data, rng, int(rng.integers(8, max_actions + 1))):
            return scene.state(scene.couplings.enforce(data.qpos))
    raise InputError(
        f"{scene.hand.where}: the object fell from the palm in {_MAX_TRIES} attempts; check the "
        "mount, the frame, start_position and drop_height (`opendactyl hand show` draws them), and "
        "the object's size"
    )


def start_state(scene: Scene, rng: np.random.Generator) -> State:
    """Samples a state before the fall: the object at the hand's start position, in any rotation."""
    joints = scene.joint_range.mean(axis=1) * 0.3
    for name, angle in scene.hand.start_joints.items():
        joints[scene.hand.joints.index(name)] = angle
    position = np.array(scene.hand.start_position) + rng.uniform(-1, 1, 3) * [0.015, 0.015, 0.01]
    orientation = random_quat(rng)
    return State(joints, position, orientation, scene.articulation.sample(rng))


def _move_fingers(
    scene: Scene, data: mujoco.MjData, rng: np.random.Generator, actions: int
) -> bool:
    """Simulates smoothed random targets; returns whether the object is still held."""
    low, high = scene.actuator_range.T
    strength = rng.uniform(0.2, 1.0)
    target = data.ctrl.copy()
    for action in range(actions):
        if action % HOLD_ACTIONS == 0:
            target = (1 - strength) * data.ctrl + strength * rng.uniform(low, high)
        data.ctrl[:] = SMOOTHING * data.ctrl + (1 - SMOOTHING) * target
        mujoco.mj_step(scene.model, data, nstep=SUBSTEPS)
    return is_held(scene, data.qpos)


def is_held(scene: Scene, qpos: Array) -> bool:
    """Whether `qpos` (nq,) is finite and the object is above the hand and the drop height."""
    if not np.isfinite(qpos).all():
        return False
    position = scene.state(qpos).position
    return bool(position[2] > scene.hand.drop_height / 2 and np.linalg.norm(position[:2]) < 0.12)


def random_state(scene: Scene, rng: np.random.Generator) -> State:
    """Samples an orientation uniformly on SO(3), a position above the palm and joint angles.

    Samples with a contact deeper than `MAX_PENETRATION`, between object and hand or between two
    fingers, are rejected.

    Raises:
        InputError: hardly any state has none.
    """
    data = mujoco.MjData(scene.model)
    low, high = scene.joint_range.T
    count = len(low)
    orientation = random_quat(rng)
    hinges = scene.articulation.sample(rng)
    for _ in range(_MAX_TRIES):
        curl = rng.beta(1.2, 3.0, count)
        neutral = np.clip(0.0, low, high)
        side = np.where(rng.random(count) < 0.5, low, high)
        joints = neutral + curl * (side - neutral)
        position = rng.uniform(*scene.hand.object_positions)
        scene.set_state(data, State(joints, position, orientation, hinges))
        if max(-data.contact.dist, default=0.0) <= MAX_PENETRATION:
            return scene.state(data.qpos)
    raise InputError(
        f"{scene.hand.where}: {_MAX_TRIES} random states all have bodies that overlap by more than "
        f"{1000 * MAX_PENETRATION:g} mm; check the collision shapes, joint ranges and "
        "object_positions, or use --states settled"
    )
