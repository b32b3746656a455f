"""Evaluations of bundles: results, paired comparisons, and refused settings."""

import math
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.bundle.manifest import training_seeds
from opendactyl.control.evaluation import episode_runner
from opendactyl.control.evaluation.evaluate import EvaluateConfig, evaluate
from opendactyl.core import worker_process
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.models.weights import about_weights
from opendactyl.policy.interface.tasks import SELECTION_SEED_OFFSET

SHIPPED = Path(__file__).parents[3] / "pretrained"


def settings(bundle, out, **options):
    return EvaluateConfig(
        bundle=bundle, out=out, seconds_per_goal=0.4, **({"video_seconds": 0} | options)
    )


@pytest.mark.parametrize("pose", ["sim", "vision"])
def test_evaluation_writes_results_and_report(bundle, tmp_path, pose):
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


def test_more_episodes_do_not_change_the_first(bundle, tmp_path):
    few = evaluate(settings(bundle, tmp_path / "a", episodes=2))
    more = evaluate(settings(bundle, tmp_path / "a", episodes=4, resume=True))
    fresh = evaluate(settings(bundle, tmp_path / "b", episodes=4))
    assert more == fresh
    assert more["consecutive_successes"]["values"][:2] == few["consecutive_successes"]["values"]
    with pytest.raises(InputError, match="seed: 1000 there, 7 now"):
        evaluate(settings(bundle, tmp_path / "a", episodes=2, seed=7, resume=True))


def test_results_do_not_depend_on_processes(bundle, tmp_path, monkeypatch, capsys):
    """On their number, on their replacement when they have aged, and on whether there are any."""
    started = []

    class Pool(ProcessPoolExecutor):
        def __init__(self, *arguments):
            started.append(None)
            super().__init__(*arguments)

    def run(name, workers):
        config = settings(bundle, tmp_path / name, episodes=2, pose="vision", workers=workers)
        return evaluate(config)

    monkeypatch.setattr(episode_runner, "ProcessPoolExecutor", Pool)
    first = run("one", 1)
    assert len(started) == 1
    monkeypatch.setitem(episode_runner.LIFETIME, "classic", 1)
    assert run("two", 2) == first
    assert len(started) == 1 + 2
    monkeypatch.setattr(worker_process, "shared_memory_fault", lambda: "no shared memory")
    assert run("none", 2) == first
    assert len(started) == 1 + 2
    assert "no shared memory; one process runs all episodes" in capsys.readouterr().err
    assert first["actions"] > 2


def test_randomization_changes_the_episodes_and_the_measured_pose(bundle, tmp_path):
    plain = evaluate(settings(bundle, tmp_path / "a", episodes=2))
    randomized = evaluate(settings(bundle, tmp_path / "b", episodes=2, randomization="dactyl"))
    assert plain["rotation_error_deg_in_loop"] == 0.0
    assert 0.1 < randomized["rotation_error_deg_in_loop"] < 30.0
    with pytest.raises(InputError, match="no randomization 'mild'"):
        settings(bundle, tmp_path / "c", randomization="mild")


def test_pose_sources_are_compared_on_the_same_episodes(bundle, tmp_path):
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
     {"video_seconds": -1.0}, {"video_seconds": 0.01}, {"video_seconds": math.nan},
     {"appearance": "loud", "pose": "vision"}, {"seconds_per_goal": math.inf}],
)  # fmt: skip
def test_invalid_settings_are_refused(bundle, tmp_path, options):
    with pytest.raises(InputError):
        settings = {"episodes": 1, "video_seconds": 0, "seconds_per_goal": 0.4} | options
        evaluate(EvaluateConfig(bundle=bundle, out=tmp_path / "out", **settings))
    assert not (tmp_path / "out").exists()


def test_seeds_of_training_and_selection_are_refused(bundle, tmp_path):
    trained = read_json(bundle / "manifest.json")["training"]["policy"]["seed"]
    for seed in (trained, trained + SELECTION_SEED_OFFSET):
        with pytest.raises(InputError, match=f"--seed is {seed}"):
            evaluate(settings(bundle, tmp_path / "out", episodes=1, seed=seed))
    assert not (tmp_path / "out").exists()


def test_seeds_of_ancestors_are_refused(copy, edit_manifest, tmp_path, capsys):
    about = {"seeds": [5, 8], "seeds_complete": True}
    edit_manifest(lambda manifest: manifest["training"]["policy"].update(seed=8, **about))
    for seed in (5, 8, 5 + SELECTION_SEED_OFFSET):
        with pytest.raises(InputError, match=f"--seed is {seed}"):
            evaluate(settings(copy, tmp_path / "out", episodes=1, seed=seed))
    evaluate(settings(copy, tmp_path / "out", episodes=1))
    assert "unknown" not in capsys.readouterr().err


