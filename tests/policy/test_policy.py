import dataclasses
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from tensordict import TensorDict

from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, quat_to_matrix, random_quat, yaw_quat
from opendactyl.policy.checkpoints import load_checkpoint
from opendactyl.policy.config import PolicyConfig
from opendactyl.policy.env import HandEnv
from opendactyl.policy.episode import CRITIC_SIZE, DROPPED, FINISHED, RUNNING, TIMED_OUT, EnvConfig
from opendactyl.policy.export import load_actor
from opendactyl.policy.interface import (
    BINS,
    LAYOUTS,
    ActionConfig,
    ActionDecoder,
    decide,
    layout_size,
)
from opendactyl.policy.ppo import add_advantages
from opendactyl.policy.tasks import MAX_GOALS, SUCCESS_ANGLE, TASKS, GoalContext, goals, upright
from opendactyl.policy.train import train
from opendactyl.policy.vector import HandVectorEnv

IDENTITY = np.array([1.0, 0, 0, 0])


def goal(task, seed, episode, number, start=IDENTITY, present=IDENTITY):
    """One goal of one episode."""
    context = GoalContext(start[None], present[None])
    return goals(task, seed, np.array([episode]), np.array([number]), context)[0]


def sequence(**columns):
    return TensorDict({k: torch.tensor(v)[None, :, None] for k, v in columns.items()}, [1, 3])


def test_advantages_against_numbers_worked_out_by_hand():
    """Discount 0.5 and lambda 0.5, three steps, nothing ends."""
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


def test_a_drop_ends_the_return_and_a_time_out_inside_a_chunk_is_bootstrapped():
    columns = {
        "state_value": [1.0, 2.0, 3.0],
        "next_value": [2.0, 10.0, 4.0],
        "reward": [1.0, 0.0, 2.0],
        "done": [False, True, False],
    }
    dropped = sequence(**columns, terminated=[False, True, False])
    add_advantages(dropped, 0.5, 0.5)
    # d1 = 0 - 2 and nothing flows back over the end; A0 = 1 + 0.25 * -2
    assert dropped["advantage"].flatten().tolist() == pytest.approx([0.5, -2.0, 1.0])
    timed_out = sequence(**columns, terminated=[False, False, False])
    add_advantages(timed_out, 0.5, 0.5)
    # d1 = 0 + 0.5 * 10 - 2 with the value before the restart; A0 = 1 + 0.25 * 3
    assert timed_out["advantage"].flatten().tolist() == pytest.approx([1.75, 3.0, 1.0])


@pytest.mark.parametrize("task", TASKS)
def test_goals_depend_on_seed_episode_and_number_alone(task):
    first = goal(task, 3, 7, 2)
    np.testing.assert_array_equal(goal(task, 3, 7, 2), first)
    others = [
        goal(task, 4, 7, 2),
        goal(task, 3, 8, 2),
        goal(task, 3, 7, 3),
    ]
    assert all(geodesic_angle(first, other) > 1e-3 for other in others)


@pytest.mark.parametrize("task", TASKS)
def test_goals_are_never_reached_already(task):
    rng = np.random.default_rng(0)
    for number in range(40):
        present = random_quat(rng)
        drawn = goal(task, 0, 0, number, random_quat(rng), present)
        assert geodesic_angle(drawn, present) > SUCCESS_ANGLE


def test_spin_keeps_the_upper_face_up_and_face_up_puts_a_face_up():
    rng = np.random.default_rng(1)
    for number in range(30):
        start = random_quat(rng)
        spun = goal("spin", 0, 0, number, start, start)
        axis = np.argmax(np.abs(quat_to_matrix(start)[2]))
        assert abs(quat_to_matrix(spun)[2, axis]) == pytest.approx(1)
        assert np.sign(quat_to_matrix(spun)[2, axis]) == np.sign(quat_to_matrix(start)[2, axis])
        up = quat_to_matrix(goal("face-up", 0, 0, number))[2]
        assert np.max(np.abs(up)) == pytest.approx(1)


def test_reorient_goals_are_uniform_on_so3():
    traces = [
        np.trace(quat_to_matrix(goal("reorient", 0, e, 0, present=yaw_quat(np.pi))))
        for e in range(3000)
    ]
    # The trace of a uniform rotation has mean 0 and variance 1; the redrawn 0.7 % hardly show.
    assert np.mean(traces) == pytest.approx(0.0, abs=0.1)
    assert np.var(traces) == pytest.approx(1.0, abs=0.1)


