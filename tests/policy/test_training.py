import copy
import csv
import dataclasses
import json
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch

from opendactyl.files.errors import InputError
from opendactyl.models.weights import save_weights
from opendactyl.policy import probe as probing
from opendactyl.policy.agent import Agent
from opendactyl.policy.ahead import Ahead
from opendactyl.policy.checkpoints import load_checkpoint
from opendactyl.policy.clone import Cloning
from opendactyl.policy.cluster import RayCollector
from opendactyl.policy.config import PolicyConfig
from opendactyl.policy.env import HandEnv
from opendactyl.policy.episode import EnvConfig
from opendactyl.policy.examination import FIRST_SECONDS, Examination
from opendactyl.policy.export import export_policy
from opendactyl.policy.ppo import MAX_WEIGHT, PPO, add_advantages, sequence_modules
from opendactyl.policy.probe import reading_accuracy
from opendactyl.policy.rollout import Collector
from opendactyl.policy.train import Trainer, train

SMALL = PolicyConfig(num_envs=8, horizon=4, minibatches=2, epochs=1, max_actions=128, examined=0)


def stages(run):
    rows = (run / "metrics.csv").read_text().splitlines()[1:]
    return [row.split(",")[0] for row in rows]


def test_stages_share_out_the_actions(policy_run):
    assert stages(policy_run) == ["teacher"] * 9 + ["clone"] * 4 + ["ppo"] * 7


def test_no_stage_is_passed_over_however_little_time_there_is(tmp_path):
    config = dataclasses.replace(SMALL, out=tmp_path / "run", max_actions=0, max_minutes=1e-6)
    assert stages(train(config)) == ["teacher", "clone", "ppo"]


