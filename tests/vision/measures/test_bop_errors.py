"""MSSD and MSPD, against values worked out by hand."""

import numpy as np
import pytest

from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.rotation import quat_from_axis_angle
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.measures.bop_errors import IMAGE_WIDTH, average_recall, mspd, mssd
from opendactyl.vision.measures.metrics import compute_metrics
from opendactyl.vision.measures.predictions import Predictions

POINTS = object_spec("block").corners
IDENTITY = np.array([[1.0, 0, 0, 0]])
Z = [0.0, 0.0, 1.0]


def one(position=(0.0, 0.0, 0.03), quaternion=IDENTITY[0]):
    """An estimate of an upright object at (0, 0, 30 mm)."""
    return Predictions(
        np.array([position], dtype=float), np.array([quaternion], dtype=float),
        np.eye(6)[None] * 1e-4, np.array([[0.0, 0.0, 0.03]]), IDENTITY, np.ones((1, 3)),
    )  # fmt: skip


def test_mssd_is_the_largest_distance_of_a_point():
    assert mssd(one((0.003, 0.0, 0.034)), POINTS, NO_SYMMETRY) == pytest.approx(0.005)
    # A rotation by 90° moves corners at a radius of sqrt(2) · 28.5 mm by sqrt(2) times that.
    quarter = quat_from_axis_angle(Z, np.pi / 2)
    assert mssd(one(quaternion=quarter), POINTS, NO_SYMMETRY) == pytest.approx(0.057)
    fourfold = SymmetryGroup.generated(quarter)
    assert mssd(one(quaternion=quarter), POINTS, fourfold) == pytest.approx(0, abs=1e-12)
    revolution = SymmetryGroup.generated([], Z)
    spun = one(quaternion=quat_from_axis_angle(Z, np.deg2rad(28.0)))
    assert mssd(spun, POINTS, revolution) == pytest.approx(0, abs=1e-9)  # a step of 4°


def test_mspd_is_in_pixels_of_each_view():
    rig = load_rig("dactyl-200").resized(200)
    found = mspd(one((0.004, 0.0, 0.03)), POINTS, NO_SYMMETRY, rig)
    assert found.shape == (1, 3)
    for view, camera in enumerate(rig.cameras):
        moved = [camera.project(POINTS + [x, 0.0, 0.03])[0] for x in (0.004, 0.0)]
        assert found[0, view] == pytest.approx(np.linalg.norm(moved[0] - moved[1], axis=1).max())


def test_recall_is_the_mean_over_the_limits():
    assert average_recall(np.array([0.5, 2.5]), np.array([1.0, 2.0, 3.0])) == pytest.approx(4 / 6)


def test_metrics_do_not_depend_on_the_size_at_which_a_dataset_is_opened():
    moved, rig = one((0.003, 0.0, 0.034)), load_rig("dactyl-200")
    small, large = (
        compute_metrics(moved, POINTS, rig=rig.resized(size)) for size in (96, IMAGE_WIDTH)
    )
    assert small["mspd_px"] == pytest.approx(large["mspd_px"])
    pixels = mspd(moved, POINTS, NO_SYMMETRY, rig.resized(IMAGE_WIDTH))
    assert large["mspd_px"]["mean"] == pytest.approx(pixels.mean())


def test_metrics_contain_both():
    metrics = compute_metrics(
        one((0.003, 0.0, 0.034)), POINTS, rig=load_rig("dactyl-200").resized(200)
    )
    assert metrics["mssd_mm"]["mean"] == pytest.approx(5.0)
    # 5 mm is 5.06 % of the diameter, sqrt(3) · 57 mm: within nine of the ten limits.
    assert metrics["mssd_recall"] == pytest.approx(0.9)
    assert metrics["mspd_px"]["max"] >= metrics["mspd_px"]["mean"] > 1
    assert 0 < metrics["mspd_recall"] <= 1
