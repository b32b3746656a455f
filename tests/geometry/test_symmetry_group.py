"""Symmetry groups: nearest equivalents, worked out by hand and by search."""

import numpy as np
import pytest
import torch

from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
    quat_to_matrix,
    random_quat,
)
from opendactyl.geometry.symmetry import CUBE_ROTATIONS, NO_SYMMETRY, SymmetryGroup
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.vision.training.equivalent_truth import EquivalentTruth

Z = [0.0, 0.0, 1.0]
FLIP = quat_from_axis_angle([1.0, 0, 0], np.pi)
QUARTER = quat_from_axis_angle(Z, np.pi / 2)
GROUPS = {
    "quarters": SymmetryGroup.generated(QUARTER),
    "cube": SymmetryGroup.generated([QUARTER, quat_from_axis_angle([1.0, 0, 0], np.pi / 2)]),
    "cone": SymmetryGroup.generated([], Z),
    "rod": SymmetryGroup.generated(FLIP, [0, 0, 2]),
    "tilted": SymmetryGroup.generated([], [1.0, 2.0, -1.0]),
}


def test_generators_give_the_whole_group():
    assert [len(GROUPS[name].rotations) for name in GROUPS] == [4, 24, 1, 2, 1]
    np.testing.assert_allclose(GROUPS["cube"].rotations[0], [1, 0, 0, 0])
    gaps = geodesic_angle(GROUPS["cube"].rotations[:, None], CUBE_ROTATIONS)
    assert np.all(gaps.min(axis=0) < 1e-7)
    with pytest.raises(ValueError, match="a rotation moves the axis"):
        SymmetryGroup.generated(QUARTER, [1.0, 0, 0])


@pytest.mark.parametrize("name", GROUPS)
def test_the_equivalent_is_the_nearest(name):
    group, rng = GROUPS[name], np.random.default_rng(0)
    truth, estimate = random_quat(rng, (20,)), random_quat(rng, (20,))
    found = group.equivalent(truth, estimate)
    images = quat_multiply(truth[:, None], group.samples(3600))
    best = geodesic_angle(estimate[:, None], images).min(axis=1)
    np.testing.assert_allclose(geodesic_angle(estimate, found), best, atol=2e-3)
    assert np.all(geodesic_angle(estimate, found) <= best + 1e-9)
    np.testing.assert_allclose(geodesic_angle(found[:, None], images).min(axis=1), 0, atol=2e-3)
    np.testing.assert_allclose(group.angle(estimate, truth), geodesic_angle(estimate, found))


def test_the_error_of_a_body_of_revolution_is_the_angle_between_the_axes():
    rng = np.random.default_rng(1)
    truth, estimate = random_quat(rng, (50,)), random_quat(rng, (50,))
    cosine = np.sum(quat_rotate(truth, Z) * quat_rotate(estimate, Z), axis=-1)
    np.testing.assert_allclose(np.cos(GROUPS["cone"].angle(estimate, truth)), cosine, atol=1e-9)
    np.testing.assert_allclose(np.cos(GROUPS["rod"].angle(estimate, truth)), abs(cosine), atol=1e-9)


def test_no_symmetry_changes_nothing():
    quat = random_quat(np.random.default_rng(2), (3,))
    assert NO_SYMMETRY.equivalent(quat, quat[::-1]) is quat
    assert SymmetryGroup.from_dict(None) is NO_SYMMETRY


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_survives_json_and_torch(name):
    group = SymmetryGroup.from_dict(GROUPS[name].to_dict())
    rng = np.random.default_rng(3)
    truth, estimate = random_quat(rng, (20,)), random_quat(rng, (20,))
    output = PoseOutput(
        position=torch.zeros(20, 3), rotation=torch.tensor(quat_to_matrix(estimate)),
        log_std=torch.zeros(20, 2),
    )  # fmt: skip
    found = EquivalentTruth(group).nearest(output, {"quaternion": torch.tensor(truth)})[
        "quaternion"
    ]
    np.testing.assert_allclose(
        geodesic_angle(found.numpy(), group.equivalent(truth, estimate)), 0, atol=1e-6
    )


def test_the_canonical_orientation_has_no_spin():
    spun = quat_from_axis_angle(Z, np.linspace(-3, 3, 7))
    np.testing.assert_allclose(
        GROUPS["cone"].canonical(spun), np.tile([1.0, 0, 0, 0], (7, 1)), atol=1e-9
    )
