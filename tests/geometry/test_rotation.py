"""Rotations: group axioms, and agreement with MuJoCo and scipy for all angles and batch shapes."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from opendactyl.geometry import rotation as rot

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])
SHAPES = [(), (1,), (3, 1, 2)]
ANGLES = [0.0, 1e-12, 1e-8, 1e-4, 0.3, np.pi / 2, 3.0, np.pi - 1e-4, np.pi - 1e-8, np.pi]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def _scipy(q):
    return Rotation.from_quat(np.asarray(q), scalar_first=True)


def _same_rotation(a, b, atol=1e-9):
    np.testing.assert_allclose(rot.quat_to_matrix(a), rot.quat_to_matrix(b), atol=atol)


def test_group_axioms(rng, shape):
    a, b, c = (rot.random_quat(rng, shape) for _ in range(3))
    assert a.shape == (*shape, 4)
    _same_rotation(rot.quat_multiply(a, IDENTITY), a)
    _same_rotation(rot.quat_multiply(IDENTITY, a), a)
    inverse = rot.quat_conjugate(a)
    _same_rotation(rot.quat_multiply(a, inverse), np.broadcast_to(IDENTITY, a.shape))
    _same_rotation(
        rot.quat_multiply(rot.quat_multiply(a, b), c), rot.quat_multiply(a, rot.quat_multiply(b, c))
    )
    np.testing.assert_allclose(np.linalg.norm(rot.quat_multiply(a, b), axis=-1), 1.0)


def test_quaternion_and_matrix_products_agree(rng, shape):
    a, b = rot.random_quat(rng, shape), rot.random_quat(rng, shape)
    np.testing.assert_allclose(
        rot.quat_to_matrix(rot.quat_multiply(a, b)),
        rot.quat_to_matrix(a) @ rot.quat_to_matrix(b),
        atol=1e-12,
    )


def test_rotated_vectors_agree_with_matrix_products(rng, shape):
    q, v = rot.random_quat(rng, shape), rng.standard_normal((*shape, 3))
    expected = np.einsum("...ij,...j->...i", rot.quat_to_matrix(q), v)
    np.testing.assert_allclose(rot.quat_rotate(q, v), expected, atol=1e-12)


def test_round_trips_of_all_representations(rng, shape):
    q = rot.random_quat(rng, shape)
    m = rot.quat_to_matrix(q)
    np.testing.assert_allclose(rot.matrix_to_quat(m), q, atol=1e-12)
    np.testing.assert_allclose(rot.rotvec_to_quat(rot.quat_to_rotvec(q)), q, atol=1e-12)


def test_agrees_with_mujoco(rng):
    for _ in range(50):
        a, b, v = rot.random_quat(rng), rot.random_quat(rng), rng.standard_normal(3)
        product, rotated, matrix = np.empty(4), np.empty(3), np.empty(9)
        conjugate, back, made = np.empty(4), np.empty(4), np.empty(4)
        velocity = np.empty(3)
        mujoco.mju_mulQuat(product, a, b)
        mujoco.mju_rotVecQuat(rotated, v, a)
        mujoco.mju_quat2Mat(matrix, a)
        mujoco.mju_negQuat(conjugate, a)
        mujoco.mju_mat2Quat(back, matrix)
        axis, angle = v / np.linalg.norm(v), rng.uniform(-np.pi, np.pi)
        mujoco.mju_axisAngle2Quat(made, axis, angle)
        mujoco.mju_quat2Vel(velocity, a, 1.0)
        np.testing.assert_allclose(rot.quat_multiply(a, b), product, atol=1e-12)
        np.testing.assert_allclose(rot.quat_rotate(a, v), rotated, atol=1e-12)
        np.testing.assert_allclose(rot.quat_to_matrix(a).ravel(), matrix, atol=1e-12)
        np.testing.assert_allclose(rot.quat_conjugate(a), conjugate, atol=1e-12)
        _same_rotation(rot.matrix_to_quat(matrix.reshape(3, 3)), back)
        _same_rotation(rot.quat_from_axis_angle(v, angle), made)
        np.testing.assert_allclose(rot.quat_to_rotvec(a), velocity, atol=1e-9)


def test_agrees_with_scipy(rng):
    a, b, v = rot.random_quat(rng, (64,)), rot.random_quat(rng, (64,)), rng.standard_normal((64, 3))
    np.testing.assert_allclose(rot.quat_to_matrix(a), _scipy(a).as_matrix(), atol=1e-12)
    _same_rotation(rot.quat_multiply(a, b), (_scipy(a) * _scipy(b)).as_quat(scalar_first=True))
    np.testing.assert_allclose(rot.quat_rotate(a, v), _scipy(a).apply(v), atol=1e-12)
    np.testing.assert_allclose(rot.quat_to_rotvec(a), _scipy(a).as_rotvec(), atol=1e-12)
    _same_rotation(rot.rotvec_to_quat(v), Rotation.from_rotvec(v).as_quat(scalar_first=True))
    expected = (_scipy(a).inv() * _scipy(b)).magnitude()
    np.testing.assert_allclose(rot.geodesic_angle(a, b), expected, atol=1e-12)


@pytest.mark.parametrize("angle", ANGLES)
def test_angles_near_zero_and_pi_are_accurate(rng, angle):
    base = rot.random_quat(rng, (20,))
    delta = rot.quat_from_axis_angle(rng.standard_normal((20, 3)), angle)
    other = rot.quat_multiply(delta, base)
    # 1e-15 is the resolution of two unit quaternions.
    np.testing.assert_allclose(rot.geodesic_angle(base, other), angle, rtol=1e-7, atol=3e-15)
    np.testing.assert_allclose(
        np.linalg.norm(rot.quat_to_rotvec(delta), axis=-1), angle, rtol=1e-12, atol=1e-15
    )
    _same_rotation(rot.matrix_to_quat(rot.quat_to_matrix(other)), other)


def test_quaternion_sign_does_not_matter(rng, shape):
    a, b = rot.random_quat(rng, shape), rot.random_quat(rng, shape)
    np.testing.assert_allclose(
        rot.geodesic_angle(-a, b), rot.geodesic_angle(a, b), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(rot.quat_canonical(-a), a)
    np.testing.assert_allclose(rot.geodesic_angle(a, -a), 0.0, atol=1e-15)


def test_yaw_rotates_x_to_y():
    np.testing.assert_allclose(
        rot.quat_rotate(rot.yaw_quat(np.pi / 2), [1.0, 0, 0]), [0, 1, 0], atol=1e-15
    )
    assert rot.yaw_quat(np.zeros((2, 3))).shape == (2, 3, 4)


def test_random_rotations_are_uniform(rng):
    # The density of the angle on SO(3) is (1 - cos) / pi, so its mean is pi / 2 + 2 / pi.
    angles = rot.geodesic_angle(rot.random_quat(rng, (20_000,)), IDENTITY)
    assert abs(angles.mean() - (np.pi / 2 + 2 / np.pi)) < 0.02
    images = rot.quat_rotate(rot.random_quat(rng, (20_000,)), [1.0, 0, 0])
    np.testing.assert_allclose(images.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(images.var(axis=0), 1 / 3, atol=0.02)


def test_random_rotations_are_reproducible():
    a = rot.random_quat(np.random.default_rng(3), (5,))
    np.testing.assert_array_equal(a, rot.random_quat(np.random.default_rng(3), (5,)))
    assert np.all(a[:, 0] >= 0)


def test_axes_of_any_length():
    np.testing.assert_allclose(
        rot.quat_from_axis_angle([0, 0, 1e-3], 0.5), rot.quat_from_axis_angle([0, 0, 1], 0.5)
    )


@pytest.mark.parametrize(
    "bad", [np.zeros(4), np.full(4, np.nan), [np.inf, 0, 0, 0]], ids=["zero", "nan", "inf"]
)
def test_invalid_quaternions_are_rejected(bad):
    with pytest.raises(ValueError, match="finite and non-zero"):
        rot.quat_canonical(bad)


def test_wrong_shapes_are_rejected():
    with pytest.raises(ValueError, match=r"\(\.\.\., 4\)"):
        rot.quat_multiply(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, 3\)"):
        rot.matrix_to_quat(np.ones((4, 4)))
