"""The agents that an imitation network is compared with."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from opendactyl.benchmarks.support import imitation_comparison
from opendactyl.benchmarks.support.imitation_agents import ReplayedGoals, resting_orientations
from opendactyl.benchmarks.support.imitation_comparison import ComparisonConfig, compare
from opendactyl.control.evaluation.episodes import EpisodeConfig
from opendactyl.control.imitation.demonstrator import OracleGoals
from opendactyl.control.imitation.evaluate import run_with_goals
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.policy.imitation.forms import programs_for_tests
from opendactyl.policy.imitation.predicate import satisfied
from opendactyl.policy.imitation.programs import load_program
from opendactyl.vision.estimator import Pose


def pose(quaternion):
    return Pose(np.zeros(3), np.asarray(quaternion, float), np.eye(6))


def test_the_resting_orientations_are_found():
    rng = np.random.default_rng(0)
    rests = random_quat(rng, (3,))
    track = [random_quat(rng)]
    for rest in rests:
        track += [*random_quat(rng, (4,)), *[rest] * 15]
    found = resting_orientations(np.array(track))
    np.testing.assert_allclose(geodesic_angle(found, rests), 0, atol=1e-6)
    replay = ReplayedGoals(found)
    np.testing.assert_array_equal(replay.goal(pose(random_quat(rng))), found[0])


def test_the_oracle_carries_out_a_program_and_a_replay_does_not(reorient):
    program = load_program("quarter-turns")
    rng = np.random.default_rng(2)
    start = random_quat(rng)
    reached = [start]
    for action in program.actions:
        reached.append(action.goal(np.array(reached)))
    shown = np.repeat(np.array(reached), 20, axis=0)
    assert satisfied(program, shown)
    config = EpisodeConfig(seed=77)
    oracle = run_with_goals(config, reorient, [OracleGoals(program) for _ in range(4)])
    replay = run_with_goals(
        config, reorient, [ReplayedGoals(np.array(reached[1:])) for _ in range(4)]
    )
    carried_out = [e.done and satisfied(program, e.track) for e in oracle]
    replayed = [e.done and satisfied(program, e.track) for e in replay]
    assert sum(carried_out) >= 3 > 1 >= sum(replayed)


@pytest.fixture
def last_run(imitation_run, tmp_path):
    """A run as of train-imitation --keyframes last."""
    run = shutil.copytree(imitation_run, tmp_path / "last")
    settings = json.loads((run / "config.json").read_text()) | {"keyframes": "last"}
    (run / "config.json").write_text(json.dumps(settings))
    return run


@pytest.mark.parametrize("last", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_agents_are_compared_and_resumed(imitation_bundle, last_run, tmp_path, last):
    config = ComparisonConfig(
        bundle=imitation_bundle, last=last_run if last else None, programs=1, starts=1,
        out=tmp_path / "out",
    )  # fmt: skip
    results = compare(config)
    agents = results["agents"]
    assert list(agents) == ["network", "oracle", "replay", "waypoints", *["last"] * last]
    assert {rates["n"] for rates in agents.values()} == {1}
    assert results["failed_demonstrations"] == 0
    records = json.loads((tmp_path / "out/episodes.json").read_text())[0]["network"]
    clear = [r for r in records if not r["ambiguous"]]
    assert [rates["unambiguous"] and rates["unambiguous"]["n"] for rates in agents.values()] == [
        len(clear) or None
    ] * len(agents)
    assert agents["oracle"]["ratio_to_oracle"] == 1.0
    assert (tmp_path / "out/table.md").read_text().count("\n") == 6 + last
    again = compare(dataclasses.replace(config, resume=True))
    assert again["agents"] == agents


def test_a_network_of_all_keyframes_is_not_the_baseline(imitation_bundle, imitation_run, tmp_path):
    config = ComparisonConfig(
        bundle=imitation_bundle, last=imitation_run, programs=1, starts=1, out=tmp_path / "out"
    )
    with pytest.raises(InputError, match="was not trained with --keyframes last"):
        compare(config)
    assert not config.out.exists()
    with pytest.raises(InputError, match="--agents last needs"):
        dataclasses.replace(config, last=None, agents=("last",))


def test_rounds_have_episodes_of_their_own_and_are_continued(
    imitation_bundle, tmp_path, monkeypatch
):
    config = ComparisonConfig(
        bundle=imitation_bundle, programs=10, starts=2, pose="vision", out=tmp_path / "out"
    )
    programs, seen = programs_for_tests(10, config.seed), []

    def measure(config, bundle, networks, some, first):
        if len(seen) == 3:
            seen.append(None)
            raise KeyboardInterrupt
        seen.append((first, some))
        row = {"success": True, "done": True, "ambiguous": False}
        agents = {
            agent: [row | {"program": str(p)} for p in some] for agent in ("network", "oracle")
        }
        return {"failed_demonstrations": 0, **agents}

    monkeypatch.setattr(imitation_comparison, "_round", measure)
    with pytest.raises(KeyboardInterrupt):
        compare(config)
    results = compare(dataclasses.replace(config, resume=True))
    expected = [(0, programs[:8]), (8, programs[8:]), (10, programs[:8]), (18, programs[8:])]
    assert [one for one in seen if one] == expected
    assert results["agents"]["network"]["n"] == 20


def test_the_interval_is_that_of_the_rate():
    """Programs with more episodes count more."""
    rows = [{"program": str(i), "success": i < 20, "done": True}
            for i in range(40) for _ in range(25 if i < 20 else 1)]  # fmt: skip
    rates = imitation_comparison._rates("network", {"network": rows})
    low, high = rates["success_interval_95"]
    assert low < rates["success"] < high


def test_agents_of_a_comparison_can_be_chosen(imitation_bundle, tmp_path):
    config = ComparisonConfig(
        bundle=imitation_bundle, agents=("network",), programs=1, starts=1, out=tmp_path / "out"
    )
    agents = compare(config)["agents"]
    assert list(agents) == ["network"] and "ratio_to_oracle" not in agents["network"]
    with pytest.raises(InputError, match="choose from network, oracle"):
        dataclasses.replace(config, agents=("nobody",))
