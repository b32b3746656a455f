"""Frames, devices and rigs that `opendactyl estimate` refuses, in one line each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.control.estimation.estimate import EstimateConfig
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_import.rig_toml import write_rig

RIG = load_rig("dactyl")
SHIPPED = Path(__file__).parents[2] / "pretrained" / "reorient"


@pytest.fixture
def stills(tmp_path):
    (tmp_path / "in").mkdir()
    for number, name in enumerate(RIG.names):
        noise = np.random.default_rng(number).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


def test_bad_frames_end_in_one_line(refused, stills, tmp_path):
    def line(*options):
        return refused("estimate", "--bundle", SHIPPED, "--out", tmp_path / "out", *options)

    given = ("--images", stills)
    assert "give either --images or --live" in line()
    assert "does not exist" in line("--images", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no frames of the camera left and right and top" in line("--images", tmp_path / "empty")
    assert "--live names 1 devices; the rig has the cameras left" in line("--live", "0")
    dead = ("--live", *(tmp_path / f"{i}.mp4" for i in range(3)))
    assert "camera left: the device" in (text := line(*dead)) and "gives no frame" in text
    (stills / "top.png").rename(stills / "above.png")
    assert "no frames of the camera top of the bundle's rig" in (text := line(*given))
    assert "it holds above.png" in text
    Image.new("RGB", (320, 200)).save(stills / "top.png")
    assert "camera top: the frame has 320×200 pixels, its calibration is for 640×480" in line(
        *given
    )
    (stills / "top.png").write_bytes(b"no picture")
    assert "no pose was estimated" in line(*given)
    (stills / "top.jpg").write_bytes((stills / "left.png").read_bytes())
    assert "camera top has frames in top.jpg and top.png" in line(*given)


def test_the_rig_must_have_the_cameras_of_the_estimator(refused, stills, tmp_path):
    big = Rig("big", tuple(c.scaled(800, 600) for c in RIG.cameras))
    write_rig(big, tmp_path / "big.toml", "")
    pose = RIG.cameras[0].cam_from_hand.copy()
    pose[0, 3] += 0.02
    moved = Rig("moved", (replace(RIG.cameras[0], cam_from_hand=pose), *RIG.cameras[1:]))
    write_rig(moved, tmp_path / "moved.toml", "")
    options = ("estimate", "--bundle", SHIPPED, "--images", stills, "--out", tmp_path / "out")
    text = refused(*options, "--rig", tmp_path / "big.toml")
    assert "the frame has 640×480 pixels, its calibration is for 800×600" in text
    text = refused(*options, "--rig", tmp_path / "moved.toml")
    assert "knows the cameras of its training only" in text
    assert "camera 'left' of rig 'moved'" in text
    assert "export a --model keypoint" in text


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match="--frames is -1"):
        EstimateConfig(images=(Path("a"),), frames=-1)
