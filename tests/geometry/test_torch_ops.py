"""The torch functions agree with the numpy ones, and their gradients are finite everywhere."""

import numpy as np
import pytest
import torch

from opendactyl.geometry import rotation as rot
from opendactyl.geometry.torch_ops import rotation as rott
from opendactyl.geometry.torch_ops.crops import cut_squares

SHAPES = [(), (1,), (3, 1, 2)]


@pytest.fixture(params=SHAPES, ids=str)
def quats(request):
    rng = np.random.default_rng(11)
    return rot.random_quat(rng, request.param)


def test_conversions_agree_with_numpy(quats):
    q = torch.from_numpy(quats)
    m = rott.quat_to_matrix(q)
    np.testing.assert_allclose(m, rot.quat_to_matrix(quats), atol=1e-12)
    np.testing.assert_allclose(rott.matrix_to_quat(m), quats, atol=1e-12)
    columns = torch.cat([m[..., :, 0], m[..., :, 1]], dim=-1)
    np.testing.assert_allclose(rott.matrix_from_6d(columns), m, atol=1e-12)


def test_angles_agree_with_numpy():
    rng = np.random.default_rng(0)
    a, b = rot.random_quat(rng, (100,)), rot.random_quat(rng, (100,))
    angle = rott.geodesic_angle(*(rott.quat_to_matrix(torch.from_numpy(q)) for q in (a, b)))
    np.testing.assert_allclose(angle, rot.geodesic_angle(a, b), atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 0.5, np.pi - 1e-3, np.pi - 1e-7, np.pi])
def test_angle_and_its_gradient_are_finite_near_zero_and_pi(angle):
    axis = np.random.default_rng(1).standard_normal((16, 3))
    a = torch.eye(3).expand(16, 3, 3)
    b = torch.from_numpy(rot.quat_to_matrix(rot.quat_from_axis_angle(axis, angle))).float()
    b.requires_grad_(True)
    found = rott.geodesic_angle(a, b)
    found.sum().backward()
    # In float32 the angle has an error of about 4e-4 near zero, and is clamped 3e-3 below pi.
    np.testing.assert_allclose(found.detach(), angle, atol=3e-3)
    assert torch.isfinite(b.grad).all()


def test_gradients_of_degenerate_inputs_are_finite():
    for function, size in ((rott.matrix_from_6d, 6), (rott.orthogonalize, 9)):
        v = torch.zeros(4, size)
        v[1] = 1.0
        v[2] = torch.linspace(-1, 1, size)
        v[3] = 1e-20
        v.requires_grad_(True)
        function(v).sum().backward()
        assert torch.isfinite(v.grad).all(), function


def test_orthogonalize_agrees_with_svd():
    rng = np.random.default_rng(2)
    clean = rot.quat_to_matrix(rot.random_quat(rng, (300,)))
    noisy = (clean + 0.2 * rng.standard_normal(clean.shape)).reshape(300, 9)
    u, _, vt = np.linalg.svd(noisy.reshape(300, 3, 3))
    u[..., 2] *= np.linalg.det(u @ vt)[:, None]
    expected = u @ vt
    found = rott.orthogonalize(torch.from_numpy(noisy).float()).numpy()
    off = rot.geodesic_angle(rot.matrix_to_quat(found), rot.matrix_to_quat(expected))
    assert off.max() < 1e-3
    np.testing.assert_allclose(np.linalg.det(found), 1.0, atol=1e-4)


def test_orthogonalize_is_invariant_to_scale():
    v = torch.randn(8, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        rott.orthogonalize(v), rott.orthogonalize(1000 * v), atol=1e-5, rtol=0
    )


def test_rotations_by_pi_become_quaternions():
    axes = torch.eye(3, dtype=torch.float64)
    m = 2 * axes[:, :, None] * axes[:, None, :] - torch.eye(3, dtype=torch.float64)
    q = rott.matrix_to_quat(m)
    torch.testing.assert_close(q[:, 1:].abs(), axes)
    torch.testing.assert_close(q[:, 0], torch.zeros(3, dtype=torch.float64))


def test_crops_are_the_pixels_of_a_square():
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    centre, side = torch.tensor([[4.0, 3.0], [5.0, 5.0]]) / 8, torch.tensor([4.0, 2.0]) / 8
    for mode in ("bilinear", "nearest"):
        crops = cut_squares(images, centre, side, 4, mode)
        torch.testing.assert_close(crops[0], images[0, :, 1:5, 2:6], atol=1e-3, rtol=0)
    assert (cut_squares(images, centre, side, 2)[1] - images[1, :, 4:6, 4:6]).abs().max() < 1e-3
    assert not cut_squares(images, centre + 2, side, 4).any()
