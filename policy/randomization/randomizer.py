"""Physics randomization: parameters sampled per episode, effects applied per action."""

import dataclasses
from collections.abc import Callable

import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from opendactyl.core.adr_bounds import Snapshot
from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.observations import HandSize, Measurement
from opendactyl.policy.randomization import actuation, sensing
from opendactyl.policy.randomization.actuation import Ids
from opendactyl.policy.randomization.adr import Boundary, sample_ranges
from opendactyl.policy.randomization.backlash import Backlash, for_hand
from opendactyl.policy.randomization.config import RandomizationConfig
from opendactyl.policy.randomization.model_fields import ModelFields
from opendactyl.policy.randomization.physics import Physics, sample
from opendactyl.policy.randomization.privileged import episode_parameters, episode_size
from opendactyl.policy.randomization.rng import EpisodeStreams
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import Scene

PHYSICS_STREAM, STRENGTH_STREAM = 13, 15


class Randomizer:
    """Randomizes B simulations; the numbers of an episode depend on (seed, episode, strength)."""

    def __init__(
        self,
        config: RandomizationConfig,
        batch: Batch,
        scene: Scene,
        seed: int,
        weaker_fraction: float = 0.0,
    ) -> None:
        """Prepares a batch of simulations.

        Args:
            config: the ranges.
            batch: the simulations.
            scene: their scene, from `model_fields.sized_scene`.
            seed: seed of the episodes.
            weaker_fraction: fraction of the episodes whose strength is uniform between 0 and
                the largest; the others have the largest.
        """
        self._hand, size = scene.hand, HandSize.of(scene.hand)
        self._seed = seed
        self._fields = ModelFields(batch, scene)
        self.config = config = for_hand(config, scene.hand, self._fields.link_names)
        self._xfrc = batch.bind("xfrc_applied")[:, scene.object_body, :3]
        self._frames = batch.bind("site_xmat")
        self._sites = scene.fingertip_sites
        self._object = object_spec(scene.object_name)
        low, high = scene.actuator_range.T
        self._half, self._centre = (high - low) / 2, (high + low) / 2
        self._streams = EpisodeStreams(batch.nsim, seed, size)
        self._delay = actuation.Delay(batch.nsim, size.actuators)
        longest = actuation.longest_delay(config.actuator_delay)
        self._step_delay = actuation.StepDelay(batch.nsim, size.actuators, longest)
        self.acts_within_actions = longest > 0
        """Whether targets arrive at physics steps within an action: see `targets_at`."""
        unit = np.ones_like(self._half) if config.backlash_calibrated else self._half
        self._backlash = Backlash(batch.nsim, unit)
        self._pushes = actuation.Pushes(batch.nsim, config)
        self._markers = sensing.Markers(batch.nsim, size.fingertips, config)
        self._channel = sensing.PoseChannel(batch.nsim, config)
        self._weaker_fraction = weaker_fraction
        first, _ = self._sample(0, 1.0, None)
        self.physics: list[Physics] = [first] * batch.nsim
        """Parameters of the current episode of each simulation."""
        self.boundaries: list[Boundary | None] = [None] * batch.nsim
        """The bound that each episode is pinned to; None after its score was taken."""
        self._episode = {
            f.name: np.stack([np.asarray(getattr(p, f.name)) for p in self.physics])
            for f in dataclasses.fields(Physics)
        }
        self._privileged = np.zeros((batch.nsim, episode_size(scene.hand)))

    @property
    def strength(self) -> Array:
        """Strength of the current episodes (B,)."""
        return self._episode["strength"]

    def _sample(
        self, episode: int, max_strength: float, bounds: Snapshot | None
    ) -> tuple[Physics, Boundary | None]:
        rng = np.random.default_rng([self._seed, episode, STRENGTH_STREAM])
        weaker, fraction = rng.random(2)
        strength = max_strength * (fraction if weaker < self._weaker_fraction else 1.0)
        config, boundary = self.config, None
        if bounds is not None:
            config, boundary = sample_ranges(rng, self.config, bounds)
        rng = np.random.default_rng([self._seed, episode, PHYSICS_STREAM])
        return sample(rng, config, self._hand, self._fields.link_names, strength), boundary

    def begin(
        self,
        ids: Ids,
        episodes: NDArray[np.int64],
        targets: Array,
        max_strength: float = 1.0,
        bounds: Snapshot | None = None,
    ) -> None:
        """Starts episodes.

        Args:
            ids: their simulations (K,).
            episodes: their numbers (K,).
            targets: the hand's targets at the start (K, 20).
            max_strength: their largest strength, see `physics.sample`.
            bounds: of automatic domain randomization, instead of the full ranges.
        """
        samples = [self._sample(int(episode), max_strength, bounds) for episode in episodes]
        sampled = [physics for physics, _ in samples]
        for i, (physics, boundary) in zip(ids, samples, strict=True):
            self.physics[i], self.boundaries[i] = physics, boundary
            for name, values in self._episode.items():
                values[i] = getattr(physics, name)
            self._privileged[i] = episode_parameters(physics)
        self._fields.apply(ids, sampled)
        self._streams.begin(ids, episodes)
        self._streams.advance(ids)
        self._delay.begin(ids, targets)
        self._step_delay.begin(ids, targets)
        self._backlash.begin(ids)
        self._pushes.begin(ids)
        self._xfrc[ids] = 0.0
        self._markers.begin(ids)
        self._channel.begin(ids)

    def actuate(self, targets: Array, actuated: Array, ids: Ids) -> Array:
        """Applies disturbances for the next action; returns the targets (K, 20) for the actuators.

        Where they act later in the action or after it, `targets_at` gives those of each step.

        Args:
            targets: the policy's targets (K, 20) in radians.
            actuated: current angles (K, 20) of the actuated joints.
            ids: the simulations (K,).
        """
        streams, episode = self._streams, self._episode
        streams.advance(ids)
        self._fields.timestep[ids] = actuation.timestep(ids, streams, episode)
        self._pushes(self._object.mass * episode["object_mass"][ids], ids, streams, episode)
        self._xfrc[ids] = self._pushes.force[ids]
        targets = actuation.add_noise(targets, self._half, self._centre, ids, streams, episode)
        targets = self._delay(targets, ids, episode)
        if self.acts_within_actions:
            self._step_delay.send(targets, ids)
            return targets
        return self._backlash(targets, actuated, ids, episode["backlash"][ids])

    def targets_at(self, step: int, actuated: Array, ids: Ids) -> Array:
        """The targets (K, 20) for the actuators in one physics step of the action.

        Args:
            step: number of the step in the action.
            actuated: current angles (K, 20) of the actuated joints.
            ids: the simulations (K,).
        """
        rates = self._episode["backlash"][ids]
        targets, arrived = self._step_delay.arriving(step, ids, self._episode)
        targets = self._backlash(targets, actuated, ids, rates, arrived=arrived)
        return self._step_delay.apply(targets, arrived, ids)

    @property
    def delayed_targets(self) -> Callable[[int, Array, Ids], Array] | None:
        """`targets_at`, if targets arrive within actions."""
        return self.targets_at if self.acts_within_actions else None

    def privileged(self, ids: Ids) -> Array:
        """What the critic observes of K episodes: see `randomization.privileged`."""
        delayed = (self._delay.last[ids] - self._centre) / self._half
        mass = self._object.mass * self._episode["object_mass"][ids, None]
        return np.concatenate(
            [
                self._privileged[ids],
                self._backlash.slack[ids],
                np.where(self._episode["action_delay"][ids], delayed, 0.0),
                self._pushes.force[ids] / mass,
            ],
            axis=1,
        )

    def sense(self, true: Measurement, ids: Ids) -> Measurement:
        """Measurements of K hands, from the true ones."""
        streams, episode = self._streams, self._episode
        world = self._frames[ids[:, None], self._sites].reshape(len(ids), len(self._sites), 3, 3)
        frames = self._hand.frame.hand_from_world[:3, :3] @ world
        occluded = None
        if self.config.occlusion:
            size = episode["object_size"][ids]
            occluded = sensing.occluded_markers(true, frames, self._hand.nails, self._object, size)
        measured = sensing.add_noise(true, frames, ids, streams, episode, self.config)
        tips = self._markers(measured.fingertips, occluded, ids, streams)
        measured = dataclasses.replace(measured, fingertips=tips)
        return self._channel(measured, ids, streams, episode)
