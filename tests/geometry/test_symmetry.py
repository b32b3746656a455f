"""The cube's 24 rotations form a group, and symmetric angles are invariant under it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_canonical,
    quat_from_axis_angle,
    quat_multiply,
    random_quat,
)
from opendactyl.geometry.symmetry import (
    CUBE_ROTATIONS,
    nearest_symmetry,
    rotations_of,
    symmetric_angle,
)
from opendactyl.sim.objects.shipped import object_spec


def test_cube_rotations_are_the_octahedral_group():
    ours = CUBE_ROTATIONS
    assert ours.shape == (24, 4)
    np.testing.assert_allclose(ours[0], [1, 0, 0, 0])
    group = Rotation.create_group("O").as_quat(scalar_first=True)
    nearest = geodesic_angle(ours[:, None], group[None])
    assert sorted(nearest.argmin(axis=1)) == list(range(24))
    assert nearest.min(axis=1).max() < 1e-9


def test_cube_rotations_are_closed_under_multiplication():
    products = quat_multiply(CUBE_ROTATIONS[:, None], CUBE_ROTATIONS[None])
    angles = geodesic_angle(products[:, :, None], CUBE_ROTATIONS)
    assert angles.min(axis=2).max() < 1e-7


def test_cube_rotations_permute_the_corners():
    corner = Rotation.from_quat(CUBE_ROTATIONS, scalar_first=True).apply([1.0, 1.0, 1.0])
    np.testing.assert_allclose(np.abs(corner), 1.0, atol=1e-12)
    assert len({tuple(np.sign(c)) for c in corner}) == 8


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 2)], ids=str)
def test_a_wrong_face_is_separated_from_a_small_error(shape):
    rng = np.random.default_rng(9)
    truth = random_quat(rng, shape)
    index = rng.integers(24, size=shape)
    wrong = quat_multiply(truth, CUBE_ROTATIONS[index])
    error = quat_from_axis_angle(rng.standard_normal((*shape, 3)), 0.05)
    estimate = quat_canonical(quat_multiply(error, wrong))
    np.testing.assert_array_equal(nearest_symmetry(estimate, truth), index)
    np.testing.assert_allclose(symmetric_angle(estimate, truth), 0.05, atol=1e-9)


def test_symmetric_angle_is_at_most_the_geodesic_angle():
    rng = np.random.default_rng(4)
    a, b = random_quat(rng, (500,)), random_quat(rng, (500,))
    symmetric = symmetric_angle(a, b)
    assert np.all(symmetric <= geodesic_angle(a, b) + 1e-12)
    # Modulo the cube's rotations, no two orientations are more than 62.8 degrees apart.
    assert symmetric.max() < np.deg2rad(62.81)


def test_rotations_of_points_of_which_one_is_the_origin():
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], dtype=float)
    assert len(rotations_of(square)) == 8


def test_rotations_of_shipped_solids():
    cube = rotations_of(object_spec("block").corners)
    assert len(cube) == 24
    np.testing.assert_allclose(np.abs(cube[0]), [1, 0, 0, 0], atol=1e-9)
    assert geodesic_angle(cube[:, None], CUBE_ROTATIONS).min(axis=1).max() < 1e-6
    prism = rotations_of(object_spec("prism").corners)
    group = Rotation.create_group("D8").as_quat(scalar_first=True)
    assert len(prism) == len(group) == 16
    assert geodesic_angle(prism[:, None], group).min(axis=1).max() < 1e-6
    # A rotation by 45 degrees is a symmetry of the octagonal prism, but not of a cube.
    truth = np.array([1.0, 0, 0, 0])
    eighth = quat_from_axis_angle([0, 0, 1.0], np.pi / 4)
    assert symmetric_angle(eighth, truth, prism) < 1e-6
    assert symmetric_angle(eighth, truth) > 0.7
