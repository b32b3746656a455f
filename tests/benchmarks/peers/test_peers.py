"""Both sides have the same physics, images, environment and network; every suite runs."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from opendactyl.benchmarks.suites.env import RandomHands
from opendactyl.benchmarks.support.replay import Recorder
from opendactyl.core.atomic_files import read_json
from opendactyl.geometry.rig import load_rig
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.config import PolicyConfig

SIMULATIONS = 3


def test_a_replay_is_the_same_physics():
    """The replayed states are the environment's, bit for bit, whether or not episodes end."""
    recorder = Recorder(RandomHands(8), chunk=60)
    env, batch = recorder.hands.env, recorder.batch
    ended = 0
    for _ in range(3):
        episodes = env.episode.copy()
        recorder.resume()
        assert recorder.act() == 60 * 8
        after = batch.state.copy()
        recorder.rewind()
        assert recorder.replay() == 60 * 8
        ended += np.sum(env.episode != episodes)
        np.testing.assert_array_equal(batch.bind("qpos"), _qpos(batch, after))
        recorder.rewind()
        recorder.replay()
    assert ended


def _qpos(batch, state):
    kept = batch.state.copy()
    batch.state[:] = state
    qpos = batch.bind("qpos").copy()
    batch.state[:] = kept
    return qpos


def test_a_replay_does_not_change_the_environment():
    with_replay, without = (Recorder(RandomHands(SIMULATIONS), chunk=3) for _ in range(2))
    for _ in range(3):
        with_replay.resume()
        with_replay.act()
        with_replay.rewind()
        with_replay.replay()
        without.act()
    with_replay.resume()
    with_replay.act()
    without.act()
    np.testing.assert_array_equal(with_replay.batch.bind("qpos"), without.batch.bind("qpos"))


@pytest.mark.filterwarnings("ignore")
def test_gymnasiums_patched_hand_moves():
    from opendactyl.benchmarks.peers.gymnasium_hand import make_hand

    env = make_hand()
    first, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(5):
        last, *_ = env.step(env.action_space.sample())
    assert first["observation"].shape == last["observation"].shape == (61,)
    assert np.isfinite(last["observation"]).all()
    assert np.abs(last["observation"][:24] - first["observation"][:24]).max() > 1e-3
    env.close()


@pytest.mark.filterwarnings("ignore")
def test_the_peer_trains_in_our_environment_with_as_many_parameters():
    from opendactyl.benchmarks.peers.recurrent_ppo import HandVecEnv, RecurrentPeer, like_ours
    from opendactyl.benchmarks.suites.policy import PORTION, OurPPO

    config = PolicyConfig(num_envs=4, horizon=4, minibatches=2, epochs=1)
    env = HandVecEnv(HandEnv(config.environment(), 4))
    observation = env.reset()
    assert observation.shape == (4, *env.observation_space.shape)
    env.step_async(np.zeros((4, 20), dtype=np.int64))
    after, reward, done, infos = env.step_wait()
    assert after.shape == observation.shape
    assert reward.shape == done.shape == (4,)
    assert len(infos) == 4
    ours = OurPPO(config)
    peer = RecurrentPeer(config.environment(), like_ours(config), seed=0)
    assert ours.iterations() == PORTION * peer.iteration() == PORTION * 16
    assert peer.actions == 16
    assert abs(ours.parameters / peer.parameters - 1) < 0.1
    recurrent = [name for name, _ in peer.model.policy.named_parameters() if "lstm" in name]
    assert recurrent and all(name.startswith("lstm_actor") for name in recurrent)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("normalize", [True, False])
