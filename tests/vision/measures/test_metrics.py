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
    turn = Rotation.from_rotvec(rng.normal(0, rotation_std, (count, 3)))
    position = rng.uniform(-0.05, 0.05, (count, 3))
    covariance = np.diag([position_std**2] * 3 + [rotation_std**2] * 3)
    estimate = Predictions(
        position + rng.normal(0, position_std, (count, 3)),
        matrix_to_quat((turn * truth).as_matrix()),
        np.repeat(covariance[None], count, axis=0),
        position,
        matrix_to_quat(truth.as_matrix()),
        np.ones((count, 3)),
    )
    return estimate, np.rad2deg(turn.magnitude())


def test_metrics_agree_with_scipy_and_hold_the_contracts_keys():
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
    # The area under the curve of shares, by counting along its thresholds.
    thresholds = np.linspace(0, 0.1, 20001)[1:]
    area = np.mean([np.mean(np.array(add) < limit) for limit in thresholds])
    metrics = compute_metrics(estimate, np.array(corners))
    assert metrics["add_auc"] == pytest.approx(area, abs=1e-4)
    straight = [
        trimesh.util.row_norm((x - true_x)[None])[0] * 1000
        for x, true_x in zip(estimate.position, estimate.true_position, strict=True)
    ]
    assert metrics["position_error_mm"]["mean"] == pytest.approx(np.mean(straight))


def test_turns_are_told_by_axis():
    truth = Rotation.random(50, rng=np.random.default_rng(0))
    turned = Rotation.from_euler("z", 8, degrees=True) * truth
    quats = [matrix_to_quat(r.as_matrix()) for r in (turned, truth)]
    zeros, covariance = np.zeros((50, 3)), np.repeat(np.eye(6)[None], 50, axis=0)
    p = Predictions(zeros, quats[0], covariance, zeros, quats[1], np.ones((50, 3)))
    about = compute_metrics(p, np.eye(3))["rotation_error_deg"]
    assert (about["x"], about["y"]) == pytest.approx((0, 0), abs=1e-6)
    assert about["z"] == pytest.approx(8)


def test_coverage_is_ninety_percent_when_the_deviations_are_right():
    metrics = compute_metrics(predictions(4000)[0], np.eye(3) * 0.03)
    assert metrics["coverage_90_position"] == pytest.approx(0.9, abs=0.02)
    assert metrics["coverage_90_rotation"] == pytest.approx(0.9, abs=0.02)


def test_symmetric_error_forgives_a_wrong_face():
    estimate, _ = predictions(50, rotation_std=0.01)
    quarter = Rotation.from_euler("z", 90, degrees=True)
    turned = Rotation.from_quat(estimate.true_quaternion, scalar_first=True) * quarter
    wrong = Predictions(
        estimate.position, matrix_to_quat(turned.as_matrix()), estimate.covariance,
        estimate.true_position, estimate.true_quaternion, estimate.visible_fraction,
    )  # fmt: skip
    metrics = compute_metrics(wrong, object_spec("block").corners)
    assert metrics["rotation_error_deg"]["mean"] == pytest.approx(90, abs=1e-3)
    assert metrics["rotation_error_deg_symmetric"]["mean"] < 1e-3


def test_bootstrap_interval_holds_the_mean():
    values = np.random.default_rng(0).exponential(size=500)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 * values.std() / 500**0.5, rel=0.2)