def test_upright_changes_nothing_that_stands_upright():
    standing = yaw_quat(np.array([0.0, 1.0, -2.0]))
    assert np.all(geodesic_angle(upright(standing), standing) < 1e-7)


def test_upright_turns_no_further_than_it_must():
    quats = random_quat(np.random.default_rng(0), (200,))
    stood = upright(quats)
    vertical = np.abs(quat_to_matrix(quats)[:, 2]).max(axis=-1)
    np.testing.assert_allclose(np.abs(quat_to_matrix(stood)[:, 2]).max(axis=-1), 1)
    np.testing.assert_allclose(geodesic_angle(stood, quats), np.arccos(vertical), atol=1e-7)


def test_goals_are_the_same_together_and_alone():
    quats = random_quat(np.random.default_rng(0), (6,))
    numbers = np.arange(6)
    for task in TASKS:
        for widest in (1.0, np.pi):
            together = goals(task, 5, numbers, numbers % 3, GoalContext(quats, quats, widest))
            for i in numbers:
                context = GoalContext(quats[i : i + 1], quats[i : i + 1], widest)
                alone = goals(task, 5, numbers[i : i + 1], numbers[i : i + 1] % 3, context)
                np.testing.assert_array_equal(alone[0], together[i])


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
    likelihood = np.array([0.1, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 0.4])
    with np.errstate(divide="ignore"):
        logits = np.log(np.tile(likelihood, (2, 20, 1)).astype(np.float32)) + 3.0
    assert np.allclose(decide(logits), 0.3 * 3 + 0.2 * 7 + 0.4 * 10)
    assert (decide(logits, "likeliest") == 10).all()
    decoder = ActionDecoder(ActionConfig(smoothing=0.0), np.zeros(20), np.ones(20))
    decoder.reset(np.zeros((2, 20)))
    assert np.allclose(decoder.decode(decide(logits), np.zeros((2, 20))), 0.63)
    assert np.isnan(decide(np.full((1, 20, 11), np.nan))).all()


def test_smoothing_keeps_half_of_the_old_target():
    decoder = ActionDecoder(ActionConfig(smoothing=0.5), np.full(20, -1.0), np.full(20, 1.0))
    decoder.reset(np.zeros((1, 20)))
    bins = np.full((1, 20), BINS - 1)
    assert decoder.decode(bins, np.zeros((1, 20)))[0, 0] == pytest.approx(0.5)
    assert decoder.decode(bins, np.zeros((1, 20)))[0, 0] == pytest.approx(0.75)


def actions(seed, steps, count):
    return np.random.default_rng(seed).integers(0, BINS, (steps, count, 20))


def test_seeded_environments_repeat_bit_for_bit():
    runs = []
    for threads in (1, 2):
        env = HandEnv(EnvConfig(), 6, seed=5, threads=threads)
        observations = [env.reset()[0]]
        observations += [env.step(bins).policy for bins in actions(0, 12, 6)]
        runs.append(np.stack(observations))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.isfinite(runs[0]).all()


def test_an_episode_is_the_same_whatever_runs_beside_it():
    settings = EnvConfig(evaluation=True)
    many, one = HandEnv(settings, 4, seed=1), HandEnv(settings, 1, seed=1, first_episode=2)
    many.reset(), one.reset()
    np.testing.assert_array_equal(many.goal[2], one.goal[0])
    for bins in actions(1, 10, 4):
        together, alone = many.step(bins), one.step(bins[2:3])
        np.testing.assert_array_equal(together.policy[2], alone.policy[0])


def test_observations_have_the_promised_sizes():
    for layout, size in (("d18", 22), ("default", 50), ("joints", 74)):
        assert layout_size(LAYOUTS[layout]) == size
        policy, critic = HandEnv(EnvConfig(layout=layout), 2).reset()
        assert policy.shape == (2, size)
        assert critic.shape == (2, CRITIC_SIZE)


def test_reaching_a_goal_pays_five_and_brings_the_next():
    env = HandEnv(EnvConfig(), 3, seed=2)
    env.reset()
    env.goal[1] = env.object_pose()[1][1]
    before = env.goal[1].copy()
    step = env.step(np.full((3, 20), 5))
    assert step.reached.tolist() == [False, True, False]
    assert step.goals.tolist() == [0, 1, 0]
    assert step.reward[1] > 3
    assert not np.array_equal(env.goal[1], before)