def test_stages_without_a_share_are_left_out(tmp_path):
    config = dataclasses.replace(SMALL, out=tmp_path / "run", teacher_share=0.0, clone_share=0.0)
    assert set(stages(train(config))) == {"ppo"}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_loses_nothing(tmp_path, monkeypatch, how):
    config = dataclasses.replace(SMALL, out=tmp_path / "run", max_actions=320)
    iterate, calls = Trainer._iterate, []

    def told_to_end(trainer):
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(how)
        return iterate(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_iterate", told_to_end)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert load_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["actions"] == 3 * 32
    train(dataclasses.replace(config, resume=True))
    with (tmp_path / "run/metrics.csv").open(newline="") as file:
        actions = [int(row["actions"]) for row in csv.DictReader(file)]
    assert actions == list(range(32, 321, 32))


def test_a_finished_run_has_nothing_left_to_do(policy_run, tmp_path):
    config = json.loads((policy_run / "config.json").read_text())
    before = load_checkpoint(policy_run / "checkpoints/last.ckpt")
    assert "max_actions" not in config and "ray" not in config
    done = dataclasses.replace(SMALL, out=policy_run, max_actions=640, resume=True)
    train(done)
    assert load_checkpoint(policy_run / "checkpoints/last.ckpt")["actions"] == before["actions"]


def test_the_best_policy_is_the_one_that_got_most_goals_when_examined(policy_run, tmp_path):
    with (policy_run / "metrics.csv").open() as file:
        examined = [row["examined_goals"] for row in csv.DictReader(file)]
    assert examined[-1], "a finished run is examined"
    best = load_checkpoint(policy_run / "checkpoints/best.ckpt")["best"]
    assert best == max(float(goals) for goals in examined if goals)


def test_products_in_bf16_leave_the_ratio_of_ppo_at_one():
    """Acting and learning must agree on what was likely, or updates go astray."""
    env = HandEnv(SMALL.environment(), 4, seed=0)
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


def test_episodes_that_end_inside_a_sequence_are_learned_from_as_they_were_lived():
    env = HandEnv(EnvConfig(seconds_per_goal=0.24), 4, seed=3)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    finals, take = [], env.step

    def remember(bins):
        step = take(bins)
        finals.append(torch.from_numpy(step.final_critic.copy()))
        return step

    env.step = remember
    batch, _ = Collector(env, agent, seed=0).collect(7)
    done, truncated = batch["done"][..., 0], (batch["done"] & ~batch["terminated"])[..., 0]
    assert done[:, :-1].any() and truncated[:, :-1].any()
    torch.testing.assert_close(batch["start"][:, 1:].bool(), done[:, :-1])
    critic, h, c = agent.critic, batch["critic_h"][:, 0], batch["critic_c"][:, 0]

    def values(seen, start):
        return critic.scale.inverse(critic(seen, start, h, c)[0])

    # The whole sequence at once gives what step by step gave, restarts included.
    with torch.no_grad():
        torch.testing.assert_close(values(batch["critic"], batch["start"]), batch["state_value"])
        for hand, when in truncated.nonzero():
            # An episode cut short is worth what would have come next, on the memory it had.
            seen = torch.cat([batch["critic"][:, : when + 1], finals[when][:, None]], dim=1)
            start = torch.cat([batch["start"][:, : when + 1], torch.zeros(4, 1)], dim=1)
            expected = values(seen, start)[hand, -1]
            torch.testing.assert_close(batch["next_value"][hand, when], expected)


def test_a_teacher_may_come_from_a_run_of_another_memory(policy_run, tmp_path):
    config = dataclasses.replace(
        SMALL, out=tmp_path / "run", memory="none", teacher=policy_run, teacher_share=0.0
    )
    assert set(stages(train(config))) == {"clone", "ppo"}
    taken = load_checkpoint(tmp_path / "run/checkpoints/best.ckpt")["teacher"]
    theirs = load_checkpoint(policy_run / "checkpoints/best.ckpt")["teacher"]
    assert all(torch.equal(taken[name], theirs[name]) for name in theirs)
    untaught = dataclasses.replace(config, teacher=None)
    with pytest.raises(InputError, match="--clone-share needs a teacher"):
        untaught.check()
    with pytest.raises(InputError, match="does not exist"):
        train(dataclasses.replace(config, out=tmp_path / "b", teacher=tmp_path / "nowhere"))
    (tmp_path / "c" / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": {}}, tmp_path / "c" / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="no checkpoint of train-policy"):
        train(dataclasses.replace(config, out=tmp_path / "d", teacher=tmp_path / "c"))


def test_a_policy_teaches_with_the_memory_it_would_have(policy_run, tmp_path):
    path = tmp_path / "policy.safetensors"
    save_weights(load_checkpoint(policy_run / "checkpoints/best.ckpt")["student"], path, {})
    config = dataclasses.replace(
        SMALL, out=tmp_path / "run", memory="none", teacher=path, teacher_share=0.0, clone_share=0.5
    )
    trainer = Trainer(config, tmp_path)
    collector = Collector(trainer.env, trainer.student, seed=0)
    cloning = Cloning(trainer.student, trainer.teacher, config)
    batches = [collector.collect(3)[0] for _ in range(2)]
    for batch in batches:
        cloning.update(batch, torch.Generator().manual_seed(0))
    actor = trainer.teacher.actor
    with torch.no_grad():
        start = torch.cat([batch["start"] for batch in batches], dim=1)
        seen = torch.cat([batch["policy"] for batch in batches], dim=1)
        logits = actor(seen, start, *actor.initial_state(len(seen)))[0]
    told = torch.cat([batch["teacher_logp"] for batch in batches], dim=1)
    torch.testing.assert_close(told, torch.log_softmax(logits, dim=-1))
    assert set(stages(train(config))) == {"clone", "ppo"}
    with pytest.raises(InputError, match="finished policy; it needs --teacher-share 0"):
        dataclasses.replace(config, teacher_share=0.2).check()
    with pytest.raises(InputError, match="networks of another shape; --layout and --hidden"):
        train(dataclasses.replace(config, out=tmp_path / "b", layout="d18"))
    with pytest.raises(InputError, match="holds no weights"):
        train(dataclasses.replace(config, out=tmp_path / "c", teacher=tmp_path / "no.safetensors"))
    # Nothing is left that would refuse the mended command.
    assert not (tmp_path / "b").exists() and not (tmp_path / "c").exists()


def test_examinations_take_a_small_share_of_the_time(policy_run):
    config = dataclasses.replace(SMALL, examined=2)
    agent = Agent(50, hidden=256, memory="lstm", privileged=False)
    agent.load_state_dict(load_checkpoint(policy_run / "checkpoints/best.ckpt")["student"])
    examination = Examination(config)
    assert not examination.due(FIRST_SECONDS / 2, finished=False)
    assert examination.due(10.0, finished=True)
    began = time.monotonic()
    assert 0 <= examination.mean_goals(agent, 10.0) <= 50
    spent = time.monotonic() - began
    assert not examination.due(10.0 + 11 * spent, finished=False)
    assert examination.due(10.0 + 14 * spent, finished=False)
    assert not Examination(SMALL).due(1e9, finished=True)


def test_runs_older_than_a_setting_go_on(policy_run, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    settings = json.loads((policy_run / "config.json").read_text())
    for name in ("smoothing", "action", "seconds_per_goal", "start_actions"):
        del settings[name]
    (run / "config.json").write_text(json.dumps(settings))
    config = dataclasses.replace(SMALL, out=run, resume=True, max_actions=32)
    train(config)
    with pytest.raises(InputError, match=r"smoothing: 'absent' there, 0\.3 now"):
        train(dataclasses.replace(config, smoothing=0.3))


def test_training_under_randomization_keeps_the_distributions(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "vision"\ngravity = 0.1\n')
    config = dataclasses.replace(SMALL, out=tmp_path / "run", randomization=str(path))
    run = train(config)
    assert json.loads((run / "config.json").read_text())["distributions"]["gravity"] == 0.1
    path.write_text('preset = "vision"\ngravity = 0.2\n')
    with pytest.raises(InputError, match="distributions"):
        train(dataclasses.replace(config, resume=True, max_actions=256))


def test_dactyls_set_up_trains_and_its_actions_travel_into_the_export(tmp_path):
    config = dataclasses.replace(
        SMALL, out=tmp_path / "run", task="face-up", layout="d18", action="relative",
        smoothing=0.3, start_actions=100, randomization="dactyl", gamma=0.998,
    )  # fmt: skip
    said = export_policy(train(config), tmp_path / "policy.onnx")
    assert said["action"]["mode"] == "relative" and said["action"]["smoothing"] == 0.3
    assert sum(field["size"] for field in said["observation"]) == 22


@pytest.mark.parametrize(
    "options",
    [
        {"action": "sideways"},
        {"smoothing": 1.0},
        {"seconds_per_goal": 0.0},
        {"max_actions": -1},
        {"ray_workers": 9},
        {"object": "banana"},
        {"randomization": "nowhere.toml"},
    ],
)
def test_impossible_settings_are_refused(options, tmp_path):
    with pytest.raises(InputError):
        train(dataclasses.replace(SMALL, out=tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def cluster(monkeypatch):
    """A real Ray cluster of two nodes: a head with one CPU and another with two."""
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    # Workers yield to everything else by default, on a busy machine for ever.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    store = {"object_store_memory": 100 * 2**20}
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **store}
    )
    node = cluster.add_node(num_cpus=2, **store)
    yield cluster, node, lambda: cluster.add_node(num_cpus=2, **store)
    ray.shutdown()
    cluster.shutdown()


def when_whole(collector, seconds=300):
    """A batch of all three actors, as soon as they take part."""
    deadline = time.monotonic() + seconds
    while True:
        batch, _ = collector.collect(4)
        if collector.live == 3 or time.monotonic() > deadline:
            return batch
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_node_costs_its_simulations_until_another_comes(cluster):
    cluster, node, add_node = cluster
    config = dataclasses.replace(SMALL, ray=cluster.address, ray_workers=3, num_envs=6)
    torch.manual_seed(0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    collector = RayCollector(config, agent)
    batch = when_whole(collector)
    assert batch.shape == (6, 4)
    assert len(np.unique(batch["policy"][:, 0].numpy(), axis=0)) == 6
    cluster.remove_node(node, allow_graceful=False)
    batch, _ = collector.collect(4)
    assert batch.shape == (2, 4)
    assert collector.live == 1
    assert torch.isfinite(batch["next_value"]).all()
    collector.use(Agent(50, hidden=16, memory="lstm", privileged=False))
    add_node()
    batch = when_whole(collector)
    assert batch.shape == (6, 4)
    collector.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_survives_the_death_of_a_node(cluster, tmp_path):
    cluster, node, _ = cluster
    config = dataclasses.replace(
        SMALL, out=tmp_path / "run", ray=cluster.address, ray_workers=3, max_actions=800
    )

    def kill_when_it_runs():
        while not (config.out / "metrics.csv").exists():
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill_when_it_runs)
    killer.start()
    train(config)
    killer.join()
    assert set(stages(config.out)) == {"teacher", "clone", "ppo"}
    assert load_checkpoint(config.out / "checkpoints/last.ckpt")["actions"] >= 800


def test_no_cluster_at_an_address_is_said(tmp_path):
    pytest.importorskip("ray")
    config = dataclasses.replace(SMALL, out=tmp_path / "run", ray="127.0.0.1:1")
    with pytest.raises(InputError, match=r"no Ray cluster at .127\.0\.0\.1:1"):
        train(config)
    assert not config.out.exists()


def test_a_reading_tells_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    larger = rng.random(800) < 0.5
    features = rng.normal(size=(800, 20)).astype(np.float32)
    assert reading_accuracy(features, larger) == pytest.approx(0.5, abs=0.1)
    features[:, 3] += 2.0 * larger
    assert reading_accuracy(features, larger) > 0.75


def test_the_probe_looks_at_every_second(policy_run, monkeypatch):
    monkeypatch.setattr(probing, "ROUNDS", 2)
    monkeypatch.setattr(probing, "HANDS", 8)
    monkeypatch.setattr(probing, "SECONDS", (0.16, 0.4))
    report = probing.probe(policy_run)
    assert len(report["memory"]) == len(report["observation"]) == 2
    assert report["n"] == [16, 16]
    assert all(0 <= share <= 1 for share in report["memory"])


def test_more_time_never_leads_back_to_an_earlier_stage(policy_run, tmp_path):
    shutil.copytree(policy_run, tmp_path / "run")
    longer = dataclasses.replace(SMALL, out=tmp_path / "run", max_actions=6400, resume=True)
    trainer = Trainer(longer, tmp_path / "run")
    assert trainer.stage == "teacher"
    trainer.load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert trainer.progress < longer.teacher_share
    assert trainer.stage == "ppo"
    assert trainer.env.first_episode > 0


def test_one_batch_ahead_acts_as_the_agent_was_an_update_before():
    env = HandEnv(SMALL.environment(), 4, seed=0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    threads = torch.get_num_threads()
    ahead = Ahead(agent, lambda acting: Collector(env, acting, seed=0), threads=1)
    batches, weights = [], []
    for _ in range(3):
        weights.append(copy.deepcopy(agent))
        batches.append(ahead.collect(3)[0])
        assert torch.get_num_threads() == 1
        with torch.no_grad():
            for parameter in agent.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    assert isinstance(ahead.stop(), Collector)
    assert torch.get_num_threads() == threads
    # The first two batches were begun by the same weights, the third by those after one update.
    for batch, who in zip(batches, (weights[0], weights[0], weights[1]), strict=True):
        again = sequence_modules(who)[0].get_dist(batch.clone()).log_prob(batch["action"])
        torch.testing.assert_close(again, batch["action_log_prob"], atol=1e-4, rtol=1e-4)


def test_what_goes_wrong_while_collecting_ahead_is_not_swallowed():
    class Broken:
        def collect(self, horizon, max_angle):
            raise InputError("no simulator")

        def close(self):
            pass

    ahead = Ahead(Agent(50, hidden=8, memory="none", privileged=False), lambda _: Broken())
    with pytest.raises(InputError, match="no simulator"):
        ahead.collect(3)
    ahead.stop().close()


def test_the_ratio_starts_from_the_present_policy_and_weighs_what_an_older_one_did():
    env = HandEnv(SMALL.environment(), 4, seed=0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    batch, _ = Collector(env, copy.deepcopy(agent), seed=0).collect(3)
    learner = PPO(agent, SMALL)
    with torch.no_grad():
        agent.actor.head.bias += 0.4 * torch.randn_like(agent.actor.head.bias)
    before = batch["action_log_prob"].clone()
    add_advantages(batch, 0.99, 0.95)
    plain = (batch["advantage"] - batch["advantage"].mean()) / batch["advantage"].std()
    learner._take_bearings(batch)
    present = sequence_modules(agent)[0].get_dist(batch.clone()).log_prob(batch["action"])
    torch.testing.assert_close(batch["action_log_prob"], present)
    weight = (present - before).exp()
    assert weight.min() < 0.9 and weight.max() > MAX_WEIGHT
    torch.testing.assert_close(batch["advantage"], plain * weight.clamp_max(MAX_WEIGHT)[..., None])
