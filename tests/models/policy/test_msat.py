"""The action transformer: masked streams, flow matching, and execution of plans."""

import pytest
import torch

from opendactyl.models.policy.chunk_mlp import ChunkMLP
from opendactyl.models.policy.chunks import FRAMES, ChunkPolicy, Chunks, Observed, compressed
from opendactyl.models.policy.msat import LAST_TIME, ActionTransformer, sample_times

FIELDS = {
    "fingertips": 15, "object_position": 3, "object_quaternion": 4, "goal_quaternion": 4,
    "relative_goal": 4, "previous_targets": 20, "touch": 5, "forces": 20,
}  # fmt: skip
OWN, PHYSICS = 50, 25
GOAL = slice(22, 26)


def network(**settings):
    torch.manual_seed(0)
    made = ActionTransformer(FIELDS, 20, **{"width": 32, **settings})
    torch.nn.init.normal_(made.velocity_head.weight, std=0.05)
    return made


def observed(batch=3, **changes):
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    values = Observed(draw(batch, FRAMES, OWN), draw(batch, PHYSICS), torch.ones(batch, FRAMES))
    return values._replace(**changes)


@torch.no_grad()
def plan(made, **changes):
    return made.plan(observed(**changes))


def test_it_has_about_1_8_million_parameters():
    for made in (ActionTransformer(FIELDS, 20, tokens=(3, 240)), ChunkMLP(FIELDS, 20)):
        assert 1.7e6 < sum(p.numel() for p in made.parameters()) < 1.85e6


def test_a_masked_physics_stream_changes_nothing_whatever_it_would_have_held():
    made, absent = network(), torch.full((3, PHYSICS), torch.nan)
    without = plan(made, physics=absent)
    assert without.isfinite().all()
    assert torch.equal(without, plan(network(physics=False)))
    assert not torch.allclose(without, plan(made))
    only_touch = observed().physics.clone()
    only_touch[:, 5:] = torch.nan
    assert not torch.allclose(without, plan(made, physics=only_touch))


def test_frames_before_the_episode_are_not_observed():
    made, exists = network(), torch.tensor([[0.0, 0, 1, 1]]).repeat(3, 1)
    frames = observed().frames.clone()
    frames[:, :2] = 7.0
    assert torch.allclose(
        plan(made, exists=exists), plan(made, exists=exists, frames=frames), atol=1e-5
    )
    assert not torch.allclose(plan(made), plan(made, frames=frames), atol=1e-3)


def test_tokens_of_a_view_without_image_are_masked():
    made, tokens = network(tokens=(3, 6)), torch.randn(3, 3, 6)
    lost = tokens.clone()
    lost[:, 1] = torch.nan
    pose = torch.zeros(3, FRAMES)
    assert plan(made, tokens=lost).isfinite().all()
    assert not torch.allclose(plan(made, tokens=lost), plan(made, tokens=tokens))
    assert not torch.allclose(plan(made, tokens=tokens, pose=pose), plan(made, tokens=tokens))


def test_times_follow_the_beta_distribution():
    times = sample_times(20_000, torch.Generator().manual_seed(0))
    assert times.min() >= 0 and times.max() <= LAST_TIME
    # The mean of Beta(1.5, 1) is 0.6, its variance 0.0686.
    assert (1 - times / LAST_TIME).mean() == pytest.approx(0.6, abs=0.01)
    assert times.var() == pytest.approx(0.0686, abs=0.002)


@pytest.mark.parametrize("single", [False, True])
def test_flow_matching_learns_chunks_and_physics(single):
    made, copies = network(chunk=2, single=single), 24
    seen = observed()
    target = torch.tensor([-0.5, 0.5, -0.5])[:, None, None].expand(-1, 2, 20)
    known = torch.tensor([[1.0, 1], [1, 1], [1, 0]])
    future = seen.physics[:, None].expand(-1, 2, -1)
    many = Observed(*(x.repeat_interleave(copies, 0) for x in seen[:3]))
    chunks = Chunks(*(x.repeat_interleave(copies, 0) for x in (target, known, future)))
    optimizer = torch.optim.Adam(made.parameters(), lr=5e-3)
    generator, losses = torch.Generator().manual_seed(0), []
    for _ in range(120):
        action, physics = made.losses(many, chunks, generator)
        optimizer.zero_grad()
        (action + 0.1 * physics).backward()
        optimizer.step()
        losses.append((action.item(), physics.item()))
    assert losses[-1][1] < 0.5 * losses[0][1]
    with torch.no_grad():
        error = (made.plan(seen) - target).abs()[known.bool()]
    assert error.mean() < 0.15


def test_unmeasured_physics_is_no_target():
    made = network(chunk=2)
    chunks = Chunks(torch.zeros(3, 2, 20), torch.ones(3, 2), torch.full((3, 2, PHYSICS), torch.nan))
    action, physics = made.losses(observed(), chunks)
    assert action.isfinite() and physics == 0
    assert compressed(torch.tensor([-100.0, 0.0, 100.0]))[2] == pytest.approx(4.615, abs=1e-3)


def act(policy, observations, memory=None):
    """Bins of each step, and the number of actions executed of the plan."""
    memory = memory or [torch.zeros(1, *shape) for shape in policy.memory.values()]
    bins, steps = [], []
    for observation in observations:
        with torch.no_grad():
            action, *memory = policy(observation[None], *memory)
        bins.append(action[0])
        steps.append(int(memory[2]))
    return torch.stack(bins), steps, memory


def test_plans_are_executed_and_made_anew_when_due_or_when_the_goal_changes():
    policy = ChunkPolicy(network(chunk=4), execute=3)
    observations = torch.randn(7, OWN + PHYSICS, generator=torch.Generator().manual_seed(0))
    observations[:, GOAL] = torch.tensor([1.0, 0, 0, 0])
    observations[5:, GOAL] = torch.tensor([0.0, 1, 0, 0])
    bins, steps, memory = act(policy, observations)
    assert steps == [1, 2, 3, 1, 2, 1, 2]
    assert bins.min() >= 0 and bins.max() <= 10
    empty = torch.zeros(1, FRAMES - 1, OWN)
    with torch.no_grad():
        first = policy.network.plan(policy.observed(observations[:1], empty))[0]
    assert torch.allclose(bins[:3], (first[:3].clamp(-1, 1) + 1) * 5)
    assert torch.equal(memory[0][0], observations[-3:, :OWN])


def test_invalid_observations_give_invalid_actions_even_within_a_plan():
    policy = ChunkPolicy(network(), execute=4)
    good = torch.randn(OWN + PHYSICS, generator=torch.Generator().manual_seed(0))
    bins, _, _ = act(policy, [good, torch.full_like(good, torch.nan)])
    assert bins[0].isfinite().all() and bins[1].isnan().all()
