"""Pose networks: outputs, precision, building blocks, shipped weights."""

from pathlib import Path

import pytest
import torch

from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.models.choices import HEADS, POSE_NETWORKS
from opendactyl.models.pose.blocks import SpatialSoftmax, standardize
from opendactyl.models.pose.registry import build_pose_network
from opendactyl.models.weights import load_weights
from opendactyl.sim.objects.shipped import object_spec


@pytest.mark.parametrize("anchors", [STATIC_LANDMARKS.tolist(), []], ids=["anchors", "none"])
@pytest.mark.parametrize("name", POSE_NETWORKS)
@pytest.mark.parametrize("head", HEADS)
def test_networks_return_poses(name, head, anchors):
    obj, rig = object_spec("block"), load_rig("dactyl-200").resized(64)
    network = build_pose_network(
        name, views=3, head=head, points=obj.keypoints.tolist(), anchors=anchors
    ).eval()
    cameras = [torch.tensor(m, dtype=torch.float32) for m in (rig.intrinsics, rig.extrinsics)]
    images = torch.randint(0, 256, (2, 3, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        output = network(images, *cameras)
        alone = network(images[1:], *cameras)
    assert output.position.shape == (2, 3)
    assert output.log_std.shape == (2, 2)
    covariance = output.covariance()
    assert covariance.shape == (2, 6, 6)
    assert torch.linalg.eigvalsh(covariance.double()).min() > 0
    # The two scalars are the mean variances of the matrix.
    variances = covariance.diagonal(dim1=-2, dim2=-1).unflatten(-1, (2, 3)).mean(dim=-1)
    torch.testing.assert_close(variances, torch.exp(2 * output.log_std))
    identity = output.rotation @ output.rotation.mT
    torch.testing.assert_close(identity, torch.eye(3).expand(2, 3, 3), atol=1e-4, rtol=0)
    assert torch.all(torch.linalg.det(output.rotation) > 0)
    # In evaluation mode, samples of a batch are independent.
    torch.testing.assert_close(alone.position[0], output.position[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", POSE_NETWORKS)
def test_geometry_stays_in_single_precision_under_autocast(name):
    obj, rig = object_spec("block"), load_rig("dactyl-200").resized(64)
    network = build_pose_network(
        name, views=3, head="9d", points=obj.keypoints.tolist(), anchors=STATIC_LANDMARKS.tolist()
    ).eval()
    cameras = [torch.tensor(m, dtype=torch.float32) for m in (rig.intrinsics, rig.extrinsics)]
    images = torch.randint(0, 256, (4, 3, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = network(images, *cameras)
    assert {output.position.dtype, output.rotation.dtype, output.log_std.dtype} == {torch.float32}
    identity = torch.einsum("nij,nkj->nik", output.rotation.double(), output.rotation.double())
    torch.testing.assert_close(identity, torch.eye(3).double().expand(4, 3, 3), atol=1e-4, rtol=0)


def test_the_softmax_map_of_dactyl_has_many_cells():
    network = build_pose_network("dactyl", views=3, head="9d").eval()
    with torch.no_grad():
        shape = network.tower(torch.zeros(1, 3, 200, 200)).shape
    assert shape[1] == 64
    assert min(shape[2:]) >= 8


def test_spatial_softmax_finds_a_peak():
    maps = torch.zeros(1, 1, 10, 20)
    maps[0, 0, 3, 15] = 100.0
    image_points, peak = SpatialSoftmax(1)(maps)
    torch.testing.assert_close(image_points[0, 0], torch.tensor([15.5 / 20, 3.5 / 10]))
    assert peak.item() == pytest.approx(1.0)


def test_standardized_images_have_zero_mean_and_unit_variance():
    images = torch.randint(50, 150, (1, 2, 16, 16, 3), dtype=torch.uint8)
    plain = standardize(images)
    torch.testing.assert_close(plain.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        plain.std(dim=(1, 2, 3), correction=0), torch.ones(2), atol=1e-3, rtol=0
    )
    brighter = standardize((images.int() + 40).to(torch.uint8))
    torch.testing.assert_close(brighter, plain, atol=1e-4, rtol=0)


def test_an_unknown_network_is_refused_with_the_known_names():
    with pytest.raises(ValueError, match="landmark, keypoint, dactyl"):
        build_pose_network("alexnet", views=3)


def test_shipped_weights_fit_the_network():
    path = Path(__file__).parents[3] / "pretrained" / "weights" / "pose.safetensors"
    network = build_pose_network(
        "landmark",
        views=3,
        points=object_spec("block").keypoints.tolist(),
        anchors=STATIC_LANDMARKS.tolist(),
    )
    network.load_state_dict(load_weights(path))
