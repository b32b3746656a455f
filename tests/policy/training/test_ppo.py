"""PPO: advantages, ratios, gradient clipping, and sequences in which episodes end."""

import copy

import pytest
import torch
from tensordict import TensorDict

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.training.distillation import Distillation
from opendactyl.policy.training.ppo import (
    MAX_WEIGHT,
    PPO,
    Diverged,
    add_advantages,
    sequence_modules,
)
from opendactyl.policy.training.schedule import FIRST, SCALE


def sequence(**columns):
    return TensorDict({k: torch.tensor(v)[None, :, None] for k, v in columns.items()}, [1, 3])


def test_advantages_equal_numbers_computed_by_hand():
    """Discount 0.5 and lambda 0.5, three steps, no episode ends."""
    batch = sequence(
        state_value=[1.0, 2.0, 3.0],
        next_value=[2.0, 3.0, 4.0],
        reward=[1.0, 0.0, 2.0],
        done=[False, False, False],
        terminated=[False, False, False],
    )
    add_advantages(batch, 0.5, 0.5)
    # d = r + 0.5 v' - v = 1, -0.5, 1;  A2 = 1, A1 = -0.5 + 0.25, A0 = 1 + 0.25 * -0.25
    assert batch["advantage"].flatten().tolist() == pytest.approx([0.9375, -0.25, 1.0])
    assert batch["value_target"].flatten().tolist() == pytest.approx([1.9375, 1.75, 4.0])


def test_a_drop_ends_the_return_and_a_time_out_is_bootstrapped():
    columns = {
        "state_value": [1.0, 2.0, 3.0],
        "next_value": [2.0, 10.0, 4.0],
        "reward": [1.0, 0.0, 2.0],
        "done": [False, True, False],
    }
    dropped = sequence(**columns, terminated=[False, True, False])
    add_advantages(dropped, 0.5, 0.5)
    # d1 = 0 - 2 and nothing propagates across the end; A0 = 1 + 0.25 * -2
    assert dropped["advantage"].flatten().tolist() == pytest.approx([0.5, -2.0, 1.0])
    timed_out = sequence(**columns, terminated=[False, False, False])
    add_advantages(timed_out, 0.5, 0.5)
    # d1 = 0 + 0.5 * 10 - 2 with the value before the restart; A0 = 1 + 0.25 * 3
    assert timed_out["advantage"].flatten().tolist() == pytest.approx([1.75, 3.0, 1.0])


def test_the_ratio_of_ppo_is_one_with_products_in_bf16(tiny):
    """Acting and learning must compute the same log-probabilities."""
    env = HandEnv(tiny().environment(), 4, seed=0)
    agent = Agent(50, hidden=32, memory="lstm", privileged=False, precision="bf16-mixed")
    with torch.no_grad():
        agent.actor.head.weight *= 100.0
    batch, _ = Collector(env, agent, seed=0).collect(6)
    actor, _ = sequence_modules(agent)
    with torch.no_grad():
        fast = actor.get_dist(batch.clone()).log_prob(batch["action"])
        agent.actor.bf16 = False
        exact = actor.get_dist(batch.clone()).log_prob(batch["action"])
    torch.testing.assert_close(fast, batch["action_log_prob"], atol=1e-3, rtol=0)
    assert 0 < float((fast - exact).abs().max()) < 0.5


def test_episode_ends_inside_a_sequence_are_handled_as_in_the_roll_out():
    env = HandEnv(EnvConfig(seconds_per_goal=0.24), 4, seed=3)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    finals, original = [], env.step

    def recording_step(bins):
        step = original(bins)
        finals.append(torch.from_numpy(step.final_critic.copy()))
        return step

    env.step = recording_step
    batch, _ = Collector(env, agent, seed=0).collect(7)
    done, truncated = batch["done"][..., 0], (batch["done"] & ~batch["terminated"])[..., 0]
    assert done[:, :-1].any() and truncated[:, :-1].any()
    torch.testing.assert_close(batch["start"][:, 1:].bool(), done[:, :-1])
    critic, h, c = agent.critic, batch["critic_h"][:, 0], batch["critic_c"][:, 0]

    def values(observation, start):
        return critic.scale.inverse(critic(observation, start, h, c)[0])

    # The whole sequence gives the same values as single steps, restarts included.
    with torch.no_grad():
        torch.testing.assert_close(values(batch["critic"], batch["start"]), batch["state_value"])
        for hand, when in truncated.nonzero():
            # A truncated episode bootstraps from the next observation and its memory.
            observation = torch.cat([batch["critic"][:, : when + 1], finals[when][:, None]], dim=1)
            start = torch.cat([batch["start"][:, : when + 1], torch.zeros(4, 1)], dim=1)
            expected = values(observation, start)[hand, -1]
            torch.testing.assert_close(batch["next_value"][hand, when], expected)


