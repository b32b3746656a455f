import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle import load_bundle
from opendactyl.control.evaluate import EvaluateConfig, evaluate
from opendactyl.control.film import RunConfig, film
from opendactyl.control.package import ExportConfig, export_bundle
from opendactyl.control.results import compare, summarize
from opendactyl.control.rollouts import MinedStates, RolloutStates, augmented, hardest
from opendactyl.files.atomic import read_json, sha256, write_json
from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.geometry.symmetry import nearest_symmetry
from opendactyl.sim.state import State
from opendactyl.vision.metrics import by_visibility


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


def spoil(copy, change):
    manifest = read_json(copy / "manifest.json")
    change(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("sha256"), "no checksum of pose.onnx"),
        (lambda m: m["sha256"].pop("policy.onnx"), "no checksum of policy.onnx"),
        (lambda m: m.pop("policy"), "is no bundle manifest"),
        (lambda m: m.update(policy=[]), "is no bundle manifest"),
        (lambda m: m.pop("rig"), "is no bundle manifest"),
        (lambda m: m["policy"]["observation"].pop(), "add up to"),
        (lambda m: m["policy"]["observation"][0].update(size=7), "another observation layout"),
        (lambda m: m["policy"].update(task="juggle"), "no task 'juggle'"),
        (lambda m: m["policy"]["action"]["low"].pop(), "20 lower and upper limits"),
        (lambda m: m["policy"]["action"]["high"].__setitem__(3, 50.0), "from -pi to pi"),
        (lambda m: m["policy"].pop("outputs"), "is no bundle manifest"),
        (lambda m: m["policy"].update(outputs=[]), "is no bundle manifest"),
        (lambda m: m["policy"]["outputs"].update(logits=3), "is no bundle manifest"),
        (lambda m: m["policy"]["inputs"].pop("h"), "is no bundle manifest"),
        (lambda m: m["policy"]["inputs"].update(h="x"), "is no bundle manifest"),
        (lambda m: m.pop("pose"), "is no bundle manifest"),
        (lambda m: m["pose"].pop("outputs"), "is no bundle manifest"),
        (lambda m: m.update(frames=3), "is no bundle manifest"),
        (lambda m: m["policy"]["action"].update(bins=5), "5 bins"),
        (lambda m: m["policy"]["action"]["low"].__setitem__(3, 3.1), "not below"),
        (lambda m: m["policy"]["action"].update(smoothing=1.5), "smoothing 1.5"),
        (lambda m: m["policy"]["action"].update(decision="dice"), "decision 'dice'"),
        (lambda m: m.update(control_period_s=0), "control period is 0"),
        (lambda m: m.update(joints=["elbow"]), "other joints"),
        (lambda m: m["rig"]["cameras"].pop(), "the estimator takes images"),
        (lambda m: m["policy"]["inputs"].update(h=["batch", 8]), "the policy's h should be"),
    ],
)
def test_a_manifest_that_is_not_whole_is_refused(copy, change, words):
    spoil(copy, change)
    with pytest.raises(InputError, match=words):
        load_bundle(copy)


def test_bundles_older_than_the_choice_act_by_the_likeliest_bin(copy):
    seen = np.random.default_rng(0).normal(size=(1, 50)).astype(np.float32)
    manifest = read_json(copy / "manifest.json")
    assert manifest["policy"]["action"]["decision"] == "mean"
    fresh = load_bundle(copy)
    mean, _, _ = fresh.policy.act(seen, fresh.policy.initial_memory())
    del manifest["policy"]["action"]["decision"]
    write_json(copy / "manifest.json", manifest)
    older = load_bundle(copy)
    likeliest, _, _ = older.policy.act(seen, older.policy.initial_memory())
    np.testing.assert_array_equal(likeliest, likeliest.round())
    assert not np.array_equal(mean, mean.round())
    assert np.abs(mean - 5).max() < np.abs(likeliest - 5).max()


