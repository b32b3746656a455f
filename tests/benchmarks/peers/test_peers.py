"""The comparisons are fair: same physics, same pictures, same environment, same network."""

import numpy as np
import pytest

from opendactyl.benchmarks.suites.env import RandomHands
from opendactyl.benchmarks.support.replay import Recorder
from opendactyl.geometry.rig import load_rig
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


def test_the_environment_goes_on_as_if_no_replay_had_been():
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
def test_gymnasiums_hand_moves_once_it_is_mended():
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
def test_the_peer_learns_in_our_environment_with_as_many_parameters():
    from opendactyl.benchmarks.peers.recurrent_ppo import HandVecEnv, RecurrentPeer
    from opendactyl.benchmarks.suites.policy import TOGETHER, OurPPO, make_env

    config = PolicyConfig(num_envs=4, horizon=4, hidden=32, minibatches=2, epochs=1)
    env = HandVecEnv(make_env(config))
    observation = env.reset()
    assert observation.shape == (4, *env.observation_space.shape)
    env.step_async(np.zeros((4, 20), dtype=np.int64))
    after, reward, done, infos = env.step_wait()
    assert after.shape == observation.shape
    assert reward.shape == done.shape == (4,)
    assert len(infos) == 4
    ours, peer = OurPPO(config), RecurrentPeer(make_env(config), config)
    assert ours.iterations() == TOGETHER * peer.iteration() == TOGETHER * 16
    assert abs(ours.parameters / peer.parameters - 1) < 0.2


def test_both_renderers_show_the_same_picture():
    """The obvious loop and ours agree on cameras, lights, colours and state."""
    from opendactyl.benchmarks.peers.mujoco_renderer import ObviousRenderer
    from opendactyl.benchmarks.suites.render import draw_samples
    from opendactyl.benchmarks.support.similarity import psnr
    from opendactyl.render.factory import make_renderer

    rig = load_rig("dactyl").resized(96)
    samples = draw_samples(rig, 2)
    with ObviousRenderer(rig) as obvious:
        theirs = [obvious.render(*sample) for sample in samples]
    with make_renderer("classic", rig=rig, image_size=96) as renderer:
        ours = [renderer.render(*sample) for sample in samples]
    for a, b, other in zip(ours, theirs, theirs[::-1], strict=True):
        assert a.shape == b.shape == (3, 96, 96, 3)
        assert psnr(a, b) > 27 > psnr(a, other)


def test_the_loop_is_timed_part_by_part(tmp_path):
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_suite_gives_the_rows_of_the_contract(tmp_path, monkeypatch):
    from opendactyl.benchmarks.measure import Budget
    from opendactyl.benchmarks.report import SUITES, run_suites
    from opendactyl.benchmarks.suites import vision as vision_suite

    monkeypatch.setattr(vision_suite, "SAMPLES", 128)
    result = run_suites(SUITES, Budget(seconds=2.0), tmp_path / "bench.json", lambda _: None)
    names = {row["name"] for row in result["rows"]}
    assert names == {
        "render/images_per_second",
        "env/raw_physics",
        "env/gymnasium_robotics",
        "policy/recurrent_ppo",
        "vision/plain_torch",
        "vision/loader",
        "loop/latency_ms",
    }
    assert all(row["ratio"] > 0 for row in result["rows"])
    assert "p50" in next(row for row in result["rows"] if row["name"] == "loop/latency_ms")
