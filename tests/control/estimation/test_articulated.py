"""Estimates of an articulated object: files, residuals and the drawn outline."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from opendactyl.control.bundle.load import PoseBundle
from opendactyl.control.bundle.manifest import articulation_of
from opendactyl.control.estimation.overlay import WIREFRAME, Overlay
from opendactyl.control.estimation.results import Estimate, Results, reprojection_residuals
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.transforms import pose_matrix, transform_points
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.estimator import Pose

CUBE = object_spec("face-cube")
ANGLES = np.deg2rad([40.0, -70.0])
POSE = np.array([0.01, 0.0, 0.03]), np.array([0.8, 0.6, 0.0, 0.0])


@pytest.fixture
def cube_bundle(tmp_path):
    def make(hinges):
        rig = load_rig("dactyl-200").resized(200)
        manifest = {"pose": {"keypoints": CUBE.keypoints.tolist(), "hinges": hinges}}
        return PoseBundle(tmp_path, manifest, None, rig, None)

    return make


@pytest.fixture
def articulated(cube_bundle):
    return cube_bundle([hinge.to_dict() for hinge in CUBE.articulation.hinges])


def observed(angles, claimed, rig):
    """A pose whose image points are those at `angles`, with the estimate `claimed`."""
    points = transform_points(pose_matrix(*POSE), CUBE.articulation.at(angles))
    image_points = np.stack([camera.project(points)[0] / 200 for camera in rig.cameras])
    return Pose(*POSE, np.eye(6), image_points, np.full((3, 26), 0.01),
                hinges=claimed, hinge_std=np.full(2, 0.1))  # fmt: skip


def test_residuals_are_of_the_keypoints_at_the_angles(articulated):
    scales = [np.ones(2)] * 3
    exact = reprojection_residuals(articulated, observed(ANGLES, ANGLES, articulated.rig), scales)
    assert max(exact.values()) < 1e-6
    wrong = reprojection_residuals(
        articulated, observed(ANGLES, np.zeros(2), articulated.rig), scales
    )
    assert min(wrong.values()) > 1.0


def test_files_have_the_angles_by_name(articulated, tmp_path, monkeypatch):
    monkeypatch.setattr(PoseBundle, "identity", "x")
    monkeypatch.setattr(PoseBundle, "object_name", "face-cube")
    pose = observed(ANGLES, ANGLES, articulated.rig)
    Results([Estimate("0", 0.0, pose, {}, 1.0)]).write(tmp_path, articulated)
    (found,) = json.loads((tmp_path / "poses.json").read_text())["poses"]
    assert found["hinges"] == dict(zip(("top", "bottom"), ANGLES, strict=True))
    with (tmp_path / "poses.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["hinge_top"]) == ANGLES[0] and float(row["hinge_std_bottom"]) == 0.1


def test_the_outline_follows_the_angles(articulated):
    camera = articulated.rig.cameras[2]
    drawn = []
    for claimed in (ANGLES, np.zeros(2)):
        estimate = Estimate("0", 0.0, observed(ANGLES, claimed, articulated.rig), {}, 1.0)
        frame = np.zeros((200, 200, 3), np.uint8)
        picture = Overlay(articulated).draw([frame], [camera], estimate)
        assert isinstance(picture, Image.Image)
        drawn.append(np.all(np.asarray(picture) == WIREFRAME, axis=-1))
    points = transform_points(pose_matrix(*POSE), CUBE.articulation.at(ANGLES))
    columns, rows = np.round(camera.project(points)[0][8:12] - 0.5).astype(int).T
    near = [
        drawn[0][r - 2 : r + 3, c - 2 : c + 3].any() for r, c in zip(rows, columns, strict=True)
    ]
    assert all(near)
    assert np.sum(drawn[0] != drawn[1]) > 50


def test_a_bundle_with_impossible_hinges_is_refused(cube_bundle):
    hinge = CUBE.articulation.hinges[0].to_dict() | {"keypoints": [8, 99]}
    with pytest.raises(InputError, match="moves more keypoints than there are"):
        articulation_of(cube_bundle([hinge]).manifest)