def test_a_file_that_is_no_network_is_refused_even_with_a_good_checksum(copy):
    (copy / "policy.onnx").write_bytes(b"no network")
    spoil(copy, lambda m: m["sha256"].update({"policy.onnx": sha256(copy / "policy.onnx")}))
    with pytest.raises(InputError, match="no ONNX model"):
        load_bundle(copy)


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "lightning", "mujoco", "tensordict", "tyro"}:
            raise ImportError(name)
sys.meta_path.insert(0, Block())
"""


def test_check_prints_the_contract_and_needs_the_base_install_only(copy):
    check = BLOCK + "from opendactyl.cli.main import main; main(['export', '--check', sys.argv[1]])"
    done = run_python(check, copy)
    assert done.returncode == 0, done.stderr
    for words in (
        "spin with the block",
        "80 ms",
        "left 64×64",
        "observation (",
        "h_out",
        "is whole",
    ):
        assert words in done.stdout
    spoil(copy, lambda m: m.update(joints=[]))
    done = run_python(check, copy)
    assert done.returncode == 2
    assert "other joints" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_loop_needs_neither_a_simulator_nor_a_trainer(bundle):
    done = run_python(
        BLOCK
        + """
import numpy as np
from opendactyl.control.bundle import load_bundle
from opendactyl.control.faults import Faults
from opendactyl.control.filter import FilteredPose
from opendactyl.control.goals import TaskGoals
from opendactyl.control.parts import HandReading
from opendactyl.control.recorded import RecordedCameras
from opendactyl.control.robot import RobotLoop
from opendactyl.control.sight import VisionPose
from opendactyl.control.waiting import AnsweringHand
class Hand:
    def read(self):
        return HandReading(np.zeros(24), np.zeros((5, 3)))
    def command(self, targets):
        self.targets = targets
class Cameras:
    def read(self):
        return np.random.default_rng(0).integers(0, 256, bundle.estimator.shape, dtype=np.uint8)