@pytest.mark.parametrize("about", [{"seed": 8}, {"seed": 8, "seeds": [8], "seeds_complete": False}])
def test_unknown_seeds_of_ancestors_are_a_warning(copy, edit_manifest, tmp_path, capsys, about):
    edit_manifest(lambda manifest: manifest["training"].update(policy=about))
    with pytest.raises(InputError, match="--seed is 8"):
        evaluate(settings(copy, tmp_path / "out", episodes=1, seed=8))
    assert evaluate(settings(copy, tmp_path / "out", episodes=1))["n"] == 1
    warnings = [line for line in capsys.readouterr().err.splitlines() if "unknown" in line]
    assert warnings == [
        "opendactyl: the training seeds of the policy's ancestors are unknown; --seed 1000 may be "
        "one of them"
    ]


@pytest.mark.parametrize(("task", "seeds"), [("spin", [2, 8]), ("face-up", [2]), ("reorient", [2])])
def test_the_shipped_policies_record_their_seeds_as_incomplete(task, seeds, tmp_path):
    assert training_seeds(load_bundle(SHIPPED / task).manifest) == (seeds, False)
    weights = SHIPPED / "weights" / f"policy-{task}.safetensors"
    if weights.exists():
        record = {"task": task, "seeds": seeds, "seeds_complete": False}
        assert about_weights(weights) == record
    with pytest.raises(InputError, match="--seed is 2"):
        evaluate(settings(SHIPPED / task, tmp_path / "out", episodes=1, seed=2))


def test_a_dead_worker_is_a_failure_of_the_environment(bundle, tmp_path, monkeypatch):
    def broken(*_):
        raise BrokenProcessPool("killed")

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor.submit", broken)
    with pytest.raises(EnvironmentFailure, match="--resume and fewer --workers"):
        evaluate(settings(bundle, tmp_path / "out", pose="vision", episodes=2, workers=2))
    assert not (tmp_path / "out").exists()


def test_a_bundle_of_another_control_period_is_refused(copy, edit_manifest, tmp_path):
    edit_manifest(lambda manifest: manifest.update(control_period_s=0.02))
    with pytest.raises(InputError, match=r"control period of .* is 20 ms"):
        evaluate(settings(copy, tmp_path / "out", episodes=1))


def test_resuming_depends_on_the_contents_of_files_and_bundles(bundle, copy, tmp_path):
    ranges = tmp_path / "my.toml"
    ranges.write_text('preset = "none"')
    options = {"out": tmp_path / "out", "randomization": str(ranges)}
    evaluate(settings(bundle, **options, episodes=1))
    renamed = options | {"randomization": str(shutil.copy(ranges, tmp_path / "b.toml"))}
    evaluate(settings(copy, **renamed, episodes=1, resume=True))
    against = renamed | {"out": tmp_path / "b", "against": tmp_path / "out"}
    assert evaluate(settings(copy, **against, episodes=1))["against"]["n"] == 1
    ranges.write_text('preset = "dactyl"')
    with pytest.raises(InputError, match="randomization_sha256"):
        evaluate(settings(bundle, **options, episodes=2, resume=True))


def test_ranges_are_read_once(bundle, tmp_path):
    ranges = tmp_path / "my.toml"
    ranges.write_text('preset = "none"')
    config = settings(bundle, tmp_path / "out", randomization=str(ranges), episodes=1)
    ranges.unlink()
    assert evaluate(pickle.loads(pickle.dumps(config)))["n"] == 1


def test_the_report_has_errors_of_single_samples_beside_those_in_the_loop(
    copy, edit_manifest, tmp_path
):
    def add_metrics(manifest):
        errors = {"n": 7, "rotation_error_deg": 1.5, "position_error_mm": 1.0}
        row = {
            "n": 7,
            "rotation_error_deg": {"mean": 1.5},
            "position_error_mm": {"mean": 1.0},
            "by_visibility": [errors | {"visible_from": 0.8, "visible_to": 1.0}],
        }
        manifest["metrics"]["sight"] = [
            row | {"states": "policy:x", "renderer": "classic"},
            row | {"states": "settled", "renderer": "classic", "n": 8},
            row | {"states": "policy:x", "renderer": "filament", "n": 9},
        ]

    edit_manifest(add_metrics)
    results = evaluate(settings(copy, tmp_path / "out", pose="vision", episodes=1))
    assert results["offline"]["n"] == 7
    report = (tmp_path / "out" / "report.html").read_text()
    assert "single samples: policy:x, classic" in report
    assert "80% to 100%" in report
    assert "Dactyl, vision to sim" in report and "0.6912" in report


def test_the_default_bundle_is_that_of_the_task_then_that_of_the_hardest(tmp_path, monkeypatch):
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
