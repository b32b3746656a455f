"""The time to a number of goals: what the clock counts, both sides, and resumed pairs."""

import json
import time

import numpy as np
import pytest

from opendactyl.benchmarks.measure import PartialResults, Row
from opendactyl.benchmarks.support.learning_time import GoalClock, Target

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("short_episodes"),
]
OPTIONS = {"n_steps": 4, "batch_size": 8, "n_epochs": 1}


def toy(tiny, goals, **options):
    from opendactyl.benchmarks.peers.recurrent_ppo import PeerSettings
    from opendactyl.benchmarks.suites.learning_race import Race

    candidates = {
        "few": PeerSettings(simulations=2, options=OPTIONS),
        "more": PeerSettings(simulations=4, options=OPTIONS),
    }
    target = Target(goals=goals, episodes=2, minutes=0.0)
    return Race(ours=tiny(), candidates=candidates, trial_minutes=1e-3, target=target, **options)


def test_evaluations_are_not_counted_and_come_at_intervals():
    medians = iter([0, 3])
    target = Target(goals=2, minutes=0.002, growth=0.0)
    clock = GoalClock(target, limit=10.0)

    def goals(episodes):
        time.sleep(1.0)
        return np.full(episodes, next(medians))

    assert not clock.due
    for count in (1, 2):
        assert not clock.done
        time.sleep(0.15)
        assert clock.due
        clock.evaluate(goals)
        assert not clock.due and len(clock.curve) == count
    assert clock.reached and clock.done
    assert [median for _, median in clock.curve] == [0, 3]
    assert 0.3 <= 60 * clock.minutes < 1.0
    assert GoalClock(target, limit=0.0).done


def test_the_distance_between_evaluations_grows(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = GoalClock(Target(goals=1, minutes=1.0, growth=0.05))
    now[0] = 60 * 100
    clock.evaluate(np.zeros)
    now[0] = 60 * 104
    assert not clock.due
    now[0] = 60 * 105.1
    assert clock.due


def test_both_sides_are_evaluated_until_they_reach_the_target(tiny):
    from opendactyl.benchmarks.suites.learning_race import run_pair

    pair = run_pair(toy(tiny, goals=0), "few", seed=1)
    assert pair["ours_reached"] and pair["peer_reached"]
    assert len(pair["ours_curve"]) == len(pair["peer_curve"]) == 1
    assert pair["ours"] == pair["ours_curve"][0][0]
    assert pair["peer"] == pair["peer_curve"][0][0]
    assert pair["peer_actions"] == 8
    # The teacher, the first 0.45 of 256 actions, is not evaluated.
    assert 0.45 * 256 < pair["ours_actions"] < 256


def test_the_peer_is_stopped_after_a_multiple_of_our_time(tiny):
    from opendactyl.benchmarks.suites.learning_race import run_pair

    pair = run_pair(toy(tiny, goals=51, factor=0.01), "few", seed=0)
    assert not pair["ours_reached"] and pair["ours_actions"] == 256
    assert not pair["peer_reached"] and pair["peer"] == 0.01 * pair["ours"]


def test_finished_pairs_are_kept_and_the_better_setting_is_used(tiny, monkeypatch):
    from opendactyl.benchmarks.suites import learning_race
    from opendactyl.benchmarks.suites.learning_race import minutes_to_goals

    monkeypatch.setattr(
        learning_race, "_goal_rate", lambda race, settings: float(settings.simulations)
    )
    race, done = toy(tiny, goals=0, seeds=2), {}
    run_pair, ran = learning_race.run_pair, []

    def interrupted(race, chosen, seed):
        ran.append((chosen, seed))
        if len(ran) == 2:
            raise KeyboardInterrupt
        return run_pair(race, chosen, seed)

    monkeypatch.setattr(learning_race, "run_pair", interrupted)
    with pytest.raises(KeyboardInterrupt):
        minutes_to_goals(PartialResults(done), race)
    kept = json.loads(json.dumps(done))
    row = minutes_to_goals(PartialResults(kept), race)
    assert ran == [("more", 0), ("more", 1), ("more", 1)]
    assert row.ours == np.median([pair["ours"] for pair in row.extra["pairs"]])
    assert row.lower_is_better and row.ratio == row.peer / row.ours
    assert "more" in row.peer_name and row.extra["peer_stopped"] == 0
    assert Row.from_dict(json.loads(json.dumps(row.to_dict()))).ratio == row.ratio


def test_a_trial_counts_goals(tiny):
    from opendactyl.benchmarks.suites.learning_race import _goal_rate

    race = toy(tiny, goals=0)
    assert _goal_rate(race, race.candidates["few"]) >= 0
