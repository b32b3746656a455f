"""The environment: steps, termination and restarts of episodes."""

import numpy as np
import pytest
from mujoco.batch import SimulationError

from opendactyl.policy.env.critic_observation import critic_size
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.env.reward import DIVERGED, DROPPED, FINISHED, RUNNING, TIMED_OUT
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.interface.observations import LAYOUTS, HandSize, layout_size
from opendactyl.policy.interface.tasks import MAX_GOALS
from opendactyl.sim.hands.shipped import hand_spec


def actions(seed, steps, count):
    return np.random.default_rng(seed).integers(0, BINS, (steps, count, 20))


def test_seeded_environments_are_reproducible_bit_for_bit():
    runs = []
    for threads in (1, 2):
        env = HandEnv(EnvConfig(), 6, seed=5, threads=threads)
        observations = [env.reset()[0]]
        observations += [env.step(bins).policy for bins in actions(0, 12, 6)]
        runs.append(np.stack(observations))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.isfinite(runs[0]).all()


def test_an_episode_does_not_depend_on_the_batch():
    settings = EnvConfig(evaluation=True)
    many, one = HandEnv(settings, 4, seed=1), HandEnv(settings, 1, seed=1, first_episode=2)
    many.reset(), one.reset()
    np.testing.assert_array_equal(many.goal[2], one.goal[0])
    for bins in actions(1, 10, 4):
        together, alone = many.step(bins), one.step(bins[2:3])
        np.testing.assert_array_equal(together.policy[2], alone.policy[0])


def test_observations_have_the_documented_sizes():
    for layout, size in (("d18", 22), ("default", 50), ("joints", 74)):
        assert layout_size(LAYOUTS[layout], HandSize.of(hand_spec())) == size
        policy, critic = HandEnv(EnvConfig(layout=layout), 2).reset()
        assert policy.shape == (2, size)
        assert critic.shape == (2, critic_size(hand_spec()))


def test_a_reached_goal_is_rewarded_with_five_and_replaced():
    env = HandEnv(EnvConfig(), 3, seed=2)
    env.reset()
    env.goal[1] = env.object_pose()[1][1]
    before = env.goal[1].copy()
    step = env.step(np.full((3, 20), 5))
    assert step.reached.tolist() == [False, True, False]
    assert step.goals.tolist() == [0, 1, 0]
    assert step.reward[1] > 3
    assert not np.array_equal(env.goal[1], before)


@pytest.mark.parametrize("max_goals", [MAX_GOALS, 3])
def test_an_episode_ends_with_the_last_goal(max_goals):
    env = HandEnv(EnvConfig(max_goals=max_goals), 2, seed=2)
    assert max_goals == 3 or EnvConfig().max_goals == 50
    env.reset()
    env.goals[0] = max_goals - 1
    env.goal[0] = env.object_pose()[1][0]
    reached = env.goal[0].copy()
    step = env.step(np.full((2, 20), 5))
    assert step.outcome.tolist() == [FINISHED, RUNNING]
    # The observation before the restart contains a new goal, for bootstrapping.
    where = 15 + 3 + 4
    assert not np.allclose(step.final_critic[0, where : where + 4], reached, atol=1e-3)
    assert step.truncated.tolist() == [True, False]
    assert step.goals[0] == max_goals
    assert env.goals[0] == 0


def test_drops_terminate_and_time_outs_truncate():
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


@pytest.mark.parametrize("randomization", ["none", "dactyl"])
@pytest.mark.parametrize("evaluation", [False, True])
def test_a_diverging_simulation_ends_only_its_own_episode(randomization, evaluation):
    settings = EnvConfig(randomization=randomization, evaluation=evaluation)
    env, reference = HandEnv(settings, 3, seed=2), HandEnv(settings, 3, seed=2)
    env.reset(), reference.reset()
    # A joint velocity that no solver can integrate.
    env.batch.bind("qvel")[1, env.scene.joint_dof] = 1e9
    bins = actions(3, 1, 3)[0]
    step, other = env.step(bins), reference.step(bins)
    assert step.outcome.tolist() == [RUNNING, DIVERGED, RUNNING]
    assert step.terminated.tolist() == [False, True, False]
    assert step.reward[1] == 0 and not step.reached[1]
    for name in ("policy", "critic", "final_policy", "final_critic", "reward"):
        assert np.isfinite(getattr(step, name)).all(), name
        np.testing.assert_array_equal(getattr(step, name)[[0, 2]], getattr(other, name)[[0, 2]])
    assert env.running.tolist() == [True, not evaluation, True]
    after = env.step(bins)
    assert np.isfinite(after.policy).all() and np.isfinite(after.critic).all()
    assert after.outcome[0] == RUNNING


class Failing:
    """A batch in which one simulation raises an error of the engine."""

    def __init__(self, batch, number):
        self.batch, self.number = batch, number

    def __getattr__(self, name):
        return getattr(self.batch, name)

    def step(self, ids, **options):
        self.batch.step(ids[ids != self.number], **options)
        raise SimulationError(np.array([self.number]), "it failed")


def test_an_error_of_the_engine_ends_only_its_episode():
    env = HandEnv(EnvConfig(), 3, seed=2)
    env.reset()
    env._simulations.batch = Failing(env.batch, 1)
    step = env.step(actions(3, 1, 3)[0])
    assert step.outcome.tolist() == [RUNNING, DIVERGED, RUNNING]
    assert np.isfinite(step.policy).all()
    env._simulations.batch = env.batch.batch
    assert (env.step(actions(4, 1, 3)[0]).outcome == RUNNING).all()


def test_nan_poses_count_as_divergence():
    env = HandEnv(EnvConfig(), 2, seed=2)
    env.reset()
    env.batch.bind("qpos")[0, env.scene.object_qpos] = np.nan
    step = env.step(actions(3, 1, 2)[0])
    assert step.outcome.tolist() == [DIVERGED, RUNNING]
    assert np.isfinite(step.final_policy).all() and np.isfinite(step.final_critic).all()
