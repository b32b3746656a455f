"""Evaluations of whole bundles: the contract's results, pairs, and what is refused."""

import math
import pickle
from pathlib import Path

import imageio.v3 as iio
import pytest

from opendactyl.control.evaluation.episode_runner import share_out
from opendactyl.control.evaluation.evaluate import EvaluateConfig, evaluate
from opendactyl.control.viewer.video import record_median_video
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.policy.interface.tasks import SELECTION_SEED_OFFSET


def settings(bundle, out, **options):
    return EvaluateConfig(
        bundle=bundle, out=out, seconds_per_goal=0.4, **({"video_seconds": 0} | options)
    )


def test_the_median_episode_is_recorded(bundle, tmp_path):
    config = settings(bundle, tmp_path / "out", episodes=3, video_seconds=0.2)
    video = record_median_video(config, [4, 9, 6])
    assert video == tmp_path / "out" / "median.mp4"
    assert len(iio.imread(video, plugin="pyav")) == 2


@pytest.mark.parametrize("pose", ["sim", "vision"])
def test_evaluation_writes_the_contracts_results(bundle, tmp_path, pose):
    config = settings(bundle, tmp_path / "out", pose=pose, episodes=2)
    results = evaluate(config)
    assert results == read_json(tmp_path / "out" / "results.json")
    assert {"n", "consecutive_successes", "drops", "timeouts", "seconds_per_success"} <= set(
        results
    )
    assert set(results["consecutive_successes"]) == {"mean", "std", "median", "values"}
    assert results["n"] == len(results["consecutive_successes"]["values"]) == 2
    ends = results["drops"] + results["timeouts"] + results["finished"] + results["diverged"]
    assert ends == 2
    error = results["rotation_error_deg_in_loop"]
    assert error == 0.0 if pose == "sim" else error > 1.0
    assert "Dactyl" in (tmp_path / "out" / "report.html").read_text()
    assert bool(results["by_visibility"]) == (pose == "vision")


def test_more_episodes_continue_and_do_not_change_the_first(bundle, tmp_path):
    few = evaluate(settings(bundle, tmp_path / "a", episodes=2))
    more = evaluate(settings(bundle, tmp_path / "a", episodes=4, resume=True))
    afresh = evaluate(settings(bundle, tmp_path / "b", episodes=4))
    assert more == afresh
    assert more["consecutive_successes"]["values"][:2] == few["consecutive_successes"]["values"]
    with pytest.raises(InputError, match="seed: 1000 there, 7 now"):
        evaluate(settings(bundle, tmp_path / "a", episodes=2, seed=7, resume=True))


def test_any_number_of_workers_runs_the_same_episodes(bundle, tmp_path):
    results = [
        evaluate(settings(bundle, tmp_path / str(n), episodes=3, pose="vision", workers=n))
        for n in (1, 2)
    ]
    assert results[0] == results[1]
    assert results[0]["actions"] > 3


def test_the_last_episodes_go_one_by_one():
    assert share_out(1, 8, 2, workers=2) == [(1, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)]
    assert share_out(0, 3, 2, workers=2) == [(0, 1), (1, 1), (2, 1)]
    assert share_out(0, 5, 2, workers=1) == [(0, 2), (2, 2), (4, 1)]
    assert share_out(4, 4, 2, workers=2) == []


def test_randomization_changes_the_episodes_and_the_measured_pose(bundle, tmp_path):
    plain = evaluate(settings(bundle, tmp_path / "a", episodes=2))
    drawn = evaluate(settings(bundle, tmp_path / "b", episodes=2, randomization="dactyl"))
    assert plain["rotation_error_deg_in_loop"] == 0.0
    assert 0.1 < drawn["rotation_error_deg_in_loop"] < 30.0
    with pytest.raises(InputError, match="no randomization 'mild'"):
        settings(bundle, tmp_path / "c", randomization="mild")


def test_pose_sources_are_compared_in_pairs_of_the_same_episodes(bundle, tmp_path):
    evaluate(settings(bundle, tmp_path / "sim", episodes=2))
    options = {"pose": "vision", "episodes": 2, "against": tmp_path / "sim"}
    results = evaluate(settings(bundle, tmp_path / "vision", **options))
    assert results["against"]["pose"] == "sim"
    assert results["against"]["n"] == 2
    assert "sim, the same episodes" in (tmp_path / "vision" / "report.html").read_text()
    with pytest.raises(InputError, match=r"other episodes .*seed: 1000 there, 5 here"):
        evaluate(settings(bundle, tmp_path / "other", **options, seed=5))
    with pytest.raises(InputError, match="cannot read"):
        evaluate(settings(bundle, tmp_path / "lone", **(options | {"against": tmp_path})))


