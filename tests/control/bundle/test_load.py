"""Loading bundles: manifest, refused bundles, and requirements."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.core import cpu
from opendactyl.core.atomic_files import read_json, sha256, write_json
from opendactyl.core.errors import InputError

SHIPPED = Path(__file__).parents[3] / "pretrained"


def test_a_manifest_has_everything_needed_to_run_the_bundle(bundle):
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("sha256"), "no checksum of pose.onnx"),
        (lambda m: m["sha256"].pop("policy.onnx"), "no checksum of policy.onnx"),
        (lambda m: m.pop("policy"), "is not a valid manifest"),
        (lambda m: m.update(policy=[]), "is not a valid manifest"),
        (lambda m: m.pop("rig"), "is not a valid manifest"),
        (lambda m: m["policy"]["observation"].pop(), "add up to"),
        (lambda m: m["policy"]["observation"][0].update(size=7), "another observation layout"),
        (lambda m: m["policy"].update(task="juggle"), "no task 'juggle'"),
        (lambda m: m["policy"]["action"]["low"].pop(), "20 lower and upper limits"),
        (lambda m: m["policy"]["action"]["high"].__setitem__(3, 50.0), "from -pi to pi"),
        (lambda m: m["policy"].pop("outputs"), "is not a valid manifest"),
        (lambda m: m["policy"].update(outputs=[]), "is not a valid manifest"),
        (lambda m: m["policy"]["outputs"].update(logits=3), "is not a valid manifest"),
        (lambda m: m["policy"]["inputs"].pop("h"), "is not a valid manifest"),
        (lambda m: m["policy"]["inputs"].update(h="x"), "the policy's h is x"),
        (lambda m: m.pop("pose"), "is not a valid manifest"),
        (lambda m: m["pose"].pop("outputs"), "is not a valid manifest"),
        (lambda m: m.update(frames=3), "is not a valid manifest"),
        (lambda m: m["policy"]["action"].update(bins=5), "5 bins"),
        (lambda m: m["policy"]["action"]["low"].__setitem__(3, 3.1), "not below"),
        (lambda m: m["policy"]["action"].update(smoothing=1.5), "smoothing 1.5"),
        (lambda m: m["policy"]["action"].update(decision="dice"), "decision 'dice'"),
        (lambda m: m.update(control_period_s=0), "control period is 0"),
        (lambda m: m.update(joints=["elbow"]), "other joints"),
        (lambda m: m["rig"]["cameras"].pop(), "the estimator takes images"),
        (lambda m: m["policy"]["inputs"].update(h=["batch", 8]), "the policy's h is"),
    ],
)
def test_an_invalid_manifest_is_refused(copy, edit_manifest, change, message):
    edit_manifest(change)
    with pytest.raises(InputError, match=message):
        load_bundle(copy)


def test_bundles_without_the_decision_use_the_likeliest_bin(copy):
    observation = np.random.default_rng(0).normal(size=(1, 50)).astype(np.float32)
    manifest = read_json(copy / "manifest.json")
    assert manifest["policy"]["action"]["decision"] == "mean"
    fresh = load_bundle(copy)
    mean, _, _ = fresh.policy.act(observation, fresh.policy.initial_memory())
    del manifest["policy"]["action"]["decision"]
    write_json(copy / "manifest.json", manifest)
    older = load_bundle(copy)
    likeliest, _, _ = older.policy.act(observation, older.policy.initial_memory())
    np.testing.assert_array_equal(likeliest, likeliest.round())
    assert not np.array_equal(mean, mean.round())
    assert np.abs(mean - 5).max() < np.abs(likeliest - 5).max()


def test_a_file_that_is_not_a_network_is_refused_despite_its_checksum(copy, edit_manifest):
    (copy / "policy.onnx").write_bytes(b"not a network")
    edit_manifest(lambda m: m["sha256"].update({"policy.onnx": sha256(copy / "policy.onnx")}))
    with pytest.raises(InputError, match="not an ONNX model"):
        load_bundle(copy)


def test_linked_files_are_followed_and_a_copy_is_self_contained(copy, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("pose.onnx", "policy.onnx"):
        (copy / name).rename(other / name)
        (copy / name).symlink_to(Path("..", "other", name))
    linked = load_bundle(copy)
    elsewhere = shutil.copytree(copy, tmp_path / "elsewhere" / "bundle")
    shutil.rmtree(other)
    assert load_bundle(elsewhere).identity == linked.identity
    with pytest.raises(InputError, match=r"pose\.onnx is a link to .*cp -rL"):
        load_bundle(copy)


@pytest.mark.parametrize("task", ["spin", "face-up", "reorient"])
def test_a_copy_of_a_shipped_bundle_without_its_links_names_the_remedy(task, tmp_path):
    copied = shutil.copytree(SHIPPED / task, tmp_path / "there" / task, symlinks=True)
    if task == "reorient":
        assert load_bundle(copied).task == task
        return
    with pytest.raises(InputError, match=r"\.onnx is a link to \.\./reorient/.*cp -rL"):
        load_bundle(copied)
    with pytest.raises(InputError, match=r"cp -rL"):
        export_bundle(ExportConfig(vision=copied, policy=copied, out=tmp_path / "out"))
    subprocess.run(["cp", "-rL", SHIPPED / task, tmp_path / "copy"], check=True)
    assert load_bundle(tmp_path / "copy").identity == load_bundle(SHIPPED / task).identity


def test_networks_run_on_as_many_threads_as_the_quota_allows(bundle, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(cpu, "cgroup_quota", lambda *_: 2.5)
    for threads, expected in ((0, 3), (1, 1)):
        loaded = load_bundle(bundle, threads)
        for network in (loaded.estimator, loaded.policy):
            options = network._session.get_session_options()
            assert options.intra_op_num_threads == expected


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


def test_check_prints_the_contract_with_the_base_install(copy, edit_manifest):
    check = BLOCK + "from opendactyl.cli.main import main; main(['export', '--check', sys.argv[1]])"
    done = run_python(check, copy)
    assert done.returncode == 0, done.stderr
    for message in (
        "spin with the block",
        "80 ms",
        "left 64×64",
        "observation (",
        "h_out",
        "is valid",
    ):
        assert message in done.stdout
    edit_manifest(lambda m: m.update(joints=[]))
    done = run_python(check, copy)
    assert done.returncode == 2
    assert "other joints" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_loop_needs_neither_simulator_nor_training_libraries(bundle):
    done = run_python(
        BLOCK
        + """
import numpy as np
from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.fault_injection import FaultInjector
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.control.runtime.interfaces import HandReading
from opendactyl.control.recordings.cameras import RecordedCameras
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.control.runtime.timeouts import HandWithTimeout
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
