"""Metrics against SciPy, trimesh and known distributions."""

import json

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from opendactyl.geometry.rotation import matrix_to_quat, random_quat
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.measures.metrics import (
    bootstrap_interval,
    compute_metrics,
)
from opendactyl.vision.measures.predictions import Predictions


def predictions(count=400, *, seed=0, position_std=0.004, rotation_std=0.05):
    rng = np.random.default_rng(seed)
    truth = Rotation.from_quat(random_quat(rng, (count,)), scalar_first=True)
    error = Rotation.from_rotvec(rng.normal(0, rotation_std, (count, 3)))
    position = rng.uniform(-0.05, 0.05, (count, 3))
    covariance = np.diag([position_std**2] * 3 + [rotation_std**2] * 3)
    estimate = Predictions(
        position + rng.normal(0, position_std, (count, 3)),
        matrix_to_quat((error * truth).as_matrix()),
        np.repeat(covariance[None], count, axis=0),
        position,
        matrix_to_quat(truth.as_matrix()),
        np.ones((count, 3)),
    )
    return estimate, np.rad2deg(error.magnitude())


def test_metrics_agree_with_scipy_and_have_all_keys():
    estimate, degrees = predictions()
    metrics = compute_metrics(estimate, np.eye(3) * 0.03)
    np.testing.assert_allclose(estimate.rotation_error_deg, degrees, atol=1e-6)
    summary = {"mean", "std", "median", "p90", "p95", "p99", "max"}
    assert set(metrics["rotation_error_deg"]) == summary | {"x", "y", "z"}
    assert set(metrics["position_error_mm"]) == summary | {"x", "y", "z"}
    assert set(metrics["accuracy"]) == {"5deg_5mm", "10deg_10mm", "0.1rad", "0.4rad"}
    assert metrics["n"] == 400
    assert metrics["rotation_error_deg"]["mean"] == pytest.approx(degrees.mean())
    assert 0 < metrics["add_auc"] < 1
    json.dumps(metrics, allow_nan=False)


def test_positions_and_add_agree_with_trimesh():
    estimate, _ = predictions(30)
    corners = trimesh.creation.box(extents=[0.05, 0.05, 0.05]).vertices

    def moved(quaternion, position):
        pose = trimesh.transformations.quaternion_matrix(quaternion)
        return trimesh.transform_points(
            corners, trimesh.transformations.translation_matrix(position) @ pose
        )

    add = [
        np.linalg.norm(moved(q, x) - moved(true_q, true_x), axis=1).mean()
        for q, x, true_q, true_x in zip(
            estimate.quaternion, estimate.position, estimate.true_quaternion,
            estimate.true_position, strict=True,
        )
    ]  # fmt: skip
    # The area under the accuracy-threshold curve, by counting at many thresholds.
    thresholds = np.linspace(0, 0.1, 20001)[1:]
    area = np.mean([np.mean(np.array(add) < limit) for limit in thresholds])
    metrics = compute_metrics(estimate, np.array(corners))
    assert metrics["add_auc"] == pytest.approx(area, abs=1e-4)
    distances = [
        trimesh.util.row_norm((x - true_x)[None])[0] * 1000
        for x, true_x in zip(estimate.position, estimate.true_position, strict=True)
    ]
    assert metrics["position_error_mm"]["mean"] == pytest.approx(np.mean(distances))


def test_rotation_errors_are_reported_by_axis():
    truth = Rotation.random(50, rng=np.random.default_rng(0))
    rotated = Rotation.from_euler("z", 8, degrees=True) * truth
    quats = [matrix_to_quat(r.as_matrix()) for r in (rotated, truth)]
    zeros, covariance = np.zeros((50, 3)), np.repeat(np.eye(6)[None], 50, axis=0)
    p = Predictions(zeros, quats[0], covariance, zeros, quats[1], np.ones((50, 3)))
    error = compute_metrics(p, np.eye(3))["rotation_error_deg"]
    assert (error["x"], error["y"]) == pytest.approx((0, 0), abs=1e-6)
    assert error["z"] == pytest.approx(8)


def test_coverage_is_ninety_percent_for_the_true_covariance():
    estimate, _ = predictions(4000)
    metrics = compute_metrics(estimate, np.eye(3) * 0.03)
    assert metrics["coverage_90_position"] == pytest.approx(0.9, abs=0.02)
    assert metrics["coverage_90_rotation"] == pytest.approx(0.9, abs=0.02)
    assert metrics["coverage_90_axes"] == pytest.approx([0.9] * 6, abs=0.02)
    # An axis whose standard deviation is underestimated by half has 59 %.
    estimate.covariance[:, 4, 4] /= 4
    axes = compute_metrics(estimate, np.eye(3) * 0.03)["coverage_90_axes"]
    assert axes == pytest.approx([0.9] * 4 + [0.589, 0.9], abs=0.03)


def test_the_symmetric_error_ignores_a_wrong_face():
    estimate, _ = predictions(50, rotation_std=0.01)
    quarter = Rotation.from_euler("z", 90, degrees=True)
    rotated = Rotation.from_quat(estimate.true_quaternion, scalar_first=True) * quarter
    wrong = Predictions(
        estimate.position, matrix_to_quat(rotated.as_matrix()), estimate.covariance,
        estimate.true_position, estimate.true_quaternion, estimate.visible_fraction,
    )  # fmt: skip
    metrics = compute_metrics(wrong, object_spec("block").corners)
    assert metrics["rotation_error_deg"]["mean"] == pytest.approx(90, abs=1e-3)
    assert metrics["rotation_error_deg_symmetric"]["mean"] < 1e-3


def test_the_bootstrap_interval_has_the_width_of_theory():
    values = np.random.default_rng(0).exponential(size=500)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(3.92 * values.std() / 500**0.5, rel=0.1)
    assert bootstrap_interval(np.ones(20, bool)) == (1.0, 1.0)
    assert bootstrap_interval(np.array([3.0])) == (3.0, 3.0)
