"""The second look: crops, and the network that adds them to a first estimate."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.models.pose.close_up import MARGIN, ROOM, CloseUp, Windows, anchor_squares
from opendactyl.models.pose.networks.two_stage import REDUCTION, Near
from opendactyl.models.pose.observations import project, projection_matrices
from opendactyl.models.pose.outputs import CropOutput, Crops
from opendactyl.models.pose.registry import build_pose_network
from opendactyl.sim.objects.shipped import object_spec

SIZE, CROP = 192, 48
RIG = load_rig("dactyl-200").resized(SIZE)


def network(name="landmark", anchors=STATIC_LANDMARKS, obj="block"):
    torch.manual_seed(0)
    spec = object_spec(obj)
    return build_pose_network(
        name, CROP, views=3, head="9d", points=spec.keypoints.tolist(), anchors=anchors.tolist(),
        hinges=[hinge.to_dict() for hinge in spec.articulation.hinges],
    ).eval()  # fmt: skip


def matrices():
    return [torch.tensor(m, dtype=torch.float32) for m in (RIG.intrinsics, RIG.extrinsics)]


def frames(count=2):
    torch.manual_seed(1)
    smooth = torch.rand(count * 3, 3, 12, 12)
    images = functional.interpolate(smooth, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)
    return (images * 255).to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, (count, 3)).contiguous()


def test_points_of_crops_and_of_views_are_inverse():
    crops = Crops(torch.rand(2, 3, 2), torch.rand(2, 3) + 0.1)
    points = torch.rand(2, 3, 5, 2)
    torch.testing.assert_close(crops.outside(crops.inside(points)), points)
    corner = crops.centre - crops.side[..., None] / 2
    torch.testing.assert_close(crops.inside(corner[:, :, None]), torch.zeros(2, 3, 1, 2))


def test_the_image_points_are_those_of_the_crops():
    two, count = network(), 14
    with torch.no_grad():
        output = two(frames(), *matrices())
    crops = output.second.crops
    points, std = output.image_points(count)
    inside = crops.inside(points)
    torch.testing.assert_close(inside, output.second.keypoints, atol=1e-4, rtol=0)
    torch.testing.assert_close(std / crops.side[..., None], output.second.log_std.exp())
    first, first_std = output.first.image_points(count)
    assert first.shape == points.shape and first_std.shape == std.shape
    assert not torch.allclose(first, points, atol=1e-3)


def test_a_crop_holds_the_object(poses, points):
    close = CloseUp(points.tolist(), 0, CROP)
    cameras = projection_matrices(*matrices(), SIZE)
    position, rotation = poses(20)
    side = close.side(position, cameras)
    in_hand = torch.einsum("bij,kj->bki", rotation, points) + position[:, None]
    image_points, _ = project(in_hand, cameras)
    centre, _ = project(position[:, None], cameras)
    inside = Crops(centre[:, :, 0], side).inside(image_points)
    reach = (inside - 0.5).norm(dim=-1).max()
    assert 0.5 / MARGIN * 0.9 < reach < 0.5


def test_crops_are_the_pixels_of_the_frame(points):
    close = CloseUp(points.tolist(), 0, CROP)
    images = frames(1)
    # Pixels 32 to 80 of x and 64 to 112 of y, one for one.
    crops = Crops(
        torch.tensor([56.0, 88.0]).expand(1, 3, 2) / SIZE, torch.full((1, 3), CROP / SIZE)
    )
    whole = close._cut(Windows(images, torch.zeros(1, 3, 2), 1.0), crops)
    expected = images[0, :, 64:112, 32:80].permute(0, 3, 1, 2).float()
    torch.testing.assert_close(whole, expected, atol=1e-2, rtol=0)
    window = images[:, :, 48:144, 16:112].contiguous()
    corner = torch.tensor([16.0, 48.0]).expand(1, 3, 2) / SIZE
    part = close._cut(Windows(window, corner, 96 / SIZE), crops)
    torch.testing.assert_close(part, expected, atol=1e-2, rtol=0)
    beyond = Crops(crops.centre + 2, crops.side)
    assert not close._cut(Windows(window, corner, 96 / SIZE), beyond).any()


@pytest.mark.parametrize("name", ["landmark", "keypoint"])
def test_windows_give_what_whole_frames_give(name):
    """The first estimate is that of the reduced frames, and crops inside windows are the same."""
    net, images = network(name), frames()
    views = functional.avg_pool2d(images.flatten(0, 1).permute(0, 3, 1, 2).float(), REDUCTION)
    views = views.permute(0, 2, 3, 1).unflatten(0, (2, 3))
    with torch.no_grad():
        whole = net(images, *matrices())
        windows = Windows(images, torch.zeros(2, 3, 2), 1.0)
        cut = net(views, *matrices(), windows)
        alone = net.first(views, *scaled())
        single = net(images[1:], *matrices())
    torch.testing.assert_close(cut.position, whole.position, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.first.position, alone.position, atol=1e-5, rtol=0)
    torch.testing.assert_close(single.position[0], whole.position[1], atol=1e-4, rtol=0)
    assert torch.linalg.eigvalsh(whole.covariance().double()).min() > 0
    assert (whole.tokens is None) == (name == "keypoint")


def scaled():
    intrinsics, extrinsics = matrices()
    return intrinsics * torch.tensor([1 / REDUCTION, 1 / REDUCTION, 1])[:, None], extrinsics


@pytest.mark.parametrize("anchors", [STATIC_LANDMARKS, STATIC_LANDMARKS[:0]])
def test_exact_points_in_crops_give_the_exact_pose(anchors, poses, points, monkeypatch):
    """Whatever the untrained first stage says of pose and cameras."""
    net = network(anchors=anchors)
    position, rotation = poses(2)
    in_hand = torch.einsum("bij,kj->bki", rotation, points) + position[:, None]
    cameras = projection_matrices(*matrices(), SIZE)
    observed, observed_anchors = (
        project(x, cameras)[0] for x in (in_hand, net.first.anchors.expand(2, -1, 3))
    )

    def second(windows, crops, squares):
        def exact(crops, points):
            return CropOutput(crops, crops.inside(points), torch.full(points.shape[:-1], -7.0))

        anchors = None if squares is None else exact(squares, observed_anchors)
        return exact(crops, observed)._replace(anchors=anchors)

    with torch.no_grad():
        first = net(frames(), *matrices()).first
        first.position, first.rotation = position + 0.004, rotation
        monkeypatch.setattr(net.first, "forward", lambda *_: first)
        monkeypatch.setattr(net.second, "forward", second)
        output = net(frames(), *matrices())
    assert (output.position - position).abs().max() < 2e-4
    assert (output.rotation - rotation).abs().max() < 2e-3


def test_exact_points_in_crops_give_the_exact_angles_of_hinges(poses, monkeypatch):
    net, angles = network(obj="face-cube"), torch.tensor([[0.3, -0.2], [1.2, -0.8]])
    position, rotation = poses(2)
    points, _ = net.first.hinges(net.first.points, angles)
    in_hand = torch.einsum("bij,bkj->bki", rotation, points) + position[:, None]
    observed, _ = project(in_hand, projection_matrices(*matrices(), SIZE))

    def second(windows, crops, squares):
        return CropOutput(crops, crops.inside(observed), torch.full(observed.shape[:-1], -7.0))

    with torch.no_grad():
        first = net(frames(), *matrices()).first
        first.position, first.rotation, first.angles = position, rotation, angles + 0.1
        first.observations = dataclasses.replace(first.observations, jitter=None)
        monkeypatch.setattr(net.first, "forward", lambda *_: first)
        monkeypatch.setattr(net.second, "forward", second)
        output = net(frames(), *matrices())
    assert (output.angles - angles).abs().max() < 2e-3
    assert output.log_std.shape == (2, 4)


def test_anchors_are_looked_for_in_crops_that_hold_them():
    net, cameras = network(), projection_matrices(*matrices(), SIZE)
    nominal, _ = project(net.first.anchors[None], cameras)
    crops = anchor_squares(nominal[0])
    inside = ((nominal > 0) & (nominal < 1)).all(dim=-1)
    assert inside.any(dim=-1).all()
    found = crops.inside(nominal)[inside]
    room = (ROOM / crops.side).max()
    assert found.min() > 0 and found.max() < 1
    assert min(found.min(), 1 - found.max()) > room * 0.5
    whole = anchor_squares(nominal[0] + 2)
    assert torch.isfinite(whole.centre).all() and (whole.side > 0).all()


@pytest.mark.parametrize("name", ["landmark", "keypoint"])
def test_cached_crops_of_anchors_give_what_whole_frames_give(name):
    net, images = network(name), frames()
    cameras = projection_matrices(*matrices(), SIZE)
    crops = anchor_squares(project(net.first.anchors[None], cameras)[0][0])
    whole = Windows(images, torch.zeros(2, 3, 2), 1.0)
    both = Crops(crops.centre.expand(2, -1, -1), crops.side.expand(2, -1))
    anchor_crops = net.second._cut(whole, both).round().byte().unflatten(0, (2, 3))
    cached = whole._replace(anchor_crops=anchor_crops.permute(0, 1, 3, 4, 2))
    views = functional.avg_pool2d(images.flatten(0, 1).permute(0, 3, 1, 2).float(), REDUCTION)
    views = views.permute(0, 2, 3, 1).unflatten(0, (2, 3))
    with torch.no_grad():
        a, b = (net(views, *matrices(), windows) for windows in (whole, cached))
    assert a.second.anchors.keypoints.shape == (2, 3, 10, 2)
    torch.testing.assert_close(
        a.second.anchors.keypoints, b.second.anchors.keypoints, atol=2e-3, rtol=0
    )
    torch.testing.assert_close(a.position, b.position, atol=1e-4, rtol=0)


def test_training_looks_near_the_truth():
    net, images = network(), frames()
    position, centre = torch.zeros(2, 3), torch.rand(2, 3, 2)
    windows = Windows(images, torch.zeros(2, 3, 2), 1.0)
    views = images[:, :, ::REDUCTION, ::REDUCTION].contiguous()
    torch.manual_seed(0)
    with torch.no_grad():
        output = net(views, *matrices(), windows, Near(position, centre))
    distance = (output.second.crops.centre - centre).norm(dim=-1) / output.second.crops.side
    assert 0 < distance.max() < 0.3
    expected = net.second.side(position, projection_matrices(*matrices(), SIZE))
    ratio = output.second.crops.side / expected
    assert ratio.min() > 0.8 and ratio.max() < 1.25 and ratio.std() > 0