def test_the_peer_is_evaluated_by_its_own_predictions(normalize, monkeypatch, short_episodes):
    from opendactyl.benchmarks.peers.recurrent_ppo import PeerSettings, RecurrentPeer

    config = PolicyConfig()
    settings = PeerSettings(simulations=2, options={"n_steps": 4, "n_epochs": 1, "batch_size": 8},
                            normalize=normalize)  # fmt: skip
    peer = RecurrentPeer(config.environment(), settings, seed=0)
    peer.iteration()
    assert (peer.normalizer is not None) == normalize
    calls = []
    predict = peer.model.predict

    def watched(observation, state, start, deterministic):
        calls.append((start.all(), state is None, deterministic))
        return predict(observation, state, start, deterministic=deterministic)

    monkeypatch.setattr(peer.model, "predict", watched)
    goals = peer.goals(config.environment(), 3, seed=5)
    assert goals.shape == (3,) and np.all(goals >= 0)
    firsts = [call for call in calls if call[1]]
    assert firsts == [(True, True, True), (True, True, False)], "both ways, each from the start"
    assert not any(start for start, first, _ in calls if not first)


def test_both_renderers_render_the_same_image():
    """The peer and `classic` agree on cameras, lights, colours and state."""
    from opendactyl.benchmarks.peers.mujoco_renderer import PlainRenderer
    from opendactyl.benchmarks.support.rendering import draw_samples, psnr
    from opendactyl.render.factory import make_renderer

    rig = load_rig("dactyl-200").resized(96)
    samples = draw_samples(rig, 2)
    with PlainRenderer(rig) as plain:
        peer = [plain.render(*sample) for sample in samples]
    with make_renderer("classic", rig=rig, image_size=96) as renderer:
        ours = [renderer.render(*sample) for sample in samples]
    for a, b, other in zip(ours, peer, peer[::-1], strict=True):
        assert a.shape == b.shape == (3, 96, 96, 3)
        assert psnr(a, b) > 27 > psnr(a, other)


@pytest.mark.slow
def test_both_stages_of_the_loop_are_timed(tmp_path):
    from opendactyl.benchmarks.suites.loop import pace
    from opendactyl.benchmarks.support.untrained import untrained_bundle
    from opendactyl.control.bundle.load import load_bundle

    bundle = load_bundle(untrained_bundle(tmp_path / "bundle"))
    latencies = pace(bundle, 5)
    assert latencies.total.shape == (5,)
    assert np.all(latencies.total > 0)
    np.testing.assert_allclose(
        latencies.total, np.array(latencies.estimate) + np.array(latencies.policy)
    )


def test_one_batch_trains_without_loading(dataset, val_dataset, tmp_path):
    """The learning curve of a run needs the batch size of the data module."""
    from opendactyl.benchmarks.suites.vision import train_for
    from opendactyl.vision.training.config import VisionConfig
    from opendactyl.vision.training.train import make_data

    config = VisionConfig(
        data=(dataset,), val_data=val_dataset, out=tmp_path / "run", image_size=64, batch_size=4,
        workers=0, accelerator="cpu", max_minutes=6000.0,
    )  # fmt: skip
    batch = {
        key: torch.as_tensor(value)
        for key, value in next(iter(make_data(config).train_dataloader())).items()
    }
    meter = train_for(config, 0.2, batch)
    assert meter.samples > 0 and 0.2 <= meter.spent < 10


ROWS = {
    "render": {
        "render/images_per_second",
        "render/images_per_second_one_process",
        "dataset/samples_per_second",
    },
    "env": {"env/raw_physics", "env/gymnasium_robotics"},
    "vision": {"vision/plain_torch", "vision/loader"},
    "policy": {"policy/recurrent_ppo"},
    "loop": {"loop/latency_ms", "loop/latency_busy_ms"},
}


@pytest.mark.slow
@pytest.mark.parametrize("suite", ROWS)
def test_every_suite_runs_through_the_verb(suite, tmp_path):
    command = [sys.executable, "-P", "-m", "opendactyl.cli.main", "bench", "--suite", suite]
    done = subprocess.run(
        [*command, "--seconds", "2", "--out", "bench.json"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in read_json(tmp_path / "bench.json")["rows"]}
    assert set(rows) == ROWS[suite]
    assert all(row["ratio"] > 0 for row in rows.values())
    assert all(name in done.stdout for name in rows)
    if suite == "render":
        assert rows["render/images_per_second_one_process"]["workers"] == 1
    if suite == "loop":
        assert rows["loop/latency_ms"]["p50"] > 0
