"""Cameras, poses and their exact image points."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from opendactyl.geometry.rig import load_rig
from opendactyl.models.pose.observations import Observations, project, projection_matrices
from opendactyl.sim.objects.shipped import object_spec

SIZE = 128


@pytest.fixture
def points():
    """Keypoints of the block (14, 3)."""
    return torch.tensor(object_spec("block").keypoints, dtype=torch.float32)


@pytest.fixture
def cameras():
    """Projection matrices (3, 3, 4) to normalised image points."""
    rig = load_rig("dactyl-200").resized(SIZE)
    intrinsics, extrinsics = (
        torch.tensor(x, dtype=torch.float32) for x in (rig.intrinsics, rig.extrinsics)
    )
    return projection_matrices(intrinsics, extrinsics, SIZE)


@pytest.fixture
def poses():
    """Samples positions (N, 3) and rotations (N, 3, 3)."""

    def sample(count, seed=0):
        rng = np.random.default_rng(seed)
        position = torch.tensor(rng.normal(0, 0.02, (count, 3)), dtype=torch.float32)
        rotation = Rotation.random(count, random_state=seed).as_matrix()
        return position, torch.tensor(rotation, dtype=torch.float32)

    return sample


@pytest.fixture
def observe(cameras, points):
    """Projects the block's keypoints, with Gaussian noise."""

    def observations(position, rotation, noise=0.0, sigma=0.004, seed=2):
        in_hand = torch.einsum("bij,kj->bki", rotation, points) + position[:, None]
        image_points, _ = project(in_hand, cameras)
        torch.manual_seed(seed)
        image_points = image_points + noise * torch.randn_like(image_points)
        weight = torch.full(image_points.shape[:-1], sigma**-2)
        return Observations(image_points, weight, points, cameras)

    return observations
