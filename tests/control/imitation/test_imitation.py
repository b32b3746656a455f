"""Demonstrations, goals that follow from one, and their measurement in closed loop."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.imitation_session import IMITATION_FILE, load_imitation
from opendactyl.control.bundle.load import check_bundle, load_bundle
from opendactyl.control.estimation.recorded_poses import recorded_orientations
from opendactyl.control.evaluation.episodes import EpisodeConfig
from opendactyl.control.evaluation.evaluate import EvaluateConfig
from opendactyl.control.imitation import demonstrate
from opendactyl.control.imitation.demonstrate import recorded_track
from opendactyl.control.imitation.demonstrator import (
    estimator_noise,
    random_demonstrations,
)
from opendactyl.control.imitation.evaluate import evaluate_imitation, run_with_goals
from opendactyl.control.imitation.goal_rollout import make_goal_env
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.control.runtime.imitated_goals import ImitatedGoals
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, quat_multiply, random_quat, yaw_quat
from opendactyl.policy.imitation.forms import held_out
from opendactyl.policy.imitation.predicate import satisfied
from opendactyl.policy.imitation.programs import face_up, load_program
from opendactyl.policy.interface.keyframes import FRAME_PERIOD
from opendactyl.vision.estimator import Pose

SHIPPED = Path(__file__).parents[3] / "pretrained" / "reorient"


def pose(quaternion):
    return Pose(np.zeros(3), np.asarray(quaternion, float), np.eye(6))


def start_of_imitation(bundle, seed):
    """Where an imitation of this seed starts."""
    env = make_goal_env(bundle, 1, seed, threads=1)
    env.reset()
    return env.object_pose()[1][0]


def test_a_bundle_of_another_control_period_is_refused(reorient):
    other = dataclasses.replace(reorient, period=0.1)
    with pytest.raises(InputError, match="100 ms; the simulation runs at 80 ms"):
        make_goal_env(other, 1, 0)


def test_options_without_effect_on_an_imitation_are_refused(imitation_bundle, tmp_path):
    config = EvaluateConfig(
        bundle=imitation_bundle, randomization="dactyl", workers=2, out=tmp_path / "out"
    )
    with pytest.raises(InputError, match="--randomization, --workers cannot be combined"):
        evaluate_imitation(config, tmp_path)
    assert not (tmp_path / "out").exists()


def test_demonstrations_carry_out_programs_and_repeat(reorient):
    made = random_demonstrations(reorient, 5, 4, threads=1)
    assert len(made) >= 2
    for track in made:
        assert satisfied(track.program, track.quaternions)
        assert not held_out(track.program)
        assert len(track.waypoints) == len(track.program.actions) + 1
    again = random_demonstrations(reorient, 5, 4, threads=1)
    np.testing.assert_array_equal(made[0].quaternions, again[0].quaternions)
    spread = np.rad2deg(np.sqrt(np.diag(estimator_noise(reorient))))
    rows = [*reorient.manifest["metrics"]["sight"], reorient.manifest["metrics"]["vision"]]
    largest = [max(row["rotation_error_deg"][axis] for row in rows) for axis in "xyz"]
    np.testing.assert_allclose(spread, np.array(largest) * np.sqrt(np.pi / 2))
    assert geodesic_angle(made[0].quaternions[0], start_of_imitation(reorient, 5)) > 1e-3


@pytest.mark.parametrize(
    ("attempts", "chosen"),
    [
        ([([], False), (["a"], False), (["b"], True), (["c"], True)], ["b"]),
        ([([], False), (["a"], False), (["b"], False)], ["a"]),
    ],
)
def test_a_demonstration_shows_one_program_if_any_attempt_does(monkeypatch, attempts, chosen):
    made = iter([*attempts, *[([], False)] * demonstrate.ATTEMPTS])
    monkeypatch.setattr(demonstrate, "_attempt", lambda *_: next(made))
    assert demonstrate.perform(None, None, 0) == chosen


def test_the_shipped_network_does_what_was_shown_from_other_starts(reorient):
    program = load_program("quarter-turns")
    shown = np.array([s.quaternion for s in demonstrate.perform(reorient, program, 11)])
    assert satisfied(program, shown)
    network = load_imitation(reorient, threads=1)
    goals = [ImitatedGoals(network, shown, seed=i) for i in range(6)]
    episodes = run_with_goals(EpisodeConfig(seed=12), reorient, goals)
    assert sum(e.done and satisfied(program, e.track) for e in episodes) >= 4


def test_a_bundle_holds_the_network_and_its_contract(imitation_bundle, tmp_path, capsys):
    bundle = load_bundle(imitation_bundle, threads=1)
    contract = bundle.manifest["imitation"]
    assert contract["dropout"] == 0.95 and contract["actions"] == 6
    assert (imitation_bundle / IMITATION_FILE).stat().st_size < 2_500_000
    assert "imitation.onnx" in (imitation_bundle / "README.md").read_text()
    assert "is valid" in check_bundle(imitation_bundle)
    track = random_quat(np.random.default_rng(0), (60,))
    goals = ImitatedGoals(load_imitation(bundle, threads=1), track, copies=3)
    found = goals.goal(pose([1, 0, 0, 0]))
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-4)
    # Copied along, and replaced like any bundle.
    again = ExportConfig(
        vision=imitation_bundle, policy=imitation_bundle, imitation=imitation_bundle,
        out=tmp_path / "copy",
    )  # fmt: skip
    export_bundle(again)
    export_bundle(again)
    assert load_bundle(tmp_path / "copy").manifest["imitation"] == contract
    manifest = json.loads((tmp_path / "copy/manifest.json").read_text())
    manifest["imitation"]["frame_period_s"] = 0.1
    (tmp_path / "copy/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"states .*0\.1.* train and export the network again"):
        load_imitation(load_bundle(tmp_path / "copy", threads=1))
    (tmp_path / "copy" / IMITATION_FILE).write_bytes(b"damaged")
    with pytest.raises(InputError, match="checksum"):
        load_imitation(load_bundle(tmp_path / "copy", threads=1))


def test_a_network_of_the_last_state_is_not_exported(imitation_run, tmp_path):
    run = shutil.copytree(imitation_run, tmp_path / "run")
    settings = json.loads((run / "config.json").read_text()) | {"keyframes": "last"}
    (run / "config.json").write_text(json.dumps(settings))
    config = ExportConfig(vision=SHIPPED, policy=SHIPPED, imitation=run, out=tmp_path / "out")
    with pytest.raises(InputError, match="--keyframes last, for comparison"):
        export_bundle(config)
    assert not config.out.exists()


def test_a_bundle_without_a_network_names_the_remedy(bundle):
    with pytest.raises(InputError, match="export --imitation RUN"):
        load_imitation(load_bundle(bundle, threads=1))


def test_imitations_are_counted_and_resumed(
    imitation_bundle, write_recording, tmp_path, monkeypatch
):
    turn = [yaw_quat(a) for a in np.append(np.linspace(0, np.pi / 2, 20), [np.pi / 2] * 20)]
    recording = write_recording(turn, program='steps = ["yaw 90"]')
    config = EvaluateConfig(bundle=imitation_bundle, out=tmp_path / "out", episodes=1, seed=31)
    trained = load_bundle(imitation_bundle, threads=1).manifest["training"]["policy"]["seeds"][0]
    with pytest.raises(InputError, match=f"--seed is {trained}"):
        evaluate_imitation(dataclasses.replace(config, seed=trained), recording)
    first = evaluate_imitation(config, recording)
    assert first["n"] == 1 and first["program"] == "yaw 90"
    begun = json.loads((tmp_path / "out/episodes.json").read_text())
    more = EvaluateConfig(
        bundle=imitation_bundle, out=tmp_path / "out", episodes=2, seed=31, resume=True
    )
    assert evaluate_imitation(more, recording)["n"] == 2
    records = json.loads((tmp_path / "out/episodes.json").read_text())
    # A goal takes actions; without any, the network says at once that nothing is left to do.
    assert len(records) == 2 and records[:1] == begun
    write_recording(turn, program='steps = ["yaw 180"]')
    with pytest.raises(InputError, match="program"):
        evaluate_imitation(more, recording)
    write_recording(turn, program='steps = ["yaw 90"]')
    assert all((r["actions"] > 0) == (r["goals"] > 0 or not r["done"]) for r in records)
    other = write_recording([quat_multiply(yaw_quat(1.0), q) for q in turn])
    with pytest.raises(InputError, match="demonstration"):
        evaluate_imitation(more, other)

    class FailingCameras:
        def __init__(self, *_):
            raise InputError("no cameras")

    monkeypatch.setattr("opendactyl.control.imitation.evaluate.make_source", FailingCameras)
    failing = dataclasses.replace(config, out=tmp_path / "failed")
    with pytest.raises(InputError, match="no cameras"):
        evaluate_imitation(failing, recording)
    assert not failing.out.exists()


@pytest.mark.parametrize("period", [FRAME_PERIOD, 1 / 30, None])
def test_a_recording_is_read_at_the_period_of_the_network(write_recording, period):
    angles = np.linspace(0, 1, 61)
    folder = write_recording(yaw_quat(angles), period)
    found = recorded_orientations(folder)
    seconds = 60 * (period or FRAME_PERIOD)
    assert len(found) == round(seconds / FRAME_PERIOD) + 1
    expected = np.arange(len(found)) * FRAME_PERIOD / seconds
    assert geodesic_angle(found, yaw_quat(expected)).max() < 0.03


def test_recordings_that_cannot_be_used_are_named(write_recording, tmp_path):
    with pytest.raises(InputError, match="estimate --images"):
        recorded_orientations(tmp_path)
    with pytest.raises(InputError, match=r"at least 0\.16 s"):
        recorded_orientations(write_recording(yaw_quat(np.zeros(2))))
    folder = write_recording(yaw_quat(np.zeros(40)))
    with pytest.raises(InputError, match=r"has no program\.toml"):
        recorded_track(folder)
    folder = write_recording(yaw_quat(np.zeros(40)), program='steps = ["yaw 90"]')
    with pytest.raises(InputError, match="do not carry out `yaw 90`"):
        recorded_track(folder)
    (folder / "poses.csv").write_text("frame,seconds\n0,1\n")
    with pytest.raises(InputError, match="holds no poses"):
        recorded_orientations(folder)
    folder = write_recording(yaw_quat(np.zeros(40)))
    (folder / "poses.csv").write_text(
        (folder / "poses.csv").read_text().replace("\n3,0.24", "\n3,inf")
    )
    with pytest.raises(InputError, match="not finite"):
        recorded_orientations(folder)
    (folder / "poses.csv").write_text("frame,seconds\n" + 200_000 * "1")
    with pytest.raises(InputError, match="holds no poses"):
        recorded_orientations(folder)
    shutil.rmtree(folder)
    turn = np.append(np.linspace(0, np.pi / 2, 20), [np.pi / 2] * 20)
    track = recorded_track(write_recording(yaw_quat(turn), program='steps = ["yaw 90"]'))
    assert track.waypoints.tolist() == [0, 39]
    turned = quat_multiply(
        yaw_quat(turn), face_up(random_quat(np.random.default_rng(0)), [1, 0, 0])
    )
    folder = write_recording(turned, program='steps = ["yaw 90", "then", "up P"]')
    with pytest.raises(InputError, match=r"nothing moves for `up P` .* leave the step out"):
        recorded_track(folder)
