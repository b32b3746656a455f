"""Regions of interest, and which cameras see the working volume."""

from dataclasses import replace

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.distortion import BROWN_CONRADY, Distortion
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_drawing import FRAME, PANEL, REGION, draw_rig
from opendactyl.geometry.working_volume import (
    automatic_roi,
    box_corners,
    volume_view,
)


def _camera(width=400, height=300, focal=200.0, **values):
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera("one", width, height, K, np.eye(4), **values)


def _box(x, y, half=0.1, depth=1.0):
    return box_corners([x - half, y - half, depth], [x + half, y + half, depth + 0.2])


def test_corners_of_a_box():
    corners = box_corners([0, 0, 0], [1, 2, 3])
    assert corners.tolist()[:3] == [[0, 0, 0], [0, 0, 3], [0, 2, 0]]
    assert corners[-1].tolist() == [1, 2, 3]


def test_the_region_is_the_smallest_square_around_the_volume():
    # The front face, 0.2 m at a depth of 1 m, is 40 pixels wide around the image centre.
    assert automatic_roi(_camera(), _box(0, 0), margin=0.0) == (180, 130, 40, 40)
    assert automatic_roi(_camera(), _box(0, 0), margin=0.1) == (175, 125, 50, 50)


def test_the_region_holds_the_volume_and_lies_in_the_image():
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = rng.uniform([-0.85, -0.6], [0.85, 0.6])
        camera, corners = _camera(), _box(x, y, half=rng.uniform(0.02, 0.12))
        left, top, width, height = automatic_roi(camera, corners, margin=0.05)
        assert width == height
        assert 0 <= left <= 400 - width and 0 <= top <= 300 - height
        pixels = camera.project(corners)[0]
        assert (pixels >= np.array([left, top]) - 1e-6).all()
        assert (pixels <= np.array([left + width, top + height]) + 1e-6).all()


def test_a_volume_that_is_cut_off_keeps_its_visible_part():
    left, top, width, height = automatic_roi(_camera(), _box(1.0, 0.0), margin=0.0)
    # The visible part spans 380 (0.9 m at 1 m: behind, 0.9 / 1.2 · 200 + 200 = 350) to 400.
    assert (left + width, top + height // 2) == (400, 150)
    assert left == 350


def test_a_region_wider_than_the_image_is_centred_on_it():
    camera = _camera(width=400, height=100)
    assert automatic_roi(camera, _box(0, 0, half=0.5), margin=0.0) == (100, -50, 200, 200)


def test_a_volume_around_the_camera_gives_the_whole_view():
    corners = box_corners([-1, -1, -1], [1, 1, 1])
    left, top, width, height = automatic_roi(_camera(), corners)
    assert (left, top, width, height) == (0, -50, 400, 400)
    assert volume_view(_camera(), corners).visibility == "part"
    assert volume_view(_camera(), corners).pixels_per_mm == 0.0


@pytest.mark.parametrize("corners", [_box(5, 0), _box(0, 0, depth=-3.0)])
def test_a_camera_that_does_not_see_the_volume_has_no_region(corners):
    with pytest.raises(InputError, match="camera 'one' does not see the working volume"):
        automatic_roi(_camera(), corners)


@pytest.mark.parametrize(
    ("camera", "corners", "visibility"),
    [
        (_camera(), _box(0, 0), "all"),
        (_camera(), _box(1, 0), "part"),
        (_camera(), _box(5, 0), "none"),
        (_camera(), _box(0, 0, depth=-3), "none"),
        (_camera(roi=(180, 130, 40, 40)), _box(0, 0), "all"),
        (_camera(roi=(190, 130, 40, 40)), _box(0, 0), "part"),
        (_camera(roi=(0, 0, 40, 40)), _box(0, 0), "none"),
        # The pincushion lens bends the image of the volume out of the raw image.
        (_camera(distortion=Distortion(BROWN_CONRADY, (2.0, 0, 0, 0))), _box(0.7, 0), "part"),
    ],
)
def test_how_much_of_the_volume_is_seen(camera, corners, visibility):
    assert volume_view(camera, corners).visibility == visibility


def test_resolution_at_the_centre_of_the_volume():
    # The centre lies 1.1 m before the camera.
    assert volume_view(_camera(focal=1100.0), _box(0, 0)).pixels_per_mm == pytest.approx(1.0)


@pytest.mark.parametrize("high", [[1, 0, 1], [1, 1, np.nan]])
def test_empty_volumes_are_refused(high):
    with pytest.raises(InputError, match="is empty"):
        box_corners([0, 0, 0], high)


def test_the_camera_of_a_region_shifts_the_pixels():
    camera = _camera(roi=(30, -20, 120, 200))
    region = camera.region()
    assert (region.width, region.height, region.roi) == (120, 200, None)
    point = [0.1, 0.2, 1.5]
    np.testing.assert_allclose(region.project(point)[0], camera.project(point)[0] - [30, -20])
    assert Rig("r", (camera,)).regions().cameras[0].width == 120
    assert _camera().region().width == 400
    half = camera.scaled(200, 150)
    assert half.roi == (15, -10, 60, 100)
    np.testing.assert_allclose(
        half.region().project(point)[0], region.scaled(60, 100).project(point)[0]
    )


def test_a_region_knows_the_frame_that_it_is_a_part_of():
    camera = _camera(roi=(30, -20, 120, 200))
    rig = Rig("r", (camera, replace(_camera(), name="whole"))).views(60)
    region, whole = rig.cameras
    assert region.frame == (-15.0, 6.0, 200.0, 90.0) and whole.frame is None
    assert region.frame_fovy == pytest.approx(camera.fovy) == pytest.approx(whole.fovy)
    content = rig.to_dict()
    assert "frame" not in content["cameras"][1]
    assert Rig.from_dict(content).cameras[0].frame == region.frame
    for wrong in ([0, 0, 0, 10], [0, 0, 10], [0, 0, np.nan, 10]):
        content["cameras"][0]["frame"] = wrong
        with pytest.raises(InputError, match=r"frame is .* must be \[x, y, width, height\]"):
            Rig.from_dict(content)


def test_the_picture_shows_every_camera_with_its_region():
    rig = Rig("r", (_camera(roi=(180, 130, 40, 40)), *load_rig("dactyl-200").cameras))
    image = draw_rig(rig, _box(0, 0))
    columns = image.size[0] / 3
    assert image.size[0] > 3 * PANEL and image.size[1] > 2 * 300
    colours = {colour for _, colour in image.getcolors(1 << 24)}
    assert {FRAME, REGION} <= colours
    region = np.argwhere((np.asarray(image) == REGION).all(axis=-1))
    assert region[:, 1].max() < 3 * columns
