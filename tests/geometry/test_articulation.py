import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from opendactyl.geometry.articulation import Articulation, Hinge, wrap_angle
from opendactyl.geometry.transforms import transform_points

AXIS = np.array([2.0, -1.0, 2.0]) / 3
HINGES = (
    Hinge("a", tuple(AXIS), (0.1, 0.2, -0.3), (2, 5)),
    Hinge("b", (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (5, 6), (-0.5, 1.5), 0.25),
)
POINTS = np.random.default_rng(0).normal(size=(6, 3))


def test_keypoints_turn_about_their_hinge():
    moved = Articulation(POINTS, HINGES).at([0.7, -2.0])
    np.testing.assert_array_equal(moved[:2], POINTS[:2])
    expected = Rotation.from_rotvec(0.7 * AXIS).apply(POINTS[2:5] - [0.1, 0.2, -0.3])
    np.testing.assert_allclose(moved[2:5], expected + [0.1, 0.2, -0.3], atol=1e-12)
    np.testing.assert_allclose(moved[2:5], transform_points(HINGES[0].pose(0.7), POINTS[2:5]))
    np.testing.assert_allclose(moved[5], Rotation.from_rotvec([0, 0, -2.0]).apply(POINTS[5]))


def test_angles_are_clipped_to_the_limits_of_their_hinge():
    clipped = Articulation(POINTS, HINGES).clipped(np.array([3.0, -2.0]))
    np.testing.assert_array_equal(clipped, [3.0, -0.5])
    assert Articulation(POINTS).clipped(np.zeros(0)).shape == (0,)


def test_angles_may_have_a_batch():
    object_ = Articulation(POINTS, HINGES)
    angles = np.random.default_rng(1).uniform(-3, 3, (4, 3, 2))
    assert object_.at(angles).shape == (4, 3, 6, 3)
    np.testing.assert_allclose(object_.at(angles)[2, 1], object_.at(angles[2, 1]))


def test_a_rigid_object_has_no_hinges():
    rigid = Articulation(POINTS)
    np.testing.assert_array_equal(rigid.at(()), POINTS)
    assert rigid.rest.shape == rigid.sample(np.random.default_rng(0)).shape == (0,)


def test_angles_are_sampled_within_their_limits():
    rng = np.random.default_rng(2)
    angles = np.array([Articulation(POINTS, HINGES).sample(rng) for _ in range(2000)])
    assert angles[:, 1].min() >= -0.5 and angles[:, 1].max() <= 1.5
    np.testing.assert_allclose(angles.mean(axis=0), [0, 0.5], atol=0.15)
    np.testing.assert_allclose(np.ptp(angles, axis=0), [2 * np.pi, 2], rtol=0.01)


def test_dictionaries_are_inverted_and_checked():
    for hinge in HINGES:
        assert Hinge.from_dict(hinge.to_dict()) == hinge
    for change, message in (
        ({"axis": [1, 1, 0]}, "unit length"),
        ({"anchor": [1, 0]}, "expected 3 finite numbers"),
        ({"keypoints": [4, 4]}, "cannot move the keypoints"),
        ({"limits": [0.0, float("nan")]}, "expected 2 finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            Hinge.from_dict(HINGES[1].to_dict() | change)


def test_angles_are_wrapped():
    np.testing.assert_allclose(
        wrap_angle([0.0, np.pi, -np.pi, 3 * np.pi, 7.0, -4.0]),
        [0.0, np.pi, np.pi, np.pi, 7 - 2 * np.pi, 2 * np.pi - 4],
    )
