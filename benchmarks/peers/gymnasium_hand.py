"""Gymnasium-Robotics' hand as a peer: `AsyncVectorEnv`, one process for each simulation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AsyncVectorEnv
from numpy.typing import NDArray

_STEPS = 50


class GymnasiumHands:
    """`HandManipulateBlock-v1` in several worker processes, with uniformly random actions."""

    NAME: ClassVar[str] = "gymnasium-robotics HandManipulateBlock-v1, AsyncVectorEnv"
    SUBSTEP_MS: ClassVar[float] = 2.0
    PATCHED: ClassVar[str] = (
        "mujoco_utils.robot_get_obs, which fails on MuJoCo 4: it compares joint types by `in`"
    )

    def __init__(self, workers: int) -> None:
        """Starts `workers` processes."""
        with _quiet():
            self._envs = AsyncVectorEnv([make_hand] * workers, context="spawn")
            self._envs.reset(seed=0)
        self._envs.action_space.seed(0)
        self._seconds_per_step = workers * PERIOD

    def simulated_seconds(self) -> float:
        """Takes `_STEPS` steps; returns the simulated time summed over all workers."""
        for _ in range(_STEPS):
            self._envs.step(self._envs.action_space.sample())
        return _STEPS * self._seconds_per_step

    def __enter__(self) -> "GymnasiumHands":
        return self

    def __exit__(self, *_: object) -> None:
        self._envs.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides what workers print at start-up; their exceptions still arrive."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


PERIOD = 0.04
"""Simulated seconds of a step of the peer: 20 physics steps of 2 ms."""


def make_hand() -> "gymnasium.Env[Any, Any]":
    """One environment, with a replacement for the function that fails on MuJoCo 4."""
    import gymnasium_robotics
    from gymnasium_robotics.utils import mujoco_utils

    mujoco_utils.robot_get_obs = robot_get_obs
    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make("HandManipulateBlock-v1")
    assert np.isclose(env.unwrapped.dt, PERIOD)  # pyright: ignore[reportAttributeAccessIssue]
    return env


def robot_get_obs(
    model: mujoco.MjModel, data: mujoco.MjData, joint_names: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions and velocities of the robot's joints, all hinges, by name."""
    numbers = [
        mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
        for name in joint_names
        if name.startswith("robot")
    ]
    positions = [data.qpos[model.jnt_qposadr[number]] for number in numbers]
    velocities = [data.qvel[model.jnt_dofadr[number]] for number in numbers]
    return np.array(positions), np.array(velocities)
