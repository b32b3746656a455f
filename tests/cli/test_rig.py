"""`opendactyl rig import` and `opendactyl rig show`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.transforms import invert_pose

CAMERA = """\
%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 600., 0., 319.5, 0., 600., 239.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ -0.2, 0.1, 0., 0., 0. ]
tf_world_to_camera: !!opencv-matrix
   rows: 4
   cols: 4
   dt: d
   data: [ 1., 0., 0., 0., 0., -1., 0., 0., 0., 0., -1., 0.6, 0., 0., 0., 1. ]
"""


@pytest.fixture
def calibration(tmp_path, monkeypatch):
    """Two calibration files in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("left", "right"):
        (tmp_path / f"{name}.yml").write_text(CAMERA)
    return tmp_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_import_writes_a_rig_and_tells_what_was_decided(calibration, capsys):
    (calibration / "hand.json").write_text(
        json.dumps({"hand_from_world": {"position": [0, 0, 0.1], "quaternion": [1, 0, 0, 0]}})
    )
    status, out, err = run(
        capsys, "rig", "import", "left.yml", "right.yml", "--out", "mine.toml", "--names", "a,b",
        "--hand-from-world", "hand.json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "format      opencv, recognised" and lines[-1] == "rig in mine.toml"
    assert [line.split()[0] for line in lines[1:4]] == ["directions", "units", "pixels"]
    assert "brown-conrady (5), 0.700 m from the hand frame" in out
    rig = load_rig("mine.toml")
    assert (rig.name, rig.names) == ("mine", ("a", "b"))
    camera = rig.cameras[0]
    assert camera.K[0, 2] == 320.0 and camera.distortion.coefficients[0] == -0.2
    np.testing.assert_allclose(invert_pose(camera.cam_from_hand)[:3, 3], [0, 0, 0.7], atol=1e-12)


def test_show_draws_the_views_and_lists_what_they_see(calibration, capsys):
    run(capsys, "rig", "import", "left.yml", "--out", "mine.toml")
    status, out, err = run(capsys, "rig", "show", "mine.toml", "--out", "mine.png")
    assert (status, err) == (0, "")
    assert "left: 640×480, brown-conrady; sees all of the volume; 1.07 pixels/mm" in out
    assert "(automatic)" in out and out.endswith("picture in mine.png\n")
    with Image.open(calibration / "mine.png") as image:
        assert image.format == "PNG" and image.size[0] > 480


def test_show_writes_the_rig_with_the_regions_that_it_draws(calibration, capsys, refused):
    run(capsys, "rig", "import", "left.yml", "--out", "mine.toml")
    options = ("mine.toml", "--out", "mine.png", "--rig-out", "regions.toml")
    status, out, err = run(capsys, "rig", "show", *options)
    assert (status, err) == (0, "") and out.endswith("rig in regions.toml\n")
    own, found = load_rig("mine.toml").cameras[0], load_rig("regions.toml").cameras[0]
    assert own.roi is None and f"roi = {list(found.roi)} (automatic)" in out
    assert found.distortion == own.distortion
    np.testing.assert_allclose(found.cam_from_hand, own.cam_from_hand, atol=1e-12)
    _, again, _ = run(capsys, "rig", "show", "regions.toml", "--out", "mine.png")
    assert f"roi = {list(found.roi)}\n" in again
    assert "regions.toml exists; choose another --rig-out" in refused("rig", "show", *options)


def test_show_knows_the_shipped_rig(calibration, capsys):
    status, out, _ = run(capsys, "rig", "show", "dactyl", "--out", "rig.png")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines()[:3]] == ["left", "right", "top"]


def test_the_volume_is_that_of_the_hand(calibration, capsys):
    claw = str(Path(__file__).parents[1] / "hands/claw.toml")
    status, out, _ = run(capsys, "rig", "show", "dactyl", "--hand", claw, "--out", "rig.png")
    assert status == 0
    _, shadow, _ = run(capsys, "rig", "show", "dactyl", "--out", "rig.png")
    assert out != shadow


def test_a_rig_that_does_not_see_the_volume_is_drawn_and_refused(calibration, capsys):
    volume = ("--volume", "5", "5", "5", "6", "6", "6")
    status, out, err = run(capsys, "rig", "show", "dactyl", "--out", "rig.png", *volume)
    assert status == 2 and (calibration / "rig.png").exists()
    assert out.count("does not see the volume") == 3
    assert err.startswith("opendactyl: no camera of rig 'dactyl'") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("turn",), "rig turn does not exist; use rig import, rig show or rig check"),
        (("import",), "rig import needs the calibration files"),
        (("import", "gone.yml"), "cannot read the calibration gone.yml"),
        (("show", "nosuch"), "no rig 'nosuch'"),
        (("show", "dactyl", "--volume", *"100200"), "is empty; give its lower x y z"),
    ],
)
def test_wrong_input_is_refused_in_one_line(refused, arguments, message):
    assert message in refused("rig", *arguments)


def test_an_unknown_format_is_refused_in_one_line(calibration, refused):
    line = refused("rig", "import", "left.yml", "--format", "opencb")
    assert "unknown format 'opencb'; use opencv, kalibr, ros, colmap, bop, json" in line


def test_an_existing_rig_file_is_kept(calibration, capsys, refused):
    run(capsys, "rig", "import", "left.yml", "--out", "mine.toml")
    line = refused("rig", "import", "right.yml", "--out", "mine.toml")
    assert "mine.toml exists; choose another --out" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "left.yml", "--units", "cm"), "cm"),
        (("import", "left.yml", "--surplus"), "Unrecognized options: --surplus"),
        (("show",), "Name of a shipped rig, or a rig file"),
    ],
)
def test_wrong_options_are_named(wrong_options, arguments, message):
    assert message in wrong_options("rig", *arguments)


def test_help_lists_the_options_of_both(capsys):
    for words in ((), ("--help",)):
        _, out, _ = run(capsys, "rig", *words)
        assert out.startswith("usage: opendactyl rig import FILE...")
    _, out, _ = run(capsys, "rig", "import", "--help")
    options = ("--out", "--format", "--units", "--names", "--hand-from-world", "--image-size")
    assert all(option in out for option in options)
    _, out, _ = run(capsys, "rig", "show", "--help")
    assert "--volume" in out and "--out" in out
