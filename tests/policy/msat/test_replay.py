"""Samples of the replay buffer: windows of frames, chunks of labels, and what is masked."""

import numpy as np
import torch

from opendactyl.models.policy.chunks import FRAMES
from opendactyl.policy.msat.replay import Replay

STEPS, CAPACITY, CHUNK = 60, 40, 3


def filled(tokens=None):
    """Each value is the step it was recorded in; episodes have 20 steps, goals 5."""
    replay = Replay(CAPACITY, (2, 4, 1, 3), CHUNK, tokens)
    for step in range(STEPS):
        observation = np.full((2, 4), step, np.float32)
        episode, goal = np.full(2, step // 20), np.full(2, step % 20 // 5)
        kept = None if tokens is None else np.full((2, *tokens), step, np.float32)
        replay.add(observation, np.full((2, 3), step / 100), episode, goal, kept)
    return replay


def test_windows_never_cross_the_end_of_the_buffer():
    observed, chunks = filled().sample(400, np.random.default_rng(0), dropout=0.0)
    now = observed.frames[:, -1, 0]
    assert now.min() == STEPS - CAPACITY + FRAMES - 1
    assert now.max() == STEPS - CHUNK - 2
    steps = torch.arange(1 - FRAMES, 1)
    assert torch.equal(observed.frames[:, :, 0], now[:, None] + steps)
    later = now[:, None] + torch.arange(CHUNK)
    assert torch.allclose(chunks.actions[:, :, 0], later / 100)
    known = (later // 5) == (now[:, None] // 5)
    assert torch.equal(chunks.known.bool(), known)
    exists = (now[:, None] + steps) // 20 == now[:, None] // 20
    assert torch.equal(observed.exists.bool(), exists)
    same = (later + 1) // 20 == now[:, None] // 20
    assert torch.equal(chunks.physics[..., 0].isfinite(), same)
    assert torch.equal(chunks.physics[..., 0][same], (later + 1)[same])


def test_streams_are_masked_as_often_as_they_should_be():
    replay = filled(tokens=(2, 3))
    observed, _ = replay.sample(4000, np.random.default_rng(0), dropout=0.3)
    assert abs(float(observed.physics.isnan().float().mean()) - 0.3) < 0.03
    tokens = observed.tokens.isfinite().all(dim=(1, 2))
    pose = observed.pose[:, -1] > 0
    assert abs(float(tokens.float().mean()) - 0.7) < 0.03
    assert abs(float(pose.float().mean()) - 0.7) < 0.03
    assert (tokens | pose).all()


def test_the_pose_is_shown_where_there_are_no_tokens():
    replay = Replay(20, (1, 4, 1, 3), CHUNK, (2, 3))
    for _ in range(20):
        replay.add(np.zeros((1, 4)), np.zeros((1, 3)), np.zeros(1), np.zeros(1),
                   np.full((1, 2, 3), np.nan))  # fmt: skip
    observed, _ = replay.sample(200, np.random.default_rng(0), dropout=0.0)
    assert (observed.pose == 1).all()