bundle, hand = load_bundle(sys.argv[1]), Hand()
loop = RobotLoop(bundle, hand, FilteredPose(VisionPose(bundle, Cameras())), TaskGoals("spin"))
print([status.state for status in loop.run(2)], hand.targets.shape)
""",
        bundle,
    )
    assert done.stdout.strip() == "['acting', 'acting'] (20,)", done.stderr


def test_export_too_early_says_what_comes_first(tmp_path, vision_run, monkeypatch):
    with pytest.raises(InputError, match="make train-vision"):
        export_bundle(ExportConfig(vision=tmp_path / "absent", out=tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="make train-policy"):
        export_bundle(ExportConfig(vision=vision_run, out=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def test_export_replaces_bundles_and_nothing_else(copy, vision_run, policy_run, tmp_path):
    (copy / "README.md").write_text("another card")
    weights = tmp_path / "weights"
    export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=copy, weights=weights))
    names = {path.name for path in weights.iterdir()}
    assert names == {"pose.safetensors", "policy-spin.safetensors"}
    assert "another card" not in (copy / "README.md").read_text()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(InputError, match="is no bundle"):
        export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=tmp_path / "letters"))
    assert (tmp_path / "letters" / "love.txt").read_text() == "dear"
    assert not list(tmp_path.glob(".bundle-*"))


def settings(bundle, out, **options):
    return EvaluateConfig(
        bundle=bundle, out=out, seconds_per_goal=0.4, **({"film_seconds": 0} | options)
    )


def test_networks_of_a_bundle_are_joined_with_others(bundle, vision_run, policy_run, tmp_path):
    new = export_bundle(ExportConfig(vision=bundle, policy=policy_run, out=tmp_path / "a"))
    old, manifest = load_bundle(bundle).manifest, load_bundle(new).manifest
    assert manifest["sha256"]["pose.onnx"] == old["sha256"]["pose.onnx"]
    assert {k: v for k, v in manifest.items() if k not in ("sha256", "metrics")} == {
        k: v for k, v in old.items() if k not in ("sha256", "metrics")
    }
    other = export_bundle(
        ExportConfig(vision=vision_run, policy=bundle, out=tmp_path / "b", task="face-up")
    )
    manifest = load_bundle(other).manifest
    assert manifest["sha256"]["policy.onnx"] == old["sha256"]["policy.onnx"]
    assert manifest["policy"]["task"] == "face-up"


@pytest.mark.parametrize("option", ["rig", "quantize", "weights"])
def test_what_needs_a_run_is_refused_for_a_bundle(bundle, policy_run, tmp_path, option):
    settings = {option: tmp_path / "x" if option != "rig" else "dactyl"}
    with pytest.raises(InputError, match=f"--{option} needs a run of training"):
        export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "a", **settings))
    assert not (tmp_path / "a").exists()


def test_weights_are_those_of_the_runs_among_the_sources(bundle, vision_run, policy_run, tmp_path):
    def written(name, **sources):
        out = tmp_path / name
        export_bundle(ExportConfig(out=out / "bundle", weights=out / "weights", **sources))
        return [path.name for path in (out / "weights").iterdir()]

    assert written("a", vision=bundle, policy=policy_run) == ["policy-spin.safetensors"]
    assert written("b", vision=vision_run, policy=bundle) == ["pose.safetensors"]


@pytest.mark.parametrize("pose", ["sim", "vision"])
def test_evaluation_writes_the_contracts_results(bundle, tmp_path, pose):
    film_seconds = 0.2 if pose == "vision" else 0
    config = settings(bundle, tmp_path / "out", pose=pose, episodes=2, film_seconds=film_seconds)
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
    assert (tmp_path / "out" / "median.mp4").exists() == (pose == "vision")
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


def test_randomization_changes_the_episodes_and_the_measured_pose(bundle, tmp_path):
    plain = evaluate(settings(bundle, tmp_path / "a", episodes=2))
    drawn = evaluate(settings(bundle, tmp_path / "b", episodes=2, randomization="dactyl"))
    assert plain["rotation_error_deg_in_loop"] == 0.0
    assert 0.1 < drawn["rotation_error_deg_in_loop"] < 30.0
    with pytest.raises(InputError, match="no randomization 'mild'"):
        settings(bundle, tmp_path / "c", randomization="mild")


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


def test_ratio_of_pairs_and_its_interval():
    rng = np.random.default_rng(0)
    sim = rng.integers(10, 50, 200).tolist()
    same = compare(sim, sim + [50])
    assert (same["n"], same["ratio"], same["interval_95"]) == (200, 1.0, [1.0, 1.0])
    assert same["mean"] == same["theirs"]["mean"] == pytest.approx(np.mean(sim))
    assert same["theirs"]["median"] == np.median(sim)
    noisy = compare(
        [round(0.8 * g + d) for g, d in zip(sim, rng.normal(0, 8, 200), strict=True)], sim
    )
    low, high = noisy["interval_95"]
    assert low < noisy["ratio"] < high
    assert low < 0.8 < high and high - low < 0.2
    assert compare([3, 4], [0, 0])["ratio"] is None


def test_errors_are_told_by_how_much_was_seen():
    rows = by_visibility(*np.array([[0.11, 0.14, 1.0], [1.0, 3.0, 0.1], [10.0, 30.0, 1.0]]))
    assert [(row["visible_from"], row["n"]) for row in rows] == [(0.1, 2), (0.95, 1)]
    assert rows[0]["rotation_error_deg"] == pytest.approx(2.0)
    assert rows[0]["position_error_mm"] == pytest.approx(20.0)


@pytest.mark.parametrize(
    "options",
    [{"pose": "guess"}, {"task": "juggle"}, {"renderer": "crayon"}, {"episodes": 0}, {"seed": -1},
     {"film_seconds": -1.0}, {"film_seconds": 0.01}, {"film_seconds": math.nan},
     {"appearance": "loud", "pose": "vision"}, {"seconds_per_goal": math.inf}],
)  # fmt: skip
def test_evaluation_refuses_what_it_cannot_do(bundle, tmp_path, options):
    with pytest.raises(InputError):
        wanted = {"episodes": 1, "film_seconds": 0, "seconds_per_goal": 0.4} | options
        evaluate(EvaluateConfig(bundle=bundle, out=tmp_path / "out", **wanted))
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_acts_at_another_rate_is_not_simulated(copy, tmp_path):
    spoil(copy, lambda manifest: manifest.update(control_period_s=0.02))
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


def test_the_report_has_the_errors_of_single_samples_beside_those_in_the_loop(
    copy, val_dataset, tmp_path
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

    spoil(copy, pretend)
    results = evaluate(settings(copy, tmp_path / "out", pose="vision", episodes=1))
    assert results["offline"]["n"] == 7
    page = (tmp_path / "out" / "report.html").read_text()
    assert "single samples: policy:x, classic" in page
    assert "80% to 100%" in page
    assert "Dactyl, vision to sim" in page and "0.6912" in page


def test_results_are_what_the_records_say():
    def record(goals, outcome):
        return {"goals": goals, "outcome": outcome, "actions": 100, "rotation_error_rad": 5.0,
                "position_error_m": 0.3, "without_pose": 2,
                "visibility": [[0.95, 0.1, 0.001], [0.5, 0.3, 0.003]]}  # fmt: skip

    results = summarize([record(50, "finished"), record(0, "drop"), record(10, "timeout")], "spin")
    assert results["consecutive_successes"]["mean"] == pytest.approx(20)
    assert results["consecutive_successes"]["median"] == 10
    assert results["seconds_per_success"] == pytest.approx(300 * 0.08 / 60)
    assert results["position_error_mm_in_loop"] == pytest.approx(3.0)
    low, high = results["mean_interval_95"]
    assert 0 <= low < 20 < high <= 50
    assert results["actions_without_pose"] == 6
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


def test_mined_states_are_the_hardest_and_repeat(bundle):
    source = MinedStates(bundle)
    first = [s.to_dict() for s in source.states(0, 0, 6)]
    assert len(first) == 6
    assert [s.to_dict() for s in source.states(0, 0, 6)] == first
    # By degrees alone the second is worst; 9 mm count for more than 5.4 degrees.
    error_rad, error_m = np.deg2rad([0.0, 5.42, 2.71]), np.array([0.00936, 0.0, 0.00156])
    assert hardest(error_rad, error_m, 2).tolist() == [0, 1]


def test_pose_augmentation_is_dactyls_twenty_forty_forty():
    rng = np.random.default_rng(0)
    state = State(np.zeros(24), np.array([0.0, 0.0, 0.02]), random_quat(rng))
    limits = np.tile([-0.01, 0.1], (24, 1))
    drawn = [augmented(state, rng, limits) for _ in range(1000)]
    same = [np.array_equal(s.quaternion, state.quaternion) for s in drawn]
    moved = [not np.array_equal(s.position, state.position) for s in drawn]
    turned = [
        not m and nearest_symmetry(s.quaternion, state.quaternion) != 0
        for s, m in zip(drawn, moved, strict=True)
    ]
    assert np.mean(moved) == pytest.approx(0.4, abs=0.05)
    for s, m in zip(drawn, moved, strict=True):
        assert (s.joints != 0).any() == m
        assert (limits[:, 0] <= s.joints).all() and (s.joints <= limits[:, 1]).all()
    # One of the 24 turns is none.
    assert np.mean(turned) == pytest.approx(0.4 * 23 / 24, abs=0.05)
    assert np.mean(same) == pytest.approx(0.2 + 0.4 / 24, abs=0.05)
    assert all(geodesic_angle(s.quaternion, s.quaternion) < 1e-6 for s in drawn)
