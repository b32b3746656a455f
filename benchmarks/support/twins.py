"""Simulated robots with known parameters, whose logs are as imperfect as those of a real one."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from opendactyl.core.config_fields import ByName
from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.log import Log
from opendactyl.policy.calibration.simulation import empty_scene
from opendactyl.policy.randomization import groups
from opendactyl.policy.randomization.actuation import StepDelay, delay_steps
from opendactyl.policy.randomization.backlash import Backlash, for_hand
from opendactyl.policy.randomization.config import PRESETS, RandomizationConfig
from opendactyl.policy.randomization.model_fields import ModelFields
from opendactyl.policy.randomization.physics import Physics, sample
from opendactyl.sim.scene import Scene
from opendactyl.sim.timing import SUBSTEPS, TIMESTEP

DRAWN = ("mass", "damping", "gains", "backlash", "joints")
"""Groups of preset `dactyl` that the parameters are drawn from."""


@dataclass(frozen=True, kw_only=True)
class TwinConfig:
    """A simulated robot and its log."""

    hand: str = "shadow"
    seed: int = 0
    max_delay: float = 0.12
    """The delay of each actuator is uniform from 0 to this, in seconds."""
    rate: float = 100.0
    """Samples of the log per second."""
    encoder_noise: float = 0.002
    """Standard deviation of the measured angles, in radians."""
    jitter: float = 0.001
    """Standard deviation of the times of samples, in seconds."""
    dropped: float = 0.02
    """Fraction of the samples that are missing."""
    efforts: bool = False
    """Whether the log has torques, with noise of `effort_noise`."""
    effort_noise: float = 0.01
    """In N m."""
    other_physics: bool = False
    """2 ms Euler steps and elliptic friction cones, instead of the environment's physics."""


