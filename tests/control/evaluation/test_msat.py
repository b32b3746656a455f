"""The action transformer in bundle, loop and evaluation."""

import numpy as np
import onnxruntime
import pytest
import torch

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.bundle.policy_session import PolicyMemory, memory_shapes
from opendactyl.control.evaluation.sim_adapters import SimHand
from opendactyl.core.atomic_files import read_json
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.msat.train import load_driver
from opendactyl.sim.hands.shipped import hand_spec


def test_a_policy_lists_its_memory_and_earlier_ones_have_h_and_c():
    stated = {"memory": [{"name": "past", "shape": [3, 50]}, {"name": "step", "shape": [1]}]}
    assert memory_shapes(stated) == {"past": (3, 50), "step": (1,)}
    earlier = {"memory": "lstm", "inputs": {"h": ["batch", 8], "c": ["batch", 8]}}
    assert memory_shapes(earlier) == {"h": (8,), "c": (8,)}
    memory = PolicyMemory({"h": np.ones((3, 2), np.float32)})
    memory.update(np.array([1]), PolicyMemory({"h": np.full((1, 2), 5.0, np.float32)}))
    memory.clear(np.array([True, False, False]))
    assert memory["h"][:, 0].tolist() == [0, 5, 1]
    assert memory.of(np.array([1]))["h"].tolist() == [[5, 5]]


def test_delayed_targets_act_later_and_a_new_episode_starts_with_its_own():
    env = HandEnv(EnvConfig(evaluation=True), 1, seed=0)
    hand = SimHand(env, delay=2)
    first = env.decoder.targets.copy()
    sent = [first[0] + 0.01 * k for k in range(1, 5)]
    acted = []
    for targets in sent:
        hand.command(targets)
        acted.append(env.decoder.targets[0])
    assert np.allclose(acted[:2], first) and np.allclose(acted[2:], sent[:2])
    hand.restart()
    start = env.decoder.targets.copy()
    hand.command(sent[-1])
    assert np.allclose(env.decoder.targets, start)


@pytest.fixture
def trained(msat_bundle):
    """The folder of a run and its bundle."""
    return msat_bundle.parent


@pytest.mark.slow
def test_the_whole_chain_from_training_to_a_video(opendactyl, trained):
    stages = {line.split(",")[0] for line in (trained / "run/metrics.csv").read_text().split()[1:]}
    assert stages == {"pose", "tokens", "vision"}
    manifest = read_json(trained / "bundle/manifest.json")
    assert manifest["policy"]["driver"] == "msat"
    assert manifest["policy"]["inputs"]["tokens"] == ["batch", 3, 240]
    assert manifest["training"]["policy"]["seeds"] == [0, 2]
    assert "msat" in opendactyl(trained, "export", "--check", "bundle")
    for pose, delay in (("sim", 0), ("sim", 2), ("vision", 0)):
        opendactyl(
            trained, "evaluate", "--bundle", "bundle", "--pose", pose, "--action-delay", delay,
            "--episodes", 1, "--seconds-per-goal", 0.8, "--video-seconds", 0,
            "--out", f"{pose}-{delay}",
        )  # fmt: skip
        assert read_json(trained / f"{pose}-{delay}/results.json")["n"] == 1
    assert "action_delay" not in read_json(trained / "sim-0/config.json")
    opendactyl(
        trained, "run", "--bundle", "bundle", "--seconds", 0.8, "--video", "msat.mp4",
    )  # fmt: skip
    assert (trained / "msat.mp4").stat().st_size > 10_000


@pytest.mark.slow
def test_the_exported_driver_is_the_trained_one(trained):
    policy, _ = load_driver(trained / "run", hand_spec())
    session = onnxruntime.InferenceSession(str(trained / "bundle/policy.onnx"))
    rng = torch.Generator().manual_seed(0)
    memory = {name: torch.zeros(3, *shape) for name, shape in policy.memory.items()}
    for step in range(4):
        observation, tokens = torch.randn(3, 75, generator=rng), torch.randn(3, 3, 240)
        observation[1, 50:], tokens[2] = torch.nan, torch.nan
        with torch.no_grad():
            bins, *after = policy(observation, *memory.values(), tokens)
        inputs = {"observation": observation, **memory, "tokens": tokens}
        out = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        for exported, expected in zip(out, (bins, *after), strict=True):
            np.testing.assert_allclose(exported, expected.numpy(), atol=1e-4)
        memory = dict(zip(memory, after, strict=True))
        assert np.isfinite(out[0]).all() and step < 4


@pytest.mark.slow
def test_the_loop_survives_an_invalid_action_of_the_driver(trained):
    policy = load_bundle(trained / "bundle").policy
    memory = policy.initial_memory(1)
    observation = np.zeros((1, 75), np.float32)
    _, memory, finite = policy.act(observation, memory)
    assert finite.all()
    _, _, finite = policy.act(np.full_like(observation, np.nan), memory)
    assert not finite.any()
