"""The environment, the agent and the randomization of a hand with other sizes."""

import dataclasses
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import InputError
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.env.critic_observation import critic_size
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.observations import LAYOUTS, HandSize, field_sizes, layout_size
from opendactyl.policy.randomization.backlash import UNCALIBRATED, for_hand, sample_rates
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.training.checkpoints import start_from
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.sim.hands.shipped import hand_spec

CLAW = str(Path(__file__).parents[2] / "hands/claw.toml")


@pytest.mark.parametrize("randomization", ["none", "dactyl", "vision"])
def test_sizes_and_orders_follow_the_hand(randomization):
    config = EnvConfig(hand=CLAW, layout="joints", randomization=randomization)
    env = HandEnv(config, 2, seed=1, threads=1)
    size = HandSize(joints=6, actuators=4, fingertips=3)
    assert env.hand_size == size and field_sizes(size)["fingertips"] == 9
    policy, critic = env.reset()
    assert policy.shape == (2, layout_size(LAYOUTS["joints"], size)) == (2, 9 + 15 + 4 + 6)
    assert critic.shape == (2, critic_size(hand_spec(CLAW)))
    first = env.scene.actuated(env.batch.bind("qpos")[:])
    joints = env.true_measurement().joints
    np.testing.assert_allclose(first[:, 3], joints[:, 5] + 0.5 * joints[:, 4])
    for _ in range(3):
        step = env.step(np.random.default_rng(0).integers(0, 11, (2, 4)))
    assert np.isfinite(step.policy).all() and np.isfinite(step.critic).all()


def test_an_object_that_falls_off_is_a_drop_at_the_hands_height():
    env = HandEnv(EnvConfig(hand=CLAW), 1, threads=1)
    env.reset()
    qpos = env.batch.bind("qpos")
    qpos[0, env.scene.object_qpos][:3] = [0.5, 0.0, -0.095]
    height = env.true_measurement().object_position[0, 2]
    assert height == pytest.approx(-0.095)  # the world is the hand frame
    assert env.step(np.full((1, 4), 5)).terminated[0]


def test_backlash_of_a_hand_that_is_not_calibrated_is_log_uniform():
    claw, calibrated = hand_spec(CLAW), PRESETS["dactyl"]
    ranges = for_hand(calibrated, claw)
    assert not ranges.backlash_calibrated and ranges.backlash == UNCALIBRATED
    assert for_hand(calibrated, hand_spec()) is calibrated
    assert for_hand(PRESETS["none"], claw) is PRESETS["none"]
    rates = np.array([sample_rates(np.random.default_rng(i), ranges, claw) for i in range(100)])
    assert rates.shape == (100, 2, 4) and rates.min() >= 7.4 and rates.max() <= 70
    own = dataclasses.replace(claw, backlash_exponents=np.full((2, 4), 3.0))
    assert for_hand(calibrated, own) is calibrated
    exact = dataclasses.replace(calibrated, backlash_jitter=0.0)
    np.testing.assert_allclose(sample_rates(np.random.default_rng(0), exact, own), np.exp(3.0))


def test_gymnasium_environments_have_the_hands_spaces():
    env = gymnasium.make("OpenDactyl/Spin-v0", hand=CLAW)
    assert env.action_space.shape == (4,) and env.observation_space.shape == (9 + 15 + 4,)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.step(env.action_space.sample())[0].shape == (28,)
    env.close()


def test_an_agent_acts_for_the_hand():
    agent = Agent(28, hand=CLAW, hidden=8, memory="lstm", privileged=False)
    memory = agent.initial_memory(2)
    bins, _ = agent.decide(torch.zeros(2, 28), memory)
    assert bins.shape == (2, 4)
    assert agent.critic.inputs == critic_size(hand_spec(CLAW))


def test_a_training_does_not_start_from_a_run_with_another_hand(policy_run, tmp_path):
    config = PolicyConfig(hand=CLAW, warm_start=policy_run)
    agent = Agent(28, hand=CLAW, hidden=8, memory="lstm", privileged=False)
    message = "was trained with the hand shadow or other files of it, --hand is .*claw.toml"
    with pytest.raises(InputError, match=message):
        start_from(config, agent, agent)
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run/config.json", PolicyConfig(hand=CLAW).lasting())
    with pytest.raises(InputError, match="was trained with the hand claw"):
        start_from(PolicyConfig(teacher=tmp_path / "run"), agent, agent)


def test_the_settings_of_a_run_name_the_hand_unless_it_is_the_default():
    assert "hand" not in PolicyConfig().lasting()
    settings = PolicyConfig(hand=CLAW).lasting()
    assert settings["hand"] == "claw"
    assert set(settings["hand_identity"]["files"]) == {"claw.toml", "claw.xml"}