def test_the_fiftieth_goal_is_the_last():
    env = HandEnv(EnvConfig(), 2, seed=2)
    env.reset()
    env.goals[0] = MAX_GOALS - 1
    env.goal[0] = env.object_pose()[1][0]
    reached = env.goal[0].copy()
    step = env.step(np.full((2, 20), 5))
    assert step.outcome.tolist() == [FINISHED, RUNNING]
    # What is seen before the restart has a goal ahead, as the value of going on must.
    where = 15 + 3 + 4
    assert not np.allclose(step.final_critic[0, where : where + 4], reached, atol=1e-3)
    assert step.truncated.tolist() == [True, False]
    assert step.goals[0] == MAX_GOALS
    assert env.goals[0] == 0


def test_drops_end_and_time_outs_truncate():
    env = HandEnv(EnvConfig(seconds_per_goal=0.24), 2, seed=3)
    env.reset()
    env.batch.bind("qpos")[0, env.scene.object_qpos.start + 2] -= 1.0
    step = env.step(np.full((2, 20), 5))
    assert step.outcome.tolist() == [DROPPED, RUNNING]
    assert step.terminated.tolist() == [True, False]
    assert step.reward[0] < -10
    env.step(np.full((2, 20), 5))
    step = env.step(np.full((2, 20), 5))
    assert step.outcome[1] == TIMED_OUT
    assert step.truncated[1] and not step.terminated[1]


def test_gymnasium_sees_a_vector_environment():
    env = HandVectorEnv(num_envs=3)
    first, _ = env.reset(seed=4)
    assert env.observation_space.contains(first)
    env.action_space.seed(0)
    chosen = env.action_space.sample()
    observation, reward, terminated, truncated, _ = env.step(chosen)
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    again, _ = env.reset(seed=4)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(env.step(chosen)[0], observation)


def test_training_leaves_what_the_contract_says(policy_run):
    for name in ("config.json", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (policy_run / name).exists(), name
    assert list(policy_run.glob("events.out.tfevents.*"))
    stages = {
        line.split(",")[0] for line in (policy_run / "metrics.csv").read_text().splitlines()[1:]
    }
    assert stages == {"teacher", "clone", "ppo"}


def test_resuming_goes_on_and_other_settings_are_refused(policy_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(policy_run, run)
    settings = PolicyConfig(
        out=run, num_envs=8, horizon=4, minibatches=2, epochs=1, max_actions=960, resume=True
    )
    before = load_checkpoint(run / "checkpoints/last.ckpt")
    train(settings)
    after = load_checkpoint(run / "checkpoints/last.ckpt")
    assert (before["actions"], after["actions"]) == (640, 960)
    assert after["seconds"] > before["seconds"]
    with pytest.raises(InputError, match="task: 'spin' there, 'reorient' now"):
        train(dataclasses.replace(settings, task="reorient"))
    with pytest.raises(InputError, match="not empty"):
        train(dataclasses.replace(settings, resume=False))


def test_onnx_equals_torch_over_twenty_recurrent_steps(policy_run, bundle):
    actor, _ = load_actor(policy_run)
    session = onnxruntime.InferenceSession(str(bundle / "policy.onnx"))
    h, c = actor.initial_state(3)
    ours = {"h": h.numpy(), "c": c.numpy()}
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        observation = torch.randn(3, 50, generator=rng)
        with torch.no_grad():
            logits, h, c = actor(observation[:, None], torch.zeros(3, 1), h, c)
        out, ours["h"], ours["c"] = session.run(None, {"observation": observation.numpy(), **ours})
        np.testing.assert_allclose(out, logits[:, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(ours["h"], h.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"task": "juggle"},
        {"memory": "elephant"},
        {"layout": "x"},
        {"num_envs": 7},
        {"max_minutes": 0.0},
        {"teacher_share": 0.9, "clone_share": 0.2},
        {"minibatches": 0},
        {"epochs": 0},
        {"seed": -1},
        {"gamma": 2.0},
        {"learning_rate": float("nan")},
        {"randomization": "absurd"},
    ],
)
def test_impossible_settings_are_refused(options, tmp_path):
    with pytest.raises(InputError):
        train(PolicyConfig(out=tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()
