"""The files of `examples/trifinger`; the robot's model is not part of any dependency."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.cli.main import main
from opendactyl.control.bundle.load import load_pose_bundle
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.rotation import quat_conjugate, quat_multiply, quat_to_rotvec
from opendactyl.render.appearance.config import load_appearance
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene
from opendactyl.sim.scene_states import SceneStates
from opendactyl.sim.scenery.reference import scenery

ROOT = Path(__file__).parents[2]
FILES, BUNDLE = ROOT / "examples/trifinger", ROOT / "pretrained/trifinger"
ESTIMATE = ("estimate", "--bundle", str(BUNDLE))
PHOTOGRAPHS = ROOT.parent / "shared/photographs/cube_v2"


def test_the_files_are_valid(monkeypatch):
    scene, cube = scenery(FILES / "scene.toml"), object_spec(str(FILES / "cube.toml"))
    assert [model.name for model in scene.models] == ["robot", "arena"]
    np.testing.assert_allclose(cube.half_extent, 0.0325)
    assert load_appearance(str(FILES / "appearance.toml")).face_hue == 0.04
    monkeypatch.setenv("OPENDACTYL_ASSETS", "/nonexistent")
    with pytest.raises(InputError, match=r"trifingerpro\.urdf .*get it with `pip download"):
        _ = scenery(FILES / "scene.toml").assets


@pytest.mark.slow
def test_states_of_the_robot_are_drawn():
    try:
        _ = scenery(FILES / "scene.toml").assets
    except InputError as error:
        pytest.skip(str(error))
    scene = load_scene(str(FILES / "cube.toml"), f"scene:{FILES / 'scene.toml'}")
    assert len(scene.hand.joints) == 10  # nine of the fingers, and the floor's
    states = SceneStates(scene)
    positions = [states.sample(np.random.default_rng(i)).position for i in range(50)]
    assert np.linalg.norm(np.array(positions)[:, :2], axis=1).max() <= 0.17


def test_the_bundle_has_the_cameras_and_the_object_of_the_example():
    bundle, rig = load_pose_bundle(BUNDLE), load_rig(FILES / "rig.toml")
    assert bundle.rig.names == rig.names
    for a, b in zip(bundle.raw_rig.cameras, rig.cameras, strict=True):
        np.testing.assert_allclose(a.K, b.K)
        np.testing.assert_allclose(a.cam_from_hand, b.cam_from_hand, atol=1e-9)
    cube = object_spec(str(FILES / "cube.toml"))
    np.testing.assert_allclose(bundle.manifest["pose"]["keypoints"], cube.keypoints, atol=1e-9)


@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="the photographs are not here")
def test_the_cube_is_found_in_photographs(tmp_path):
    """Within the published best on real images, and the truth in the estimate's 90 % regions."""
    out = tmp_path / "out"
    options = ["--images", PHOTOGRAPHS, "--out", out]
    with pytest.raises(SystemExit, match="0"):
        main(["estimate", "--bundle", *map(str, (BUNDLE, *options))])
    (found,) = read_json(out / "poses.json")["poses"]
    truth = read_json(PHOTOGRAPHS / "reference.json")
    position = np.array(truth["position_m"]) - found["position"]
    # Of the truth with respect to the estimate, in the frame of the poses.
    rotation = quat_to_rotvec(
        quat_multiply(truth["quaternion_wxyz"], quat_conjugate(found["quaternion"]))
    )
    assert np.linalg.norm(position) < 0.008
    assert np.linalg.norm(rotation) < np.deg2rad(5)
    covariance = np.array(found["covariance"])
    for error, block in ((position, covariance[:3, :3]), (rotation, covariance[3:, 3:])):
        assert error @ np.linalg.solve(block, error) < 6.25
