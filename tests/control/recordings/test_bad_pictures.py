"""Pictures that are not what they seem: read right, or refused with the reason."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from opendactyl.control.recordings.cameras import RecordedCameras
from opendactyl.control.runtime.interfaces import EndOfRecording
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig, load_rig

FRAMES = 4
RIG = load_rig("dactyl-200").resized(48)
WIDER = np.array([[0, 0, 8], [0, 0, 0], [0, 0, 0]])
"""Moves the principal point to the middle of an image that is 16 pixels wider."""


def test_foreign_files_and_upper_case_suffixes(folders, frames):
    for camera in RIG.names:
        (folders / camera / "._000000.png").write_bytes(b"\x00\x05\x16\x07 resource fork")
        (folders / camera / "Thumbs.db").write_bytes(b"thumbnails")
        (folders / camera / ".DS_Store").write_bytes(b"finder")
        for k in range(FRAMES):
            (folders / camera / f"{k:06d}.png").rename(folders / camera / f"{k:06d}.PNG")
    cameras = RecordedCameras(folders, RIG)
    for k in range(FRAMES):
        for number, view in enumerate(cameras.read()):
            assert np.array_equal(view, frames(number)[k])
    with pytest.raises(EndOfRecording):
        cameras.read()


def test_pictures_are_rotated_as_their_exif_tag_says(folders):
    right_up = np.zeros((48, 48, 3), np.uint8)
    right_up[:8, 8:] = 200
    for tag, quarter_turns in ((1, 0), (6, 1), (3, 2), (8, 3)):
        # The tag states the clockwise rotation by which viewers show the stored image upright.
        image = Image.fromarray(np.rot90(right_up, quarter_turns))
        exif = Image.Exif()
        exif[0x0112] = tag
        image.save(folders / "left" / "000000.png", exif=exif)
        view = RecordedCameras(folders, RIG).read()[0]
        assert np.array_equal(view, right_up), tag


@pytest.mark.parametrize(
    ("kind", "suffix"), [(np.uint16, "png"), (np.uint16, "tif"), (np.float32, "TIFF")]
)
def test_pictures_of_more_than_eight_bits_are_refused(folders, kind, suffix):
    (folders / "top" / "000002.png").unlink()
    depth = np.full((48, 48), 4000, kind)
    Image.fromarray(depth).save(folders / "top" / f"000002.{suffix}")
    cameras = RecordedCameras(folders, RIG)
    cameras.read(), cameras.read()
    with pytest.raises(InputError, match=r"000002\.\w+ has Pillow's mode [IF].*16 bits") as refused:
        cameras.read()
    assert "RGB with 8 bits" in str(refused.value)


def test_frames_of_mixed_sizes_are_refused(folders, frames):
    Image.fromarray(frames(0, 96)[0]).save(folders / "right" / "000002.png")
    cameras = RecordedCameras(folders, RIG)
    cameras.read(), cameras.read()
    with pytest.raises(InputError, match="camera right has frames of 48×48 and of 96×96 pixels"):
        cameras.read()


def test_frames_of_another_aspect_ratio_are_never_squashed(folders):
    for camera in RIG.names:
        for k in range(FRAMES):
            wide = np.random.default_rng(k).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(wide).save(folders / camera / f"{k:06d}.png")
    with pytest.raises(InputError, match=r"camera left: the frame has 64×48 pixels.*not square"):
        RecordedCameras(folders, RIG).read()
    # A rig of wide frames, whose network observes a square of them.
    wide = Rig("wide", tuple(replace(c, width=64, K=c.K + WIDER) for c in RIG.cameras))
    views = RecordedCameras(folders, wide.resized(32)).read()
    assert [view.shape for view in views] == [(32, 32, 3)] * 3


def test_frames_counted_at_different_rates_are_refused(folders, frames):
    for k in range(FRAMES, 12):
        for camera in ("left", "top"):
            Image.fromarray(frames(0)[0]).save(folders / camera / f"{k:06d}.png")
    with pytest.raises(InputError, match="left 12, right 4, top 12 frames, all counted from 0"):
        RecordedCameras(folders, RIG)