@pytest.mark.parametrize(
    "options",
    [{"pose": "guess"}, {"task": "juggle"}, {"renderer": "crayon"}, {"episodes": 0}, {"seed": -1},
     {"video_seconds": -1.0}, {"film_seconds": 0.01}, {"film_seconds": math.nan},
     {"appearance": "loud", "pose": "vision"}, {"seconds_per_goal": math.inf}],
)  # fmt: skip
def test_evaluation_refuses_what_it_cannot_do(bundle, tmp_path, options):
    with pytest.raises(InputError):
        wanted = {"episodes": 1, "video_seconds": 0, "seconds_per_goal": 0.4} | options
        evaluate(EvaluateConfig(bundle=bundle, out=tmp_path / "out", **wanted))
    assert not (tmp_path / "out").exists()


def test_starts_that_were_trained_on_are_not_counted(bundle, tmp_path):
    trained = read_json(bundle / "manifest.json")["training"]["policy"]["seed"]
    for seed in (trained, trained + SELECTION_SEED_OFFSET):
        with pytest.raises(InputError, match=f"--seed is {seed}"):
            evaluate(settings(bundle, tmp_path / "out", episodes=1, seed=seed))
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_acts_at_another_rate_is_not_simulated(copy, spoil, tmp_path):
    spoil(lambda manifest: manifest.update(control_period_s=0.02))
    with pytest.raises(InputError, match="acts every 20 ms"):
        evaluate(settings(copy, tmp_path / "out", episodes=1))


def test_settings_from_files_count_by_what_they_say_and_bundles_by_what_they_are(
    bundle, copy, tmp_path
):
    ranges = tmp_path / "my.toml"
    ranges.write_text('preset = "none"')
    options = {"out": tmp_path / "out", "randomization": str(ranges)}
    evaluate(settings(bundle, **options, episodes=1))
    evaluate(settings(copy, **options, episodes=1, resume=True))
    ranges.write_text('preset = "dactyl"')
    with pytest.raises(InputError, match="randomization_sha256"):
        evaluate(settings(bundle, **options, episodes=2, resume=True))


def test_ranges_are_read_once(bundle, tmp_path):
    ranges = tmp_path / "my.toml"
    ranges.write_text('preset = "none"')
    config = settings(bundle, tmp_path / "out", randomization=str(ranges), episodes=1)
    ranges.unlink()
    assert evaluate(pickle.loads(pickle.dumps(config)))["n"] == 1


def test_the_report_has_the_errors_of_single_samples_beside_those_in_the_loop(
    copy, spoil, tmp_path
):
    def pretend(manifest):
        seen = {"n": 7, "rotation_error_deg": 1.5, "position_error_mm": 1.0}
        row = {
            "n": 7,
            "rotation_error_deg": {"mean": 1.5},
            "position_error_mm": {"mean": 1.0},
            "by_visibility": [seen | {"visible_from": 0.8, "visible_to": 1.0}],
        }
        manifest["metrics"]["sight"] = [
            row | {"states": "policy:x", "renderer": "classic"},
            row | {"states": "settled", "renderer": "classic", "n": 8},
            row | {"states": "policy:x", "renderer": "filament", "n": 9},
        ]

    spoil(pretend)
    results = evaluate(settings(copy, tmp_path / "out", pose="vision", episodes=1))
    assert results["offline"]["n"] == 7
    report = (tmp_path / "out" / "report.html").read_text()
    assert "single samples: policy:x, classic" in report
    assert "80% to 100%" in report
    assert "Dactyl, vision to sim" in report and "0.6912" in report


def test_the_bundle_of_the_task_comes_before_that_of_the_hardest(tmp_path, monkeypatch):
    from opendactyl.cli import bundles

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundles, "SHIPPED", tmp_path / "pretrained")
    with pytest.raises(InputError, match="make export"):
        bundles.with_bundle(EvaluateConfig(), [])
    for task in ("spin", "face-up"):
        (tmp_path / "pretrained" / task).mkdir(parents=True)
        (tmp_path / "pretrained" / task / "manifest.json").write_text("{}")
    assert bundles.with_bundle(EvaluateConfig(), []).bundle.name == "face-up"
    assert bundles.with_bundle(EvaluateConfig(task="spin"), []).bundle.name == "spin"
    assert bundles.with_bundle(EvaluateConfig(task="reorient"), []).bundle.name == "face-up"
    (tmp_path / "exports" / "bundle").mkdir(parents=True)
    (tmp_path / "exports" / "bundle" / "manifest.json").write_text("{}")
    assert bundles.with_bundle(EvaluateConfig(task="spin"), []).bundle == Path("exports/bundle")
