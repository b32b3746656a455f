"""States to start from and to draw pictures of: the object settled in the hand, or placed freely.

Both draw everything from the generator they are given, so that one seed is one state.
"""

import mujoco
import numpy as np

from opendactyl.geometry.rotation import Array, random_quat
from opendactyl.sim.hands import names
from opendactyl.sim.scene import Scene
from opendactyl.sim.state import State

HOLD_ACTIONS = 5
"""A finger's random target is kept for this many actions."""
SMOOTHING = 0.5
"""How much of the old target an action keeps, as in the policy's default control."""
MAX_PENETRATION = 0.001
"""The deepest overlap of a free state, in metres (`random_state`)."""
_MAX_TRIES = 1000


def settled_state(scene: Scene, rng: np.random.Generator, max_actions: int = 40) -> State:
    """Drops the object on the palm in a random orientation and lets the fingers move.

    D18 C.1 starts its episodes alike: a random orientation and 100 random actions; ours are a
    random number of at most `max_actions`, with targets that move as a policy's would. States
    with the object dropped are drawn again.
    """
    data = mujoco.MjData(scene.model)
    for _ in range(_MAX_TRIES):
        _start(scene, data, rng)
        if _shake(scene, data, rng, int(rng.integers(8, max_actions + 1))):
            return scene.state(data.qpos)
    raise RuntimeError("the object was dropped a thousand times in a row")


def _start(scene: Scene, data: mujoco.MjData, rng: np.random.Generator) -> None:
    joints = scene.joint_range.mean(axis=1) * 0.3
    position = np.array([0.0, 0.0, 0.035]) + rng.uniform(-1, 1, 3) * [0.015, 0.015, 0.01]
    scene.set_state(data, State(joints, position, random_quat(rng)))
    data.ctrl[:] = data.qpos[scene.model.jnt_qposadr[scene.model.actuator_trnid[:, 0]]]


def _shake(scene: Scene, data: mujoco.MjData, rng: np.random.Generator, actions: int) -> bool:
    """Runs random smoothed targets; whether the object is still held at the end."""
    low, high = scene.actuator_range.T
    strength = rng.uniform(0.2, 1.0)
    target = data.ctrl.copy()
    for action in range(actions):
        if action % HOLD_ACTIONS == 0:
            wish = rng.uniform(low, high)
            target = (1 - strength) * data.ctrl + strength * wish
        data.ctrl[:] = SMOOTHING * data.ctrl + (1 - SMOOTHING) * target
        mujoco.mj_step(scene.model, data, nstep=names.SUBSTEPS)
    return is_held(scene, data.qpos)


def is_held(scene: Scene, qpos: Array) -> bool:
    """Whether `qpos` (nq,) is finite and its object well above the drop height, over the hand."""
    if not np.isfinite(qpos).all():
        return False
    position = scene.state(qpos).position
    return bool(position[2] > names.DROP_HEIGHT / 2 and np.linalg.norm(position[:2]) < 0.12)


def random_state(scene: Scene, rng: np.random.Generator) -> State:
    """A free placement: orientation uniform on SO(3) over the palm, fingers half curled at random.

    Nothing overlaps by more than a millimetre, neither the object and the hand nor two fingers;
    placements where something does are drawn again.
    """
    data = mujoco.MjData(scene.model)
    low, high = scene.joint_range.T
    orientation = random_quat(rng)
    for _ in range(_MAX_TRIES):
        curl = rng.beta(1.2, 3.0, len(names.JOINTS))
        neutral = np.clip(0.0, low, high)
        side = np.where(rng.random(len(names.JOINTS)) < 0.5, low, high)
        joints = neutral + curl * (side - neutral)
        position = rng.uniform([-0.03, -0.03, 0.0], [0.05, 0.03, 0.08])
        scene.set_state(data, State(joints, position, orientation))
        if max(-data.contact.dist, default=0.0) <= MAX_PENETRATION:
            return scene.state(data.qpos)
    raise RuntimeError("no free placement was found in a thousand tries")
