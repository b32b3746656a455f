"""sb3-contrib's RecurrentPPO in the environment of `train-policy`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn
from torch import Tensor, nn

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.evaluation import whole_episodes


@dataclass(frozen=True, kw_only=True)
class PeerSettings:
    """Settings of RecurrentPPO."""

    simulations: int
    """Simulations that run at once."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of `RecurrentPPO` that differ from its defaults."""
    normalize: bool = True
    """Normalise observations and rewards by `VecNormalize`."""


def like_ours(config: PolicyConfig) -> PeerSettings:
    """The settings of `train-policy`, with networks of about as many parameters."""
    return PeerSettings(
        simulations=config.num_envs,
        options={
            "n_steps": config.horizon,
            "batch_size": config.num_envs * config.horizon // config.minibatches,
            "n_epochs": config.epochs,
            "learning_rate": config.learning_rate,
            "gamma": config.gamma,
            "gae_lambda": config.gae_lambda,
            "clip_range": config.clip,
            "ent_coef": config.entropy,
            "max_grad_norm": 1.0,
            "policy_kwargs": {
                "lstm_hidden_size": config.hidden,
                # The critic is a linear layer and these, after the features.
                "enable_critic_lstm": False,
                "net_arch": {"pi": [], "vf": [4 * config.hidden, config.hidden]},
                "activation_fn": nn.ReLU,
                "features_extractor_class": DenseFeatures,
                "features_extractor_kwargs": {"features_dim": config.hidden},
                "share_features_extractor": False,
            },
        },
    )


class DenseFeatures(BaseFeaturesExtractor):
    """The dense layer before the LSTM."""

    def __init__(self, observation_space: gymnasium.Space[Any], features_dim: int) -> None:
        """A layer of `features_dim` units."""
        super().__init__(observation_space, features_dim)
        assert observation_space.shape is not None
        self._dense = nn.Linear(observation_space.shape[0], features_dim)

    def forward(self, observations: Tensor) -> Tensor:
        """Features (B, F) of observations (B, n)."""
        return torch.relu(self._dense(observations))


CANDIDATES = {
    "defaults of sb3-contrib, 32 simulations": PeerSettings(simulations=32),
    "128 steps of 128 simulations": PeerSettings(
        simulations=128, options={"n_steps": 128, "batch_size": 2048, "n_epochs": 5}
    ),
    "settings of train-policy": like_ours(PolicyConfig()),
}
"""From which the setting for a race against `train-policy` is chosen, by trial on the machine."""


class RecurrentPeer:
    """RecurrentPPO, run one iteration at a time."""

    def __init__(self, environment: EnvConfig, settings: PeerSettings, seed: int) -> None:
        """Builds environment and networks."""
        self._env = HandVecEnv(HandEnv(environment, settings.simulations, seed=seed))
        self.normalizer = VecNormalize(self._env) if settings.normalize else None
        self.model = RecurrentPPO(
            "MlpLstmPolicy", self.normalizer or self._env, seed=seed, device="cpu",
            **settings.options,
        )  # fmt: skip
        # The default logger makes a folder in the temporary one for each call of `learn`.
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self._batch = settings.simulations * self.model.n_steps
        self.actions = 0
        """Actions so far."""

    def iteration(self) -> float:
        """Collects a batch and learns from it; returns the number of actions."""
        self.model.learn(self._batch, reset_num_timesteps=False)
        self.actions += self._batch
        return self._batch

    @property
    def reached(self) -> int:
        """Goals reached in training so far."""
        return self._env.reached

    @property
    def parameters(self) -> int:
        """The number of learned parameters."""
        return sum(p.numel() for p in self.model.policy.parameters())

    def goals(self, environment: EnvConfig, episodes: int, seed: int) -> NDArray[np.int64]:
        """Consecutive goals (episodes,) in whole episodes, by `predict`.

        Of the likeliest and of sampled actions, those with the larger median.

        Args:
            environment: the environment's settings.
            episodes: number of episodes.
            seed: seed of initial states and goals.
        """
        trials = (
            whole_episodes(cast(Agent, _Acting(self, likeliest)), environment, episodes, seed)
            for likeliest in (True, False)
        )
        return max(trials, key=lambda goals: float(np.median(goals)))


class _Acting:
    """The part of `Agent` that `whole_episodes` uses, by RecurrentPPO's `predict`."""

    def __init__(self, peer: RecurrentPeer, likeliest: bool) -> None:
        self._peer, self._likeliest = peer, likeliest

    def initial_memory(self, batch: int) -> tuple[Any, NDArray[np.bool_]]:
        """No LSTM state, and that all episodes begin."""
        return None, np.ones(batch, dtype=bool)

    def actor_input(self, policy: Tensor, critic: Tensor) -> NDArray[np.float32]:
        """The policy's observation, normalised as in training."""
        observation, normalizer = policy.numpy(), self._peer.normalizer
        if normalizer is None:
            return observation
        return np.asarray(normalizer.normalize_obs(observation))

    def decide(
        self, observation: NDArray[np.float32], memory: tuple[Any, NDArray[np.bool_]]
    ) -> tuple[NDArray[np.int64], tuple[Any, NDArray[np.bool_]]]:
        """Bins (B, 20) and the next memory."""
        state, start = memory
        bins, state = self._peer.model.predict(
            observation, state, start, deterministic=self._likeliest
        )
        return bins, (state, np.zeros_like(start))


class HandVecEnv(VecEnv):
    """`HandEnv` with the interface of Stable-Baselines3."""

    def __init__(self, env: HandEnv) -> None:
        """Wraps an environment in training mode."""
        self._env = env
        self.reached = 0
        """Goals reached in all simulations."""
        self._bins = np.zeros((env.num_envs, env.hand_size.actuators), dtype=np.int64)
        shape = (env.observation_size,)
        super().__init__(
            env.num_envs,
            gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32),
            gymnasium.spaces.MultiDiscrete([BINS] * env.hand_size.actuators),
        )

    def reset(self) -> NDArray[np.float32]:
        """Starts a new episode in every simulation."""
        return self._env.reset()[0]

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Stores the actions (B, 20) for `step_wait`."""
        self._bins = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Steps with the stored actions; `infos` has the last observation of ended episodes."""
        step = self._env.step(self._bins)
        self.reached += int(step.reached.sum())
        done = step.terminated | step.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            infos[i] = {
                "terminal_observation": step.final_policy[i],
                "TimeLimit.truncated": bool(step.truncated[i]),
            }
        return step.policy, step.reward, done, infos

    def close(self) -> None:
        """No-op."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of this object, for every simulation."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        """Not supported: simulations have no attributes of their own."""
        raise NotImplementedError

    def env_method(
        self, method_name: str, *args: object, indices: VecEnvIndices = None, **kwargs: object
    ) -> list[Any]:
        """Not supported: simulations have no methods of their own."""
        raise NotImplementedError

    def env_is_wrapped(
        self, wrapper_class: type[Any], indices: VecEnvIndices = None
    ) -> Sequence[bool]:
        """False: simulations have no wrappers."""
        return [False] * self.num_envs
