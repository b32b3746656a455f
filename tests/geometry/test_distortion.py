"""Lens distortion and undistortion, compared with OpenCV."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.distortion import BROWN_CONRADY, KANNALA_BRANDT, Distortion
from opendactyl.geometry.rotation import rotvec_to_quat
from opendactyl.geometry.transforms import pose_matrix
from opendactyl.geometry.undistortion import Undistortion, undistortion_map

LENSES = [
    Distortion(),
    Distortion(BROWN_CONRADY, (-0.27695497, 0.06712482, 0.00087538, 0.00011556)),
    Distortion(BROWN_CONRADY, (-0.2378, 0.1111, -0.003132, 0.0001163, -0.0331)),
    Distortion(BROWN_CONRADY, (0.31, 0.12, 0.0021, -0.0013, 0.04)),
    Distortion(BROWN_CONRADY, (6.3, 9.1, 0.0004, -0.0002, 1.2, 6.6, 11.3, 3.1)),
    Distortion(KANNALA_BRANDT, (-0.01316, 0.05008, -0.04506, 0.01241)),
    Distortion(KANNALA_BRANDT, (0.12, -0.05, 0.02, -0.004)),
]
IDS = [f"{lens.model}-{len(lens.coefficients)}-{n}" for n, lens in enumerate(LENSES)]
ROTVEC = np.array([0.3, -0.2, 0.5])
each_lens = pytest.mark.parametrize("lens", LENSES, ids=IDS)


def _camera(lens, width=752, height=480):
    K = np.array([[461.6, 0, 350.2], [0, 460.2, 246.5], [0, 0, 1]])
    pose = pose_matrix([0.1, -0.2, 0.9], rotvec_to_quat(ROTVEC))
    return Camera("one", width, height, K, pose, lens)


def _points(rng, camera, count=100):
    """Points in front of the camera, up to 35° off its axis."""
    in_camera = rng.uniform([-0.7, -0.6, 1.0], [0.7, 0.6, 1.0], (count, 3))
    in_camera *= rng.uniform(0.3, 2.0, (count, 1))
    pose = camera.cam_from_hand
    return (in_camera - pose[:3, 3]) @ pose[:3, :3]


@each_lens
def test_projection_agrees_with_opencv(lens):
    cv2 = pytest.importorskip("cv2")
    camera = _camera(lens)
    points = _points(np.random.default_rng(0), camera)
    K, coefficients = camera.K.copy(), np.array(lens.coefficients or [0.0] * 4)
    K[:2, 2] -= 0.5  # OpenCV's pixel centres are at whole numbers
    project = cv2.fisheye.projectPoints if lens.model == KANNALA_BRANDT else cv2.projectPoints
    expected, _ = project(points[:, None], ROTVEC, camera.cam_from_hand[:3, 3], K, coefficients)
    pixels, depth = camera.project_raw(points)
    np.testing.assert_allclose(pixels - 0.5, expected.reshape(-1, 2), atol=0.01)
    assert (depth > 0).all()


@each_lens
def test_undistortion_inverts_distortion(lens):
    limit = min(lens.max_radius * 0.98, 1.2)
    direction = np.random.default_rng(1).standard_normal((7, 300, 2))
    radius = np.sqrt(np.linspace(0, 1, 300))[:, None] * limit
    points = direction / np.linalg.norm(direction, axis=-1, keepdims=True) * radius
    assert points.shape == (7, 300, 2)
    np.testing.assert_allclose(lens.undistort(lens.distort(points)), points, atol=1e-6)


def test_no_direction_forms_a_point_beyond_the_fold():
    # r (1 - 0.3 r²) has its maximum 0.7027 at r = 1.0541.
    lens = Distortion(BROWN_CONRADY, (-0.3, 0.0, 0.0, 0.0))
    assert lens.max_radius == pytest.approx(1.0541, abs=2e-3)
    found = lens.undistort([[0.70, 0.0], [0.71, 0.0], [0.0, 0.0]])
    assert 0.9 < found[0, 0] < 1.0541 and found[2].tolist() == [0, 0]
    assert np.isnan(found[1]).all()
    assert np.isnan(Distortion(KANNALA_BRANDT, (0.0,) * 4).undistort([0.0, 1.6])).all()


def test_a_fisheye_by_hand():
    # 45° off the axis; the distorted radius is π/4 · (1 + 0.1 (π/4)²).
    lens = Distortion(KANNALA_BRANDT, (0.1, 0.0, 0.0, 0.0))
    np.testing.assert_allclose(lens.distort([1.0, 0.0]), [0.8338450, 0.0], atol=1e-6)


@each_lens
def test_the_map_leads_from_the_pinhole_view_to_the_raw_image(lens):
    camera = _camera(lens)
    found = undistortion_map(camera)
    assert found.shape == (480, 752, 2) and found.dtype == np.float32
    point = _points(np.random.default_rng(2), camera, 1)
    pixel = camera.project(point)[0][0]
    column, row = np.floor(pixel).astype(int)
    shift = camera.distorted([column + 0.5, row + 0.5]) - camera.distorted(pixel)
    np.testing.assert_allclose(
        found[row, column] - shift, camera.project_raw(point)[0][0], atol=1e-3
    )


@each_lens
def test_the_map_agrees_with_opencv(lens):
    cv2 = pytest.importorskip("cv2")
    camera = _camera(lens)
    K, coefficients = camera.K.copy(), np.array(lens.coefficients or [0.0] * 4)
    K[:2, 2] -= 0.5
    module = cv2.fisheye if lens.model == KANNALA_BRANDT else cv2
    x, y = module.initUndistortRectifyMap(
        K, coefficients, np.eye(3), K, (camera.width, camera.height), cv2.CV_32FC1
    )
    np.testing.assert_allclose(undistortion_map(camera) - 0.5, np.stack([x, y], -1), atol=0.01)


def test_a_lens_without_distortion_has_the_identity_as_its_map():
    found = undistortion_map(_camera(Distortion(), 8, 6))
    np.testing.assert_allclose(found[5, 7], [7.5, 5.5], atol=1e-4)
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Undistortion(found, 8, 6).sample_numpy(image), image)


def test_the_map_of_a_region_is_that_part_of_the_whole_map():
    camera = _camera(LENSES[2])
    region = Camera(**{**vars(camera), "roi": (100, 50, 64, 32)}).region()
    expected = undistortion_map(camera)[50:82, 100:164]
    np.testing.assert_allclose(undistortion_map(camera, region), expected, atol=1e-4)
    small = undistortion_map(camera, region.scaled(32, 16))
    np.testing.assert_allclose(small[3, 5], expected[6:8, 10:12].mean((0, 1)), atol=1e-3)


def test_what_the_lens_does_not_see_is_black():
    lens = Distortion(BROWN_CONRADY, (-0.3, 0.0, 0.0, 0.0))
    camera = Camera(
        "wide", 100, 100, np.array([[40.0, 0, 50], [0, 40, 50], [0, 0, 1]]), np.eye(4), lens
    )
    image = np.full((100, 100), 255, np.uint8)
    corrected = Undistortion(undistortion_map(camera), 100, 100).sample_numpy(image)
    assert corrected[50, 50] == 255
    assert corrected[50, 1] == 0  # 51° off the axis, beyond the fold


@pytest.mark.parametrize("channels", [(), (3,)])
def test_numpy_samples_as_opencv_does(channels):
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    # OpenCV before 5 interpolates at 1/32 pixel, so the image must be smooth.
    ramp = np.linspace(0, 250, 120)[:, None] * np.linspace(0.2, 1.0, 160)
    image = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1).astype(np.uint8)
    image = image if channels else np.ascontiguousarray(image[..., 0])
    wanted = rng.uniform(-3, 165, (90, 110, 2)).astype(np.float32)
    undistortion = Undistortion(wanted, 160, 120)
    found, expected = undistortion.sample_numpy(image), undistortion.sample_opencv(image)
    assert found.shape == expected.shape == (90, 110, *channels)
    inside = ((wanted > 1) & (wanted < [159, 119])).all(axis=-1)
    assert np.abs(found[inside].astype(int) - expected[inside]).max() <= 1
    far = ((wanted < -1) | (wanted > [161, 121])).any(axis=-1)
    assert not found[far].any() and not expected[far].any()


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_numpy_samples_where_the_map_says_within_a_hundredth_of_a_pixel(channels):
    rng = np.random.default_rng(0)
    wanted = rng.uniform(0.5, [239.5, 119.5], (70, 90, 2)).astype(np.float32)
    # In this image, a value times 256 is a sum of pixel distances.
    ramp = np.add.outer(np.arange(120) % 2, np.arange(240) % 2).astype(np.uint8) * 127
    image = np.repeat(ramp[..., None], channels, axis=2)
    low = np.floor(wanted - 0.5).astype(int).clip(0, [238, 118])
    x, y = np.moveaxis(wanted - 0.5 - low, -1, 0)
    column, row = np.moveaxis(low, -1, 0)
    upper = ramp[row, column] * (1 - x) + ramp[row, column + 1] * x
    lower = ramp[row + 1, column] * (1 - x) + ramp[row + 1, column + 1] * x
    found = Undistortion(wanted, 240, 120).sample_numpy(image)
    assert found.shape == (70, 90, channels)
    # Neighbours differ by 127: half a step of rounding, and a hundredth of a pixel.
    error = np.abs(found - (upper * (1 - y) + lower * y)[..., None])
    assert error.max() < 0.5 + 0.01 * 127


@pytest.mark.parametrize(
    ("model", "coefficients", "reason"),
    [
        ("fov", (0.9,), "unknown distortion model 'fov'; use none, brown-conrady, kannala-brandt"),
        (BROWN_CONRADY, (0.1, 0.2), "2 coefficients, not 4 or 5 or 8"),
        (KANNALA_BRANDT, (0.1,) * 5, "5 coefficients, not 4"),
        ("none", (0.1,), "1 coefficients, not 0"),
        (BROWN_CONRADY, (0.1, 0.2, 0.0, np.nan), "not finite"),
    ],
)
def test_invalid_lenses_are_explained(model, coefficients, reason):
    with pytest.raises(InputError, match=reason):
        Distortion(model, coefficients)
