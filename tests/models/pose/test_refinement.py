"""Gauss-Newton on image points, its covariance, and the correction of camera jitter."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.models.pose.linalg import cayley_rotation, invert_3x3, invert_6x6
from opendactyl.models.pose.observations import Observations, estimate_jitter, project, stabilize
from opendactyl.models.pose.refinement import refine, split_covariance

WEAK_PRIOR = torch.tensor([[1 / 0.05**2, 1.0]])


def rotated(rotation, degrees, seed=1):
    axes = np.random.default_rng(seed).standard_normal((len(rotation), 3))
    axes *= np.deg2rad(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    composed = Rotation.from_rotvec(axes) * Rotation.from_matrix(rotation.numpy())
    return torch.tensor(composed.as_matrix(), dtype=torch.float32)


def rotation_vectors(a, b):
    return Rotation.from_matrix((a @ b.mT).numpy()).as_rotvec()


def test_project_agrees_with_the_cameras(cameras, points, poses):
    position, rotation = poses(1)
    in_hand = rotation[0] @ points.T + position[0][:, None]
    image_points, jacobian = project(in_hand.T[None], cameras)
    for view, camera in enumerate(load_rig("dactyl-200").resized(128).cameras):
        pixels, _ = camera.project(in_hand.T.numpy())
        np.testing.assert_allclose(image_points[0, view].numpy() * 128, pixels, atol=1e-2)
    step = 1e-3
    for axis in range(3):
        offset = torch.eye(3)[axis] * step
        plus, minus = (project(in_hand.T[None] + s * offset, cameras)[0] for s in (1, -1))
        torch.testing.assert_close(
            jacobian[..., axis], (plus - minus) / (2 * step), atol=1e-2, rtol=1e-3
        )


def test_inverses():
    torch.manual_seed(0)
    root = torch.randn(15, 6, 6, dtype=torch.float64)
    matrix = root @ root.mT + 0.1 * torch.eye(6)
    torch.testing.assert_close(invert_6x6(matrix), torch.linalg.inv(matrix))
    three = root[..., :3, :3]
    torch.testing.assert_close(invert_3x3(three), torch.linalg.inv(three))


def test_cayley_rotation_is_orthogonal_and_near_the_exponential_map():
    vectors = np.random.default_rng(0).normal(0, 0.05, (20, 3))
    rotations = cayley_rotation(torch.tensor(vectors))
    exact = torch.tensor(Rotation.from_rotvec(vectors).as_matrix())
    torch.testing.assert_close(rotations, exact, atol=1e-3, rtol=0)
    far = cayley_rotation(torch.tensor([[3.0, -2.0, 1.0]]))
    torch.testing.assert_close(far @ far.mT, torch.eye(3)[None], atol=1e-5, rtol=0)


def test_estimated_jitter_inverts_a_similarity():
    torch.manual_seed(0)
    observed, image_points = torch.rand(2, 3, 10, 2), torch.rand(2, 3, 14, 2)
    a, shift = torch.tensor([0.02, -0.01]), torch.tensor([0.01, -0.03])

    def similarity(x):
        centred = x - 0.5
        scaled = torch.stack(
            [
                a[0] * centred[..., 0] - a[1] * centred[..., 1],
                a[1] * centred[..., 0] + a[0] * centred[..., 1],
            ],
            dim=-1,
        )
        return x + scaled + shift

    weight = torch.full((2, 3, 10), 1e8)
    corrected = estimate_jitter(observed, similarity(observed), weight).undone(image_points)
    torch.testing.assert_close(corrected, similarity(image_points), atol=1e-5, rtol=0)
    jitter = estimate_jitter(observed, similarity(observed), weight)
    torch.testing.assert_close(jitter.applied(corrected), image_points, atol=1e-5, rtol=0)
    unweighted = estimate_jitter(observed, similarity(observed), weight * 1e-12).undone(
        image_points
    )
    torch.testing.assert_close(unweighted, image_points, atol=1e-5, rtol=0)


def test_anchors_outside_the_image_are_ignored():
    # From 0.3 m over the palm, looking down: the forearm is beside the image or behind.
    down = torch.tensor([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, -1, 0.3], [0, 0, 0, 1]])[None]
    cameras = torch.tensor([[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]]) @ down[:, :3]
    anchors = torch.tensor(STATIC_LANDMARKS, dtype=torch.float32)
    (nominal,), _ = project(anchors[None], cameras)
    outside = ((nominal < 0) | (nominal > 1)).any(dim=-1)
    assert outside.any()
    points, keypoints = torch.rand(14, 3) * 0.05, torch.rand(2, 1, 24, 2)
    log_std = torch.full((2, 1, 24), -4.0)
    far = keypoints.clone()
    far[:, :, 14:][:, outside] += 0.3
    a, b = (stabilize(x, log_std, points, anchors, cameras).image_points for x in (keypoints, far))
    torch.testing.assert_close(a, b)
    behind = anchors - torch.tensor([1.0, 0, 0])
    uncorrected = stabilize(keypoints, log_std, points, behind, cameras).image_points
    torch.testing.assert_close(uncorrected, keypoints[:, :, :14])


def test_most_of_the_jitter_of_true_cameras_is_undone():
    rng = np.random.default_rng(0)
    size = 128
    rig = load_rig("dactyl-200").resized(size)
    before, after = [], []
    for _ in range(50):
        for camera in rig.cameras:
            pose = camera.cam_from_hand.copy()
            rotation = Rotation.from_rotvec(rng.normal(0, 0.005, 3)).as_matrix()
            pose[:3, :3] = rotation @ pose[:3, :3]
            pose[:3, 3] = rotation @ (pose[:3, 3] + rng.uniform(-0.005, 0.005, 3))
            jittered = type(camera)("jittered", size, size, camera.K, pose)
            point = rng.normal(0, 0.02, (1, 3))
            observed, nominal, image_point = (
                torch.tensor(c.project(p)[0] / size, dtype=torch.float32)[None, None]
                for c, p in (
                    (jittered, STATIC_LANDMARKS), (camera, STATIC_LANDMARKS), (jittered, point),
                )
            )  # fmt: skip
            weight = torch.full((1, 1, len(STATIC_LANDMARKS)), 1e6)
            corrected = estimate_jitter(observed, nominal[0], weight).undone(image_point)
            truth = camera.project(point)[0][0] / size
            before.append(np.linalg.norm(image_point[0, 0, 0].numpy() - truth) * size)
            after.append(np.linalg.norm(corrected[0, 0, 0].numpy() - truth) * size)
    assert np.mean(before) > 2.0
    assert np.mean(after) < 0.25 * np.mean(before)


@pytest.mark.parametrize("degrees", [0.0, 10.0, 30.0])
def test_refine_converges_from_a_rough_estimate(observe, poses, degrees):
    position, rotation = poses(40)
    start = (position + 0.01, rotated(rotation, degrees))
    found = refine(*start, torch.tensor([[1 / 0.1**2, 0.01]]).expand(40, 2),
                   observe(position, rotation, sigma=0.02), steps=8)  # fmt: skip
    assert torch.linalg.vector_norm(found[0] - position, dim=-1).max() < 1e-3
    assert np.abs(rotation_vectors(found[1], rotation)).max() < np.deg2rad(1.0)


def test_refine_returns_the_prior_without_information(observe, poses):
    position, rotation = poses(5)
    initial = (position + 0.02, rotated(rotation, 20))
    found = refine(*initial, WEAK_PRIOR.expand(5, 2), observe(position, rotation, sigma=1e3))
    torch.testing.assert_close(found[0], initial[0], atol=1e-4, rtol=0)
    assert np.abs(rotation_vectors(found[1], initial[1])).max() < np.deg2rad(0.1)


def test_covariance_matches_the_errors_in_every_direction(observe, poses):
    count, sigma = 2000, 0.004
    position, rotation = (x.expand(count, *x.shape[1:]).contiguous() for x in poses(1))
    observations = observe(position, rotation, noise=sigma, sigma=sigma)
    prior = torch.tensor([[1.0, 1e-4]]).expand(count, 2)
    found, refined, covariance, *_ = refine(position, rotation, prior, observations)
    errors = np.hstack([(found - position).numpy(), rotation_vectors(refined, rotation)])
    # Whitened errors are uncorrelated with variance one, but only if off-diagonal terms are right.
    whitened = np.linalg.solve(
        np.linalg.cholesky(covariance.double().mean(dim=0).numpy()), errors.T
    )
    np.testing.assert_allclose(np.cov(whitened), np.eye(6), atol=0.2)
    std = np.sqrt(np.diag(covariance.mean(dim=0)))
    correlation = covariance.mean(dim=0).numpy() / std / std[:, None]
    assert np.abs(np.triu(correlation, 1)).max() > 0.3


def test_split_covariance_keeps_the_correlations_and_applies_the_shift(observe, poses):
    position, rotation = poses(10)
    _, _, covariance, *_ = refine(
        position, rotation, WEAK_PRIOR.expand(10, 2), observe(position, rotation, noise=0.004)
    )
    log_std, relative = split_covariance(covariance, torch.tensor([0.5, -0.5]))
    std = torch.exp(log_std - torch.tensor([0.5, -0.5])).repeat_interleave(3, dim=-1)
    rebuilt = relative * std[:, :, None] * std[:, None, :]
    torch.testing.assert_close(
        rebuilt.diagonal(dim1=-2, dim2=-1), covariance.diagonal(dim1=-2, dim2=-1)
    )
    scale = rebuilt.diagonal(dim1=-2, dim2=-1).sqrt()
    difference = (rebuilt - covariance) / scale[:, :, None] / scale[:, None, :]
    assert difference.abs().max() < 2e-3


def test_split_covariance_is_positive_definite_for_extreme_weights(observe, poses):
    position, rotation = poses(400)
    observations = observe(position, rotation, noise=0.01)
    torch.manual_seed(0)
    # From a tenth of a pixel to a third of a view, and some samples with one camera only.
    observations.weight = torch.exp(-2 * torch.empty_like(observations.weight).uniform_(-7, -1))
    observations.weight[::2, 1:] *= 1e-6
    _, _, covariance, *_ = refine(
        position, rotation, torch.tensor([[0.02, 0.02]]).expand(400, 2), observations
    )
    _, relative = split_covariance(covariance, torch.zeros(2))
    torch.testing.assert_close(relative, relative.mT, atol=0, rtol=0)
    scale = relative.diagonal(dim1=-2, dim2=-1).sqrt()
    correlation = (relative / scale[:, :, None] / scale[:, None, :]).double()
    assert torch.linalg.eigvalsh(correlation).min() > 1e-4


def test_outliers_are_down_weighted(observe, poses):
    position, rotation = poses(20)
    observations = observe(position, rotation)
    observations.image_points[:, 0, 3] += 0.3
    found = refine(position, rotation, WEAK_PRIOR.expand(20, 2), observations)
    assert torch.linalg.vector_norm(found[0] - position, dim=-1).max() < 2e-3


def test_gradients_reach_points_and_weights_and_are_finite(observe, poses):
    position, rotation = poses(4)
    observations: Observations = observe(position, rotation, noise=0.01)
    observations.image_points.requires_grad_()
    observations.weight.requires_grad_()
    found, refined, *_ = refine(
        position, rotated(rotation, 15), WEAK_PRIOR.expand(4, 2), observations
    )
    (found.square().sum() + (refined - rotation).square().sum()).backward()
    for gradient in (observations.image_points.grad, observations.weight.grad):
        assert gradient is not None
        assert torch.all(torch.isfinite(gradient))
        assert gradient.abs().sum() > 0
