"""The environments in the training loops of other libraries, at toy size."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.logger import Logger
from torch import nn
from torchrl.envs import GymWrapper
from torchrl.envs.utils import check_env_specs

import opendactyl.policy

SHORT = {"seconds_per_goal": 0.4}
assert opendactyl.policy.__doc__


def test_stable_baselines_trains_on_states():
    env = gymnasium.make("OpenDactyl/Spin-v0", **SHORT)
    check_env(env, warn=False)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=8, n_epochs=1, seed=0, device="cpu")
    model.set_logger(Logger(folder=None, output_formats=[]))  # writes no folder
    model.learn(32)
    assert model.num_timesteps == 32
    assert model.ep_info_buffer[0]["l"] >= 5


def test_stable_baselines_trains_on_images():
    env = gymnasium.make("OpenDactyl/Spin-v0", observation="images", image_size=36, **SHORT)
    check_env(env, warn=False)
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
    assert {"left", "right", "top"} <= set(model.policy.features_extractor.extractors)
    model.set_logger(Logger(folder=None, output_formats=[]))  # writes no folder
    model.learn(8)
    env.close()


class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        size = envs.single_observation_space.shape[0]
        self.bins = envs.single_action_space.nvec
        self.critic = nn.Sequential(nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, 1))
        self.actor = nn.Sequential(nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, self.bins.sum()))

    def forward(self, observation):
        logits = self.actor(observation).unflatten(-1, (len(self.bins), self.bins[0]))
        return torch.distributions.Categorical(logits=logits), self.critic(observation).flatten()


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP"])
def test_a_loop_in_the_style_of_cleanrl_trains(mode):
    torch.manual_seed(0)
    envs = gymnasium.make_vec("OpenDactyl/Spin-v0", num_envs=4, autoreset_mode=mode, **SHORT)
    envs = RecordEpisodeStatistics(envs)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=1e-2)
    before = [parameter.clone() for parameter in agent.parameters()]
    observation = torch.from_numpy(envs.reset(seed=0)[0])
    lengths = []
    for _ in range(14):
        distribution, value = agent(observation)
        action = distribution.sample()
        following, reward, terminated, _, infos = envs.step(action.numpy())
        successor = following.copy()
        if "final_obs" in infos:
            for i in np.flatnonzero(infos["_final_obs"]):
                successor[i] = infos["final_obs"][i]
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
        with torch.no_grad():
            bootstrap = agent(torch.from_numpy(successor))[1] * ~torch.from_numpy(terminated)
        advantage = torch.from_numpy(reward).float() + 0.99 * bootstrap - value
        log_probability = distribution.log_prob(action).sum(-1)
        loss = (advantage**2 - log_probability * advantage.detach()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        observation = torch.from_numpy(following)
    assert len(lengths) >= 8 and min(lengths) >= 5
    after = agent.parameters()
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(parameter.isfinite().all() for parameter in agent.parameters())


def test_torchrl_wraps_one_simulation():
    env = GymWrapper(gymnasium.make("OpenDactyl/Spin-v0"), categorical_action_encoding=True)
    check_env_specs(env)
    env.set_seed(0)
    first = env.rollout(6)
    assert first["action"].shape == (6, 20) and first["observation"].shape == (6, 50)
    assert first["next", "reward"].isfinite().all()


@pytest.mark.parametrize("mode", ["DISABLED", "SAME_STEP"])
def test_torchrl_wraps_a_vector_environment(mode):
    vector = gymnasium.make_vec(
        "OpenDactyl/Spin-v0", num_envs=3, autoreset_mode=mode, seconds_per_goal=0.24
    )
    env = GymWrapper(vector, categorical_action_encoding=True)
    steps = env.rollout(8, break_when_any_done=False)
    assert steps["observation"].shape == (3, 8, 50)
    done = steps["next", "done"].squeeze(-1)
    assert (done.sum(1) >= 1).all()
    assert steps["next", "observation"].isfinite().all()
    # What follows the end of an episode is the start of another.
    ends, successors = done[:, :-1], steps["observation"][:, 1:]
    assert not torch.equal(steps["next", "observation"][:, :-1][ends], successors[ends])
