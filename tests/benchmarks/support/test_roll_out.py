"""Roll-outs of runs, weights and bundles, and resets of their memory."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.benchmarks.support.roll_out import roll_out
from opendactyl.control.evaluation.policies import load_policy
from opendactyl.core.errors import InputError
from opendactyl.models.weights import load_weights, save_weights
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import ActionConfig
from opendactyl.policy.training.train import train

WEIGHTS = Path(__file__).parents[3] / "pretrained" / "weights" / "policy-spin.safetensors"


class Recorder:
    """Records resets; holds the hand in the middle of its range."""

    def begin(self, batch):
        self.starts = []

    def act(self, observation, start):
        self.starts.append(start.copy())
        return np.full((len(start), 20), 5.0)


def test_the_memory_is_reset_at_intervals_and_where_an_episode_ends():
    recorder = Recorder()
    config = EnvConfig(task="reorient", seconds_per_goal=0.24)
    done = roll_out(recorder, config, 2, 10, wipe_every=4)
    resets = [number for number, start in enumerate(recorder.starts) if start.all()]
    # An episode of three actions times out, so that a new one begins with the fourth.
    assert resets == [0, 3, 4, 6, 8, 9]
    assert done.actions == 10 and done.goals.shape == done.drops.shape == (2,)
    roll_out(recorder, EnvConfig(), 2, 10)
    assert sum(start.all() for start in recorder.starts) == 1


def test_a_run_and_its_bundle_act_alike(policy_run, bundle):
    rng = np.random.default_rng(0)
    run, exported = load_policy(policy_run), load_policy(bundle)
    assert run[1] == exported[1]
    observations = rng.normal(size=(5, 3, 50)).astype(np.float32)
    acted = []
    for policy in (run[0], exported[0]):
        policy.begin(3)
        starts = [np.array([i in (0, 3), i == 0, False]) for i in range(5)]
        acted.append([policy.act(o, s) for o, s in zip(observations, starts, strict=True)])
    np.testing.assert_allclose(acted[0], acted[1], atol=1e-3)


def test_a_memory_that_is_reset_always_acts_like_a_new_one(policy_run):
    policy, _ = load_policy(policy_run)
    observation = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    policy.begin(2)
    first, second = (policy.act(observation, np.ones(2, dtype=bool)) for _ in range(2))
    third = policy.act(observation, np.zeros(2, dtype=bool))
    np.testing.assert_array_equal(first, second)
    assert np.abs(third - second).max() > 0


def test_weights_know_their_task_and_need_their_layout():
    assert load_policy(WEIGHTS)[1].task == "spin"
    assert load_policy(WEIGHTS, task="face-up")[1].task == "face-up"
    with pytest.raises(InputError, match="layout d18"):
        load_policy(WEIGHTS, layout="d18")
    with pytest.raises(InputError):
        load_policy(WEIGHTS.with_name("none.safetensors"))


def test_weights_may_record_their_layout(tmp_path):
    path = tmp_path / "policy.safetensors"
    save_weights(load_weights(WEIGHTS), path, {"task": "reorient", "layout": "cube"})
    assert load_policy(path)[1].layout == "cube"
    assert load_policy(path, layout="default")[1].layout == "default"


def test_weights_keep_the_meaning_of_their_actions_and_their_object(tmp_path):
    path = tmp_path / "policy.safetensors"
    about = {"task": "face-up", "action": "relative", "smoothing": 0.3, "object": "prism"}
    save_weights(load_weights(WEIGHTS), path, about | {"hand": "shadow"})
    environment = load_policy(path)[1]
    assert environment.action == ActionConfig(mode="relative", smoothing=0.3)
    assert (environment.object, environment.hand) == ("prism", "shadow")
    save_weights(load_weights(WEIGHTS), path, about | {"object": "bottle"})
    with pytest.raises(InputError, match=r"cannot be used alone .*bottle.*; name the run that"):
        load_policy(path)


def test_a_run_keeps_the_meaning_of_its_actions(tiny):
    config = tiny(action="relative", smoothing=0.3, layout="d18", memory="frames")
    policy, environment = load_policy(train(config))
    assert environment.action == ActionConfig(mode="relative", smoothing=0.3)
    assert environment.layout == "d18"
    assert roll_out(policy, environment, 2, 3).actions == 3