def test_the_ratio_starts_at_the_current_policy_and_advantages_are_importance_weighted(tiny):
    torch.manual_seed(0)
    env = HandEnv(tiny().environment(), 32, seed=0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    batch, _ = Collector(env, copy.deepcopy(agent), seed=0).collect(3)
    learner = PPO(agent, tiny())
    with torch.no_grad():
        agent.actor.head.bias += 0.4 * torch.randn_like(agent.actor.head.bias)
    before = batch["action_log_prob"].clone()
    add_advantages(batch, 0.99, 0.95)
    plain = (batch["advantage"] - batch["advantage"].mean()) / batch["advantage"].std()
    learner._recompute_log_probs(batch)
    current = sequence_modules(agent)[0].get_dist(batch.clone()).log_prob(batch["action"])
    torch.testing.assert_close(batch["action_log_prob"], current)
    weight = (current - before).exp()
    assert weight.min() < 0.9 and weight.max() > MAX_WEIGHT
    torch.testing.assert_close(batch["advantage"], plain * weight.clamp_max(MAX_WEIGHT)[..., None])


@pytest.fixture
def agent_and_batch(tiny):
    torch.manual_seed(0)
    env = HandEnv(tiny().environment(), 8, seed=0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    batch, _ = Collector(env, agent, seed=0).collect(3)
    return agent, batch


def actor_gradients(learner, agent, batch, scale):
    """Gradients of the actor in an update with critic targets multiplied by `scale`."""
    learner = copy.deepcopy(learner)
    prepared = batch.clone()
    if isinstance(learner, PPO):
        add_advantages(prepared, 0.99, 0.95)
        key = "value_target"
    else:
        learner._add_targets(prepared)
        key = "target"
    prepared[key] = prepared[key] * scale
    learner._minimise(prepared)
    network = learner.agent if isinstance(learner, PPO) else learner.student
    return torch.cat([p.grad.flatten() for p in network.actor.parameters()])


@pytest.mark.parametrize("distils", [False, True])
def test_the_critics_gradient_does_not_scale_the_actors_step(tiny, agent_and_batch, distils):
    agent, batch = agent_and_batch
    teacher = Agent(50, hidden=16, memory="none", privileged=True)
    learner = Distillation(agent, teacher, tiny()) if distils else PPO(agent, tiny())
    plain = actor_gradients(learner, agent, batch, scale=1.0)
    assert plain.abs().max() > 0
    torch.testing.assert_close(actor_gradients(learner, agent, batch, scale=1e4), plain)


def test_a_gradient_that_is_not_finite_leaves_the_weights_unchanged(tiny, agent_and_batch):
    agent, batch = agent_and_batch
    learner, before = PPO(agent, tiny()), copy.deepcopy(agent.state_dict())
    batch["reward"][0, 0] = float("nan")
    with pytest.raises(Diverged, match="not finite"):
        learner.update(batch, torch.Generator().manual_seed(0))
    for name, parameter in agent.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name])


def test_too_large_a_change_of_the_policy_is_a_divergence(tiny, agent_and_batch):
    agent, batch = agent_and_batch
    learner = PPO(agent, tiny(learning_rate=0.5, epochs=8, target_kl=0.0))
    with pytest.raises(Diverged, match="KL divergence"):
        learner.update(batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("target_kl", "kl", "epochs"), [(0.01, 0.031, 1), (0.01, 0.029, 4), (0.0, 0.4, 4)]
)
def test_epochs_after_too_large_a_change_are_left_out(
    tiny, agent_and_batch, monkeypatch, target_kl, kl, epochs
):
    agent, batch = agent_and_batch
    learner, calls = PPO(agent, tiny(epochs=4, target_kl=target_kl)), []

    def minimised(rows):
        calls.append(len(rows))
        return {"kl": kl}

    monkeypatch.setattr(learner, "_minimise", minimised)
    learner.update(batch, torch.Generator().manual_seed(0))
    assert calls == [4, 4] * epochs


def test_a_critic_can_be_trained_alone(tiny, agent_and_batch):
    agent, batch = agent_and_batch
    learner, before = PPO(agent, tiny()), copy.deepcopy(agent.state_dict())
    learner.trains_actor = False
    learner.update(batch, torch.Generator().manual_seed(0))
    changed = {k.split(".")[0] for k, v in agent.state_dict().items() if not v.equal(before[k])}
    assert changed == {"critic"}
    # The unchanged policy says nothing about the step size.
    assert learner.optimizer.param_groups[0][SCALE] == FIRST
