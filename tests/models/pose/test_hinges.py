"""Gauss-Newton with the angles of hinges, on exact and noisy image points of the face cube."""

import numpy as np
import pytest
import torch

from opendactyl.geometry.rig import load_rig
from opendactyl.models.choices import POSE_NETWORKS
from opendactyl.models.pose.hinges import Hinges, wrap_angle
from opendactyl.models.pose.observations import Observations, project
from opendactyl.models.pose.refinement import refine
from opendactyl.models.pose.registry import build_pose_network
from opendactyl.sim.objects.shipped import object_spec

CUBE = object_spec("face-cube")
HINGES = [hinge.to_dict() for hinge in CUBE.articulation.hinges]
POINTS = torch.tensor(CUBE.keypoints, dtype=torch.float32)


@pytest.fixture(scope="module")
def hinges():
    return Hinges(CUBE.keypoints.tolist(), HINGES)


@pytest.fixture
def observe_cube(cameras, hinges):
    def observations(position, rotation, angles, noise=0.0, sigma=0.004):
        points, _ = hinges(POINTS, angles)
        in_hand = torch.einsum("bij,bkj->bki", rotation, points) + position[:, None]
        image_points, _ = project(in_hand, cameras)
        torch.manual_seed(2)
        image_points = image_points + noise * torch.randn_like(image_points)
        weight = torch.full(image_points.shape[:-1], sigma**-2)
        return Observations(image_points, weight, POINTS, cameras)

    return observations


def test_keypoints_and_derivatives_are_those_of_numpy(hinges):
    angles = torch.tensor([[0.4, -2.0], [3.0, 1.0]], dtype=torch.float32)
    points, derivative = hinges(POINTS, angles)
    np.testing.assert_allclose(points, CUBE.articulation.at(angles.numpy()), atol=1e-6)
    step = torch.tensor([0.0, 1e-3])
    difference = (hinges(POINTS, angles + step)[0] - hinges(POINTS, angles - step)[0]) / 2e-3
    torch.testing.assert_close(derivative[:, 1], difference, atol=1e-4, rtol=0)


def test_angles_are_fitted_to_points(hinges):
    angles = torch.empty(50, 2).uniform_(-np.pi, np.pi, generator=torch.manual_seed(0))
    points, _ = hinges(POINTS, angles)
    weight = torch.rand(50, len(POINTS)) + 0.1
    assert wrap_angle(hinges.fit(POINTS, points, weight) - angles).abs().max() < 1e-4


def test_refinement_converges_to_pose_and_angles(observe_cube, hinges, poses):
    position, rotation = poses(40)
    angles = torch.empty(40, 2).uniform_(-np.pi, np.pi, generator=torch.manual_seed(1))
    found = refine(
        position + 0.01, rotation, torch.tensor([[100.0, 0.01, 0.01, 0.01]]).expand(40, 4),
        observe_cube(position, rotation, angles), steps=8, articulated=(hinges, angles + 0.3),
    )  # fmt: skip
    assert torch.linalg.vector_norm(found.position - position, dim=-1).max() < 1e-3
    assert torch.rad2deg(wrap_angle(found.angles - angles).abs()).max() < 1.0


def test_variances_of_the_angles_match_their_errors(observe_cube, hinges, poses):
    count, sigma = 2000, 0.004
    position, rotation = (x.expand(count, *x.shape[1:]).contiguous() for x in poses(1))
    angles = torch.tensor([[0.5, -1.0]]).expand(count, 2)
    found = refine(
        position, rotation, torch.tensor([[1.0, 1e-4, 1e-4, 1e-4]]).expand(count, 4),
        observe_cube(position, rotation, angles, noise=sigma, sigma=sigma),
        articulated=(hinges, angles),
    )  # fmt: skip
    normalised = (found.angles - angles) / found.angle_variance.sqrt()
    np.testing.assert_allclose(normalised.std(dim=0), 1.0, atol=0.15)
    errors = (found.position - position) / found.covariance.diagonal(dim1=1, dim2=2)[:, :3].sqrt()
    np.testing.assert_allclose(errors.std(dim=0), 1.0, atol=0.15)


@pytest.mark.parametrize("name", [n for n in POSE_NETWORKS if not n.startswith("resnet")])
def test_networks_estimate_the_angles(name):
    torch.manual_seed(0)
    rig = load_rig("dactyl-200").resized(64)
    network = build_pose_network(
        name, views=3, points=CUBE.keypoints.tolist(), anchors=[[0, 0, 0.1]], hinges=HINGES
    )
    matrices = (torch.tensor(x, dtype=torch.float32) for x in (rig.intrinsics, rig.extrinsics))
    images = torch.randint(0, 256, (2, 3, 64, 64, 3), dtype=torch.uint8)
    output = network(images, *matrices)
    assert output.angles.shape == (2, 2) and output.log_std.shape == (2, 4)
    assert torch.isfinite(output.angles).all() and output.covariance().shape == (2, 6, 6)
