"""sb3-contrib's RecurrentPPO in the environment of `train-policy`, with an equal network."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn
from torch import Tensor, nn

from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.sim.hands import names


class RecurrentPeer:
    """RecurrentPPO, run one iteration at a time."""

    def __init__(self, env: HandEnv, config: PolicyConfig) -> None:
        """Builds RecurrentPPO with the settings of `config`."""
        self._batch = config.num_envs * config.horizon
        self._model = RecurrentPPO(
            "MlpLstmPolicy",
            HandVecEnv(env),
            n_steps=config.horizon,
            batch_size=self._batch // config.minibatches,
            n_epochs=config.epochs,
            learning_rate=config.learning_rate,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip,
            ent_coef=config.entropy,
            max_grad_norm=1.0,
            seed=config.seed,
            device="cpu",
            policy_kwargs={
                "lstm_hidden_size": config.hidden,
                "enable_critic_lstm": True,
                "net_arch": [],
                "features_extractor_class": DenseFeatures,
                "features_extractor_kwargs": {"features_dim": config.hidden},
                "share_features_extractor": False,
            },
        )

    def iteration(self) -> float:
        """Collects a batch and learns from it; returns the number of actions."""
        self._model.learn(self._batch, reset_num_timesteps=False)
        return self._batch

    @property
    def parameters(self) -> int:
        """The number of learned parameters."""
        return sum(p.numel() for p in self._model.policy.parameters())


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


class HandVecEnv(VecEnv):
    """`HandEnv` with the interface of Stable-Baselines3."""

    def __init__(self, env: HandEnv) -> None:
        """Wraps an environment in training mode."""
        self._env = env
        self._bins = np.zeros((env.num_envs, len(names.ACTUATORS)), dtype=np.int64)
        shape = (env.observation_size,)
        super().__init__(
            env.num_envs,
            gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32),
            gymnasium.spaces.MultiDiscrete([BINS] * len(names.ACTUATORS)),
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
