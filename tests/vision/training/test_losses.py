"""Losses and their balance."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from opendactyl.geometry.rotation import (
    random_quat,
)
from opendactyl.geometry.torch_ops.rotation import quat_to_matrix
from opendactyl.models.pose.heads import rotation_from_raw
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.vision.training.losses import (
    FocalBalance,
    keypoint_losses,
    pose_likelihood,
    pose_loss,
)


def test_the_loss_is_minimal_at_the_truth():
    quaternion = torch.tensor(random_quat(np.random.default_rng(0), (8,)), dtype=torch.float32)
    batch = {
        "position": torch.randn(8, 3) * 0.02,
        "quaternion": quaternion,
        "keypoints": torch.rand(8, 3, 14, 2),
        "anchors": torch.rand(8, 3, 10, 2),
        "visible_fraction": torch.ones(8, 3),
    }
    matrices = torch.tensor(Rotation.from_quat(quaternion, scalar_first=True).as_matrix()).float()

    def loss(shift=0.0, raw_error=0.0, sign=1.0, refined_shift=0.0, keypoint_shift=0.0):
        log_std, raw = torch.full((8, 2), -4.0), matrices.flatten(1) + raw_error
        initial = PoseOutput(batch["position"] + shift, rotation_from_raw(raw), log_std, raw)
        output = PoseOutput(
            batch["position"] + refined_shift, matrices, log_std, None,
            torch.cat([batch["keypoints"], batch["anchors"]], dim=2) + keypoint_shift,
            torch.full((8, 3, 24), -4.0), initial,
        )  # fmt: skip
        return pose_loss(output, batch | {"quaternion": sign * quaternion})["total"].item()

    assert loss() < loss(shift=0.01)
    assert loss() < loss(raw_error=0.1)
    assert loss() < loss(refined_shift=0.01)
    assert loss() < loss(keypoint_shift=0.01)
    assert loss(sign=-1.0) == pytest.approx(loss())


def test_anchors_outside_the_image_train_their_uncertainty_only():
    batch = {
        "keypoints": torch.full((1, 1, 2, 2), 0.5),
        "anchors": torch.tensor([[[[0.5, 0.5], [1.3, 0.5], [torch.inf, -torch.inf]]]]),
        "visible_fraction": torch.ones(1, 1),
    }
    keypoints = torch.full((1, 1, 5, 2), 0.5, requires_grad=True)
    log_std = torch.full((1, 1, 5), -4.0, requires_grad=True)
    error, likelihood = keypoint_losses(keypoints, log_std, batch)
    assert error.item() == 0.0
    (error + likelihood).backward()
    assert torch.isfinite(keypoints.grad).all()
    assert (log_std.grad[0, 0] < 0).tolist() == [False, False, False, True, True]


def test_focal_balance_favours_the_task_with_larger_errors():
    balance = FocalBalance()
    losses = {"position": torch.tensor(1.0), "refined_rotation": torch.tensor(1.0)}
    for _ in range(500):
        weights = balance.weights(torch.full((8,), 20.0), torch.full((8,), 1.0))
    assert weights[1] > 10 * weights[0]
    assert weights.sum().item() == pytest.approx(2.0)
    balanced = balance(losses, torch.full((8,), 20.0), torch.full((8,), 1.0))
    assert balanced["refined_rotation"] > 10 * balanced["position"]
    assert balanced["total"].item() == pytest.approx(2.0, rel=0.01)


def test_overconfidence_has_a_bounded_loss_and_a_gradient():
    log_std = torch.full((1, 2), -4.0, requires_grad=True)
    output = PoseOutput(torch.zeros(1, 3), torch.eye(3)[None], log_std)
    batch = {
        "position": torch.tensor([[0.05, 0.0, 0.0]]),
        "quaternion": torch.tensor([[0.0, 1, 0, 0]]),
    }
    loss = pose_likelihood(output, batch, quat_to_matrix(batch["quaternion"]))
    loss.backward()
    assert (log_std.grad < -1).all()
    assert loss < 1000
