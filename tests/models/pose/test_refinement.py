import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.models.pose.heads import CENTRE
from opendactyl.models.pose.linalg import invert_3x3, invert_6x6, turn_matrix
from opendactyl.models.pose.refinement import (
    Evidence,
    align,
    gather,
    place_intrinsics,
    project,
    refine,
    triangulate,
    undo_jitter,
)
from opendactyl.sim.objects.shipped import object_spec

SIZE = 128
POINTS = torch.tensor(object_spec("block").keypoints, dtype=torch.float32)
WEAK = torch.tensor([[1 / 0.05**2, 1.0]])


def cameras():
    rig = load_rig("dactyl").resized(SIZE)
    intrinsics = torch.tensor(rig.intrinsics, dtype=torch.float32)
    return place_intrinsics(intrinsics, SIZE), torch.tensor(rig.extrinsics, dtype=torch.float32)


def poses(count, seed=0):
    rng = np.random.default_rng(seed)
    position = torch.tensor(rng.normal(0, 0.02, (count, 3)), dtype=torch.float32)
    rotation = Rotation.random(count, random_state=seed).as_matrix()
    return position, torch.tensor(rotation, dtype=torch.float32)


def moved(rotation, degrees, seed=1):
    axes = np.random.default_rng(seed).standard_normal((len(rotation), 3))
    axes *= np.deg2rad(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    turns = Rotation.from_rotvec(axes) * Rotation.from_matrix(rotation.numpy())
    return torch.tensor(turns.as_matrix(), dtype=torch.float32)


def evidence(position, rotation, noise=0.0, sigma=0.004, seed=2):
    in_hand = torch.einsum("bij,kj->bki", rotation, POINTS) + position[:, None]
    places, _ = project(in_hand, *cameras())
    torch.manual_seed(seed)
    places = places + noise * torch.randn_like(places)
    return Evidence(places, torch.full(places.shape[:-1], sigma**-2), POINTS, *cameras())


def degrees_between(a, b):
    turns = Rotation.from_matrix(a.numpy()) * Rotation.from_matrix(b.numpy()).inv()
    return np.rad2deg(turns.magnitude())


def test_places_are_the_cameras_own_projections():
    position, rotation = poses(1)
    points = rotation[0] @ POINTS.T + position[0][:, None]
    places, slopes = project(points.T[None], *cameras())
    for view, camera in enumerate(load_rig("dactyl").resized(SIZE).cameras):
        pixels, _ = camera.project(points.T.numpy())
        np.testing.assert_allclose(places[0, view].numpy() * SIZE, pixels, atol=1e-2)
    step = 1e-3
    for axis in range(3):
        nudge = torch.eye(3)[axis] * step
        ahead, behind = (project(points.T[None] + s * nudge, *cameras())[0] for s in (1, -1))
        torch.testing.assert_close(
            slopes[..., axis], (ahead - behind) / (2 * step), atol=1e-2, rtol=1e-3
        )


def test_inverses():
    torch.manual_seed(0)
    root = torch.randn(3, 5, 6, 6, dtype=torch.float64)
    matrix = root @ root.mT + 0.1 * torch.eye(6)
    torch.testing.assert_close(invert_6x6(matrix), torch.linalg.inv(matrix))
    three = root[..., :3, :3]
    torch.testing.assert_close(invert_3x3(three), torch.linalg.inv(three))


def test_turns_are_rotations_and_near_the_exponential_map():
    vectors = np.random.default_rng(0).normal(0, 0.05, (20, 3))
    turns = turn_matrix(torch.tensor(vectors))
    exact = torch.tensor(Rotation.from_rotvec(vectors).as_matrix())
    torch.testing.assert_close(turns, exact, atol=1e-3, rtol=0)
    far = turn_matrix(torch.tensor([[3.0, -2.0, 1.0]]))
    torch.testing.assert_close(far @ far.mT, torch.eye(3)[None], atol=1e-5, rtol=0)


def test_a_moved_cameras_picture_is_taken_back():
    torch.manual_seed(0)
    seen, places = torch.rand(2, 3, 10, 2), torch.rand(2, 3, 14, 2)
    turn, shift = torch.tensor([0.02, -0.01]), torch.tensor([0.01, -0.03])

    def similarity(x):
        centred = x - 0.5
        turned = torch.stack(
            [
                turn[0] * centred[..., 0] - turn[1] * centred[..., 1],
                turn[1] * centred[..., 0] + turn[0] * centred[..., 1],
            ],
            dim=-1,
        )
        return x + turned + shift

    sure = torch.full((2, 3, 10), 1e8)
    corrected = undo_jitter(seen, similarity(seen), sure, places)
    torch.testing.assert_close(corrected, similarity(places), atol=1e-5, rtol=0)
    unsure = undo_jitter(seen, similarity(seen), sure * 1e-12, places)
    torch.testing.assert_close(unsure, places, atol=1e-5, rtol=0)


def test_a_camera_that_has_no_anchor_in_its_picture_is_believed():
    # From 0.3 m over the palm, looking down: the forearm is beside the picture or behind.
    down = torch.tensor([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, -1, 0.3], [0, 0, 0, 1]])[None]
    cameras = (torch.tensor([[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])[None], down)
    anchors = torch.tensor(STATIC_LANDMARKS, dtype=torch.float32)
    (nominal,), _ = project(anchors[None], *cameras)
    hidden = ((nominal < 0) | (nominal > 1)).any(dim=-1)
    assert hidden.any()
    points, places = torch.rand(14, 3) * 0.05, torch.rand(2, 1, 24, 2)
    sure = torch.full((2, 1, 24), -4.0)
    far = places.clone()
    far[:, :, 14:][:, hidden] += 0.3
    a, b = (gather(x, sure, points, anchors, cameras).places for x in (places, far))
    torch.testing.assert_close(a, b)
    behind = anchors - torch.tensor([1.0, 0, 0])
    alone = gather(places, sure, points, behind, cameras).places
    torch.testing.assert_close(alone, places[:, :, :14])


def test_jitter_of_true_cameras_is_mostly_undone_at_the_object():
    rng = np.random.default_rng(0)
    rig = load_rig("dactyl").resized(SIZE)
    before, after = [], []
    for _ in range(50):
        for camera in rig.cameras:
            pose = camera.cam_from_hand.copy()
            turn = Rotation.from_rotvec(rng.normal(0, 0.005, 3)).as_matrix()
            pose[:3, :3] = turn @ pose[:3, :3]
            pose[:3, 3] = turn @ (pose[:3, 3] + rng.uniform(-0.005, 0.005, 3))
            jittered = type(camera)("moved", SIZE, SIZE, camera.K, pose)
            point = rng.normal(0, 0.02, (1, 3))
            to_place = [
                torch.tensor(c.project(p)[0] / SIZE, dtype=torch.float32)[None, None]
                for c, p in (
                    (jittered, STATIC_LANDMARKS),
                    (camera, STATIC_LANDMARKS),
                    (jittered, point),
                )
            ]
            seen, nominal, place = to_place
            steady = undo_jitter(
                seen, nominal[0], torch.full((1, 1, len(STATIC_LANDMARKS)), 1e6), place
            )
            truth = camera.project(point)[0][0] / SIZE
            before.append(np.linalg.norm(place[0, 0, 0].numpy() - truth) * SIZE)
            after.append(np.linalg.norm(steady[0, 0, 0].numpy() - truth) * SIZE)
    assert np.mean(before) > 2.0
    assert np.mean(after) < 0.25 * np.mean(before)


@pytest.mark.parametrize("degrees", [0.0, 10.0, 30.0])
def test_refining_finds_the_pose_from_a_rough_one(degrees):
    position, rotation = poses(40)
    start = (position + 0.01, moved(rotation, degrees))
    found = refine(*start, torch.tensor([[1 / 0.1**2, 0.01]]).expand(40, 2),
                   evidence(position, rotation, sigma=0.02), steps=8)  # fmt: skip
    assert torch.linalg.vector_norm(found[0] - position, dim=-1).max() < 1e-3
    assert degrees_between(found[1], rotation).max() < 1.0


def test_refining_keeps_the_prior_where_nothing_is_seen():
    position, rotation = poses(5)
    first = (position + 0.02, moved(rotation, 20))
    blind = evidence(position, rotation, sigma=1e3)
    found = refine(*first, WEAK.expand(5, 2), blind)
    torch.testing.assert_close(found[0], first[0], atol=1e-4, rtol=0)
    assert degrees_between(found[1], first[1]).max() < 0.1


def test_the_covariance_is_that_of_the_errors():
    position, rotation = (x.expand(400, *x.shape[1:]).contiguous() for x in poses(1))
    sigma = 0.004
    seen = evidence(position, rotation, noise=sigma, sigma=sigma)
    found, turned, covariance = refine(
        position, rotation, torch.tensor([[1.0, 1e-4]]).expand(400, 2), seen
    )
    spread = (found - position).std(dim=0)
    claimed = covariance.diagonal(dim1=-2, dim2=-1).mean(dim=0).sqrt()
    torch.testing.assert_close(spread, claimed[:3], rtol=0.25, atol=0)
    turns = Rotation.from_matrix((turned @ rotation.mT).numpy()).as_rotvec()
    torch.testing.assert_close(
        torch.tensor(turns.std(axis=0), dtype=torch.float32), claimed[3:], rtol=0.25, atol=0
    )


def test_an_outlier_loses_its_say():
    position, rotation = poses(20)
    seen = evidence(position, rotation)
    seen.places[:, 0, 3] += 0.3
    found = refine(position, rotation, WEAK.expand(20, 2), seen)
    assert torch.linalg.vector_norm(found[0] - position, dim=-1).max() < 2e-3


def test_rays_meet_in_the_keypoints_and_the_object_is_laid_on_them():
    position, rotation = poses(30)
    met, certainty = triangulate(evidence(position, rotation, sigma=1e-4), torch.tensor(CENTRE))
    truth = torch.einsum("bij,kj->bki", rotation, POINTS) + position[:, None]
    assert torch.linalg.vector_norm(met - truth, dim=-1).max() < 1e-3
    found = align(POINTS, met, certainty)
    assert torch.linalg.vector_norm(found[0] - position, dim=-1).max() < 1e-3
    assert degrees_between(found[1], rotation).max() < 1.0


def test_gradients_reach_the_places_and_are_finite():
    position, rotation = poses(4)
    seen = evidence(position, rotation, noise=0.01)
    seen.places.requires_grad_()
    seen.weight.requires_grad_()
    found, turned, _ = refine(position, moved(rotation, 15), WEAK.expand(4, 2), seen)
    (found.square().sum() + (turned - rotation).square().sum()).backward()
    for gradient in (seen.places.grad, seen.weight.grad):
        assert gradient is not None
        assert torch.all(torch.isfinite(gradient))
        assert gradient.abs().sum() > 0
