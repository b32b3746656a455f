import json
import shutil

import numpy as np
import pytest

from opendactyl.control.bundle import load_bundle
from opendactyl.control.evaluate import EvaluateConfig, evaluate, summarize
from opendactyl.control.film import RunConfig, film
from opendactyl.control.package import ExportConfig, export_bundle
from opendactyl.control.rollouts import RolloutStates, augmented
from opendactyl.files.atomic import read_json, sha256
from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.geometry.symmetry import nearest_symmetry
from opendactyl.sim.state import State


@pytest.fixture
def copy(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_says_everything_needed_to_run_it(bundle):
    manifest = read_json(bundle / "manifest.json")
    assert manifest["sha256"] == {n: sha256(bundle / n) for n in ("pose.onnx", "policy.onnx")}
    assert manifest["policy"]["inputs"] == {
        "observation": ["batch", 50], "h": ["batch", 256], "c": ["batch", 256],
    }  # fmt: skip
    assert sum(f["size"] for f in manifest["policy"]["observation"]) == 50
    assert manifest["policy"]["action"]["bins"] == 11
    assert manifest["control_period_s"] == pytest.approx(0.08)
    assert [c["name"] for c in manifest["rig"]["cameras"]] == ["left", "right", "top"]
    assert "spin" in (bundle / "README.md").read_text()


def test_changed_files_and_other_versions_are_refused(copy):
    path = copy / "policy.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"checksum of .*policy\.onnx is wrong"):
        load_bundle(copy)
    manifest = read_json(copy / "manifest.json")
    (copy / "manifest.json").write_text(json.dumps(manifest | {"schema": 7}))
    with pytest.raises(InputError, match="schema 7"):
        load_bundle(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(InputError, match="make export"):
        load_bundle(copy)


def test_export_too_early_says_what_comes_first(tmp_path, vision_run, monkeypatch):
    with pytest.raises(InputError, match="make train-vision"):
        export_bundle(ExportConfig(vision=tmp_path / "absent", out=tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="make train-policy"):
        export_bundle(ExportConfig(vision=vision_run, out=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def test_export_replaces_bundles_and_nothing_else(copy, vision_run, policy_run, tmp_path):
    (copy / "README.md").write_text("old")
    export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=copy))
    assert "old" not in (copy / "README.md").read_text()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(InputError, match="is no bundle"):
        export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=tmp_path / "letters"))
    assert (tmp_path / "letters" / "love.txt").read_text() == "dear"
    assert not list(tmp_path.glob(".bundle-*"))


def settings(bundle, out, **options):
    return EvaluateConfig(bundle=bundle, out=out, seconds_per_goal=0.4, **options)


@pytest.mark.parametrize("pose", ["sim", "vision"])
def test_evaluation_writes_the_contracts_results(bundle, tmp_path, pose):
    results = evaluate(settings(bundle, tmp_path / "out", pose=pose, episodes=2))
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


def test_more_episodes_continue_and_do_not_change_the_first(bundle, tmp_path):
    few = evaluate(settings(bundle, tmp_path / "a", episodes=2))
    more = evaluate(settings(bundle, tmp_path / "a", episodes=4, resume=True))
    afresh = evaluate(settings(bundle, tmp_path / "b", episodes=4))
    assert more == afresh
    assert more["consecutive_successes"]["values"][:2] == few["consecutive_successes"]["values"]
    with pytest.raises(InputError, match="seed: 1000 there, 7 now"):
        evaluate(settings(bundle, tmp_path / "a", episodes=2, seed=7, resume=True))


def test_results_are_what_the_records_say():
    def record(goals, outcome):
        return {"goals": goals, "outcome": outcome, "actions": 100, "rotation_error_rad": 5.0,
                "position_error_m": 0.3}  # fmt: skip

    results = summarize([record(50, "finished"), record(0, "drop"), record(10, "timeout")], "spin")
    assert results["consecutive_successes"]["mean"] == pytest.approx(20)
    assert results["consecutive_successes"]["median"] == 10
    assert results["seconds_per_success"] == pytest.approx(300 * 0.08 / 60)
    assert results["position_error_mm_in_loop"] == pytest.approx(3.0)
    assert (results["drops"], results["timeouts"], results["finished"]) == (1, 1, 1)


def test_film(bundle, tmp_path):
    import imageio.v3 as iio

    path = film(RunConfig(bundle=bundle, seconds=0.4, video=tmp_path / "film.mp4"))
    frames = iio.imread(path, plugin="pyav")
    assert frames.shape == (5, 480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20
    assert frames.std() > 20


def test_rollout_states_repeat_by_shard(bundle):
    source = RolloutStates(bundle)
    first = [s.to_dict() for s in source.states(0, 0, 6)]
    assert [s.to_dict() for s in source.states(0, 0, 6)] == first
    assert [s.to_dict() for s in source.states(0, 6, 12)] != first
    with pytest.raises(InputError, match="--object block"):
        source.check("prism")


def test_pose_augmentation_is_dactyls_twenty_forty_forty():
    rng = np.random.default_rng(0)
    state = State(np.zeros(24), np.array([0.0, 0.0, 0.02]), random_quat(rng))
    drawn = [augmented(state, rng) for _ in range(1000)]
    same = [np.array_equal(s.quaternion, state.quaternion) for s in drawn]
    moved = [not np.array_equal(s.position, state.position) for s in drawn]
    turned = [
        not m and nearest_symmetry(s.quaternion, state.quaternion) != 0
        for s, m in zip(drawn, moved, strict=True)
    ]
    assert np.mean(moved) == pytest.approx(0.4, abs=0.05)
    # One of the 24 turns is none.
    assert np.mean(turned) == pytest.approx(0.4 * 23 / 24, abs=0.05)
    assert np.mean(same) == pytest.approx(0.2 + 0.4 / 24, abs=0.05)
    assert all(geodesic_angle(s.quaternion, s.quaternion) < 1e-6 for s in drawn)
