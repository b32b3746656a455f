"""`opendactyl rig check` on rendered frames."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main
from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.imitation.demonstrate import rendered_frames
from opendactyl.datasets.generation.state_sources import state_source
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.sim.objects.shipped import object_spec

RIG = load_rig("dactyl")
SHIPPED = Path(__file__).parents[2] / "pretrained" / "reorient"


@pytest.fixture(scope="module")
def views():
    """Frames (V, H, W, 3) of one moment."""
    rng, states = np.random.default_rng(0), state_source("settled", "block").states(5, 0, 1)
    look = sample_appearance(rng, PRESETS["calibrated"], views=3, obj=object_spec("block"))
    return next(rendered_frames(load_bundle(SHIPPED), list(states), look))


@pytest.fixture
def check(tmp_path, capsys):
    """Runs the command on frames; returns the exit status, the output and the report."""

    def run(frames, name):
        folder, out = tmp_path / f"frames-{name}", tmp_path / name
        folder.mkdir()
        for camera, frame in zip(RIG.names, frames, strict=True):
            Image.fromarray(np.ascontiguousarray(frame)).save(folder / f"{camera}.png")
        arguments = ["--bundle", str(SHIPPED), "--images", str(folder), "--out", str(out)]
        with pytest.raises(SystemExit) as stop:
            main(["rig", "check", *arguments])
        report = json.loads((out / "check.json").read_text())
        overlay = np.asarray(Image.open(out / "overlay-00.png"))
        assert overlay.shape == (480, 3 * 640, 3)
        return stop.value.code, capsys.readouterr(), report

    return run


def test_right_wiring_passes(check, views):
    status, output, report = check(views, "right")
    assert status == 0 and output.err == ""
    assert report["passed"] and report["mistakes"] == []
    assert output.out.count("ok: its own images, upright, unmirrored, RGB; keypoints") == 3


def test_the_cameras_that_fail_are_named(check, views):
    left, right, top = views
    status, output, report = check([right, left, top], "swapped")
    assert status == 2 and not report["passed"]
    assert [mistake["mistake"] for mistake in report["mistakes"]] == ["left and right are swapped"]
    assert report["cameras"]["left"]["defects"] == ["shows the images of right"]
    assert report["cameras"]["top"]["defects"] == []
    assert output.err.strip() == (
        "opendactyl: left shows the images of right; right shows the images of left"
    )


def test_rig_check_needs_frames(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["rig", "check", "--bundle", str(SHIPPED)])
    assert stop.value.code == 2
    assert "give --images" in capsys.readouterr().err
