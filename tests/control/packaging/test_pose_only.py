"""Pose-only bundles, and bundles that state the cameras of raw frames."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from opendactyl.control.bundle.load import check_bundle, load_bundle, load_pose_bundle
from opendactyl.control.evaluation.evaluate import EvaluateConfig, evaluate
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import NO_POLICY, ExportConfig
from opendactyl.control.runtime.interfaces import HandReading
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.geometry.distortion import Distortion
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_import.rig_toml import write_rig


@pytest.fixture(scope="module")
def pose_only(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("pose-only") / "bundle"
    return export_bundle(ExportConfig(vision=bundle, policy=NO_POLICY, out=out))


def test_a_pose_only_bundle_has_the_estimator_and_says_what_its_poses_are(pose_only, bundle):
    assert sorted(path.name for path in pose_only.iterdir()) == [
        "README.md", "manifest.json", "pose.onnx",
    ]  # fmt: skip
    loaded = load_pose_bundle(pose_only)
    manifest = loaded.manifest
    assert not {"policy", "joints", "control_period_s"} & set(manifest)
    assert list(manifest["sha256"]) == ["pose.onnx"]
    assert manifest["frames"]["pose"].startswith("of the object in the hand frame")
    assert "object's description" in manifest["frames"]["object"]
    assert np.shape(manifest["pose"]["keypoints"]) == (14, 3)
    assert loaded.object_name == load_bundle(bundle).object_name == "block"
    assert loaded.estimator.estimate(np.zeros((3, 64, 64, 3), np.uint8)).position.shape == (3,)
    card = (pose_only / "README.md").read_text()
    assert "pose of the block" in card and "policy.onnx" not in card
    assert "pose frame" in check_bundle(pose_only)


def test_the_loop_refuses_it(pose_only):
    for use in (load_bundle, lambda path: evaluate(EvaluateConfig(bundle=path))):
        with pytest.raises(InputError, match="without a policy: `opendactyl estimate` runs it"):
            use(pose_only)


def test_a_policy_can_be_added(pose_only, bundle, tmp_path):
    out = export_bundle(ExportConfig(vision=pose_only, policy=bundle, out=tmp_path / "both"))
    assert load_bundle(out).manifest["sha256"] == load_bundle(bundle).manifest["sha256"]
    # A bundle that lost its policy is damaged, not pose-only.
    manifest = read_json(out / "manifest.json")
    write_json(out / "manifest.json", {k: v for k, v in manifest.items() if k != "policy"})
    with pytest.raises(InputError, match="not a valid manifest"):
        load_pose_bundle(out)


@pytest.mark.parametrize("option", ["task", "max_joint_speed"])
def test_options_of_no_policy_are_refused(bundle, tmp_path, option):
    value = "spin" if option == "task" else -1.0
    out = tmp_path / "a"
    config = ExportConfig(vision=bundle, policy=NO_POLICY, out=out, **{option: value})
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} is of the policy"):
        export_bundle(config)
    assert not out.exists()


def test_keypoints_are_exported_with_their_deviations(bundle):
    estimator = load_pose_bundle(bundle).estimator
    pose = estimator.estimate(np.zeros(estimator.shape, np.uint8))
    assert pose.image_points.shape == (3, 14, 2)
    assert np.all(pose.image_points_std > 0) and pose.image_points_std.shape == (3, 14)
    # Of each view 48 landmarks (x, y, peak), the first of which is a keypoint, and the context.
    assert pose.tokens.shape == (3, 3 * 48 + 96)
    assert np.allclose((pose.tokens[:, :2] + 1) / 2, pose.image_points[:, 0], atol=1e-5)


@pytest.fixture
def lens_bundle(copy):
    """The toy bundle with raw frames of 100×80 pixels through a lens."""
    lens = Distortion("brown-conrady", (-2.0, 0.0, 0.0, 0.0))
    cameras = [replace(c.scaled(100, 80), distortion=lens) for c in load_rig("dactyl-200").cameras]
    manifest = read_json(copy / "manifest.json")
    write_json(copy / "manifest.json", manifest | {"raw_rig": Rig("raw", tuple(cameras)).to_dict()})
    return copy


def test_a_bundle_with_raw_cameras_takes_their_frames(lens_bundle):
    bundle = load_bundle(lens_bundle)
    assert [c.width for c in bundle.raw_rig.cameras] == [100] * 3
    assert bundle.raw_rig.cameras[0].distortion.coefficients[0] == -2.0
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(3)]
    pose = bundle.estimator.estimate(frames)
    images = bundle.estimator.raw_frames.images(frames)
    np.testing.assert_array_equal(pose.position, bundle.estimator.estimate(images).position)
    assert "100×80" in check_bundle(lens_bundle)


class Cameras:
    def __init__(self, shape):
        self.frames = list(np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8))

    def read(self):
        return self.frames

    def close(self):
        pass


class Constant:
    """An estimator whose poses are within reach: the toy one is hardly trained."""

    def __init__(self, estimator):
        self.shape, self.estimator = estimator.shape, estimator

    def estimate(self, frames):
        return replace(self.estimator.estimate(frames), position=np.array([0, 0, 0.03]))


def test_the_loop_takes_raw_frames(lens_bundle, bundle):
    loaded = load_bundle(lens_bundle)
    loaded = replace(loaded, estimator=Constant(loaded.estimator))
    source = VisionPose(loaded, Cameras((80, 100, 3)), raw=True)
    pose = source.pose(HandReading(np.zeros(24), np.zeros((5, 3))))
    assert pose.position[2] == 0.03
    assert source.seconds["estimate"] > 0
    with pytest.raises(InputError, match="export it with --rig"):
        VisionPose(load_bundle(bundle), Cameras((80, 100, 3)), raw=True)


@pytest.mark.slow
def test_export_stores_the_rig_of_raw_frames(vision_run, tmp_path):
    write_rig(load_rig("dactyl-200").resized(640), tmp_path / "raw.toml", "")
    config = ExportConfig(vision=vision_run, policy=NO_POLICY, out=tmp_path / "a",
                          rig=str(tmp_path / "raw.toml"))  # fmt: skip
    manifest = load_pose_bundle(export_bundle(config)).manifest
    assert [c["width"] for c in manifest["raw_rig"]["cameras"]] == [640] * 3
    assert [c["width"] for c in manifest["rig"]["cameras"]] == [64] * 3
    assert "agreement" in manifest["pose"]


def test_export_refuses_the_rig_of_other_cameras(vision_run, tmp_path):
    rig = Rig("two", load_rig("dactyl-200").cameras[:2])
    write_rig(rig, tmp_path / "two.toml", "")
    config = ExportConfig(vision=vision_run, policy=NO_POLICY, out=tmp_path / "a",
                          rig=str(tmp_path / "two.toml"))  # fmt: skip
    with pytest.raises(InputError, match="trained on only, and the cameras of rig 'two' are left"):
        export_bundle(config)
    assert not shutil.os.path.exists(tmp_path / "a")
