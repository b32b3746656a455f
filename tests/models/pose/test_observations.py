"""Triangulation and rigid alignment."""

import torch
from scipy.spatial.transform import Rotation

from opendactyl.models.pose.observations import align, triangulate
from opendactyl.models.pose.priors import FORMER


def test_exact_image_points_give_the_keypoints_and_the_pose(observe, points, poses):
    position, rotation = poses(30)
    found, certainty = triangulate(
        observe(position, rotation, sigma=1e-4),
        torch.tensor(FORMER.centre),
        torch.tensor(FORMER.reach),
    )
    truth = torch.einsum("bij,kj->bki", rotation, points) + position[:, None]
    assert torch.linalg.vector_norm(found - truth, dim=-1).max() < 1e-3
    aligned_position, aligned_rotation = align(points, found, certainty)
    assert torch.linalg.vector_norm(aligned_position - position, dim=-1).max() < 1e-3
    error = Rotation.from_matrix((aligned_rotation @ rotation.mT).numpy()).magnitude()
    assert error.max() < 0.017
