"""Conversion of the policy's output to joint targets."""

import numpy as np
import onnxruntime
import pytest
import torch

from opendactyl.policy.interface.actions import BINS, ActionConfig, ActionDecoder, decide
from opendactyl.policy.loading import load_actor


@pytest.mark.parametrize("mode", ["absolute", "relative"])
def test_targets_never_leave_the_range(mode):
    low, high = np.full(20, -0.5), np.full(20, 1.0)
    decoder = ActionDecoder(ActionConfig(mode=mode), low, high)
    rng = np.random.default_rng(0)
    decoder.reset(rng.uniform(-3, 3, (4, 20)))
    for _ in range(50):
        targets = decoder.decode(rng.integers(0, BINS, (4, 20)), rng.uniform(-3, 3, (4, 20)))
        assert np.all((targets >= low) & (targets <= high))
        assert np.all(np.abs(decoder.scaled_targets) <= 1)
    again = ActionDecoder.from_dict(decoder.to_dict())
    assert again.config == decoder.config


def test_decisions_are_the_mean_or_the_mode_of_the_distribution():
    probabilities = np.array([0.1, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 0.4])
    with np.errstate(divide="ignore"):
        logits = np.log(np.tile(probabilities, (2, 20, 1)).astype(np.float32)) + 3.0
    assert np.allclose(decide(logits), 0.3 * 3 + 0.2 * 7 + 0.4 * 10)
    assert (decide(logits, "likeliest") == 10).all()
    decoder = ActionDecoder(ActionConfig(smoothing=0.0), np.zeros(20), np.ones(20))
    decoder.reset(np.zeros((2, 20)))
    assert np.allclose(decoder.decode(decide(logits), np.zeros((2, 20))), 0.63)
    assert np.isnan(decide(np.full((1, 20, 11), np.nan))).all()


def test_smoothing_keeps_half_of_the_previous_target():
    decoder = ActionDecoder(ActionConfig(smoothing=0.5), np.full(20, -1.0), np.full(20, 1.0))
    decoder.reset(np.zeros((1, 20)))
    bins = np.full((1, 20), BINS - 1)
    assert decoder.decode(bins, np.zeros((1, 20)))[0, 0] == pytest.approx(0.5)
    assert decoder.decode(bins, np.zeros((1, 20)))[0, 0] == pytest.approx(0.75)


def test_onnx_equals_torch_over_twenty_recurrent_steps(policy_run, bundle):
    actor, _ = load_actor(policy_run)
    session = onnxruntime.InferenceSession(str(bundle / "policy.onnx"))
    h, c = actor.initial_state(3)
    state = {"h": h.numpy(), "c": c.numpy()}
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        observation = torch.randn(3, 50, generator=rng)
        with torch.no_grad():
            logits, h, c = actor(observation[:, None], torch.zeros(3, 1), h, c)
        out, state["h"], state["c"] = session.run(
            None, {"observation": observation.numpy(), **state}
        )
        np.testing.assert_allclose(out, logits[:, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(state["h"], h.numpy(), atol=1e-5)