class Twin:
    """A simulated robot."""

    def __init__(self, config: TwinConfig) -> None:
        """Draws its parameters."""
        self.config, self.scene = config, _scene(config)
        self._batch = Batch(self.scene.model, 1, 1, persistent=True)
        self._fields = ModelFields(self._batch, self.scene)
        self.physics = _draw(config, self.scene, self._fields.link_names)
        self.delays = TIMESTEP * self.physics.actuator_delay
        """Delay of each actuator (A,), in seconds."""

    def randomization(self) -> RandomizationConfig:
        """Preset `dactyl` with the parameters of this robot.

        What a robot does not fix, such as the object's mass and noise, has the preset's ranges.
        """
        hand, physics = self.scene.hand, self.physics
        low, high = self.scene.actuator_range.T
        down, up = physics.backlash * ((high - low) / 2)  # rates for half the range

        def fixed(names: Sequence[str], values: NDArray[np.floating]) -> ByName:
            entries = zip(names, values.tolist(), strict=True)
            return ByName((1.0, 1.0), {name: (value, value) for name, value in entries})

        return dataclasses.replace(
            PRESETS["dactyl"],
            hand=hand.name,
            link_mass=fixed(self._fields.link_names, physics.link_mass),
            joint_damping=fixed(hand.joints, physics.joint_damping),
            actuator_gain=fixed(hand.actuators, physics.actuator_gain),
            joint_limits=0.0,
            gravity=0.0,
            joint_offset=0.0,
            joint_offset_centre=ByName(
                0.0, dict(zip(hand.joints, physics.joint_offset.tolist(), strict=True))
            ),
            action_delay=0.0,
            actuator_delay=fixed(hand.actuators, self.delays),
            backlash_calibrated=False,
            backlash=fixed(hand.actuators, down),
            backlash_up=fixed(hand.actuators, up),
        )

    def play(self, targets: Array) -> Log:
        """Plays targets (M, A), one for each action; returns the log of the robot."""
        config, rng = self.config, np.random.default_rng([self.config.seed, 1])
        angles, efforts = self._simulate(targets)
        seconds = len(targets) * SUBSTEPS * TIMESTEP
        time = np.arange(0, seconds, 1 / config.rate)
        time += np.clip(
            rng.normal(0, config.jitter, len(time)), -0.3 / config.rate, 0.3 / config.rate
        )
        time = time[(time >= 0) & (time < seconds)]
        time = time[rng.random(len(time)) >= config.dropped]
        command = np.minimum((time / (SUBSTEPS * TIMESTEP)).astype(int), len(targets) - 1)
        grid = TIMESTEP * np.arange(len(angles))
        read = np.stack([np.interp(time, grid, q) for q in angles.T], axis=1)
        read += self.physics.joint_offset + rng.normal(0, config.encoder_noise, read.shape)
        torque = np.stack([np.interp(time, grid, f) for f in efforts.T], axis=1)
        torque += rng.normal(0, config.effort_noise, torque.shape)
        where = f"log of twin {config.seed}"
        return Log(where, time, targets[command], read, None, torque if config.efforts else None)

    def _simulate(self, targets: Array) -> tuple[Array, Array]:
        """Angles (S + 1, J) and torques (S + 1, A) at every physics step."""
        ids, scene, batch = np.arange(1), self.scene, self._batch
        self._fields.apply(ids, [self.physics])
        episode = {"actuator_delay": self.physics.actuator_delay[None]}
        delay = StepDelay(1, targets.shape[1], int(self.physics.actuator_delay.max()))
        backlash = Backlash(1, np.ones(targets.shape[1]))
        qpos, ctrl = batch.bind("qpos"), batch.bind("ctrl")
        force = batch.bind("actuator_force")
        qpos[0, scene.joint_qpos] = _settled(scene, targets[0])
        batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)
        delay.begin(ids, targets[:1])
        substeps = round(TIMESTEP / scene.model.opt.timestep)
        angles, efforts = [qpos[0, scene.joint_qpos]], [force[0].copy()]
        for sent in targets:
            delay.send(sent[None], ids)
            for step in range(SUBSTEPS):
                arriving, arrived = delay.arriving(step, ids, episode)
                rates = self.physics.backlash[None]
                acting = backlash(arriving, scene.actuated(qpos), ids, rates, arrived=arrived)
                ctrl[:] = delay.apply(acting, arrived, ids)
                batch.step(ids, nstep=substeps, stage=mujoco.mjtStage.mjSTAGE_VEL)
                angles.append(qpos[0, scene.joint_qpos])
                efforts.append(force[0].copy())
        return np.array(angles), np.array(efforts)


def _settled(scene: Scene, targets: Array) -> Array:
    """Angles (J,) of joints whose actuators reach their targets (A,)."""
    joints = scene.model.qpos0[scene.joint_qpos].copy()
    weights = scene.transmission.weights
    shares = targets[:, None] * weights / (weights**2).sum(axis=1, keepdims=True)
    for moved, weight, share in zip(scene.transmission.joints, weights, shares, strict=True):
        joints[moved[weight != 0]] = share[weight != 0]
    return joints


def _scene(config: TwinConfig) -> Scene:
    scene = empty_scene(config.hand)
    if config.other_physics:
        option = scene.model.opt
        option.timestep, option.cone = 0.002, mujoco.mjtCone.mjCONE_ELLIPTIC
        option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    return scene


def _draw(config: TwinConfig, scene: Scene, links: Sequence[str]) -> Physics:
    rng = np.random.default_rng([config.seed, 0])
    ranges = for_hand(groups.only(PRESETS["dactyl"], DRAWN), scene.hand)
    physics = sample(rng, ranges, scene.hand, links)
    backlash = physics.backlash
    if not ranges.backlash_calibrated:  # rates per half the range
        low, high = scene.actuator_range.T
        backlash = backlash / ((high - low) / 2)
    delays = rng.uniform(0, config.max_delay, len(scene.hand.actuators))
    return dataclasses.replace(
        physics,
        backlash=backlash,
        actuator_delay=delay_steps(delays),
        joint_limits=np.zeros_like(physics.joint_limits),
    )
