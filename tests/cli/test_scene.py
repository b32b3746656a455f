"""`opendactyl scene show`, and scenes in `dataset` and `rig show`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main

SCENES = Path(__file__).parents[1] / "scenes"
TABLE, RIG = SCENES / "table.toml", SCENES / "rig.toml"


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_show_draws_and_describes_a_scene(capsys, tmp_path):
    for options, views in (((), 3), (("--rig", RIG, "--object", "prism"), 2)):
        out = tmp_path / "scene.png"
        status, text, _ = run(capsys, "scene", "show", TABLE, "--out", out, *options)
        assert status == 0
        lines = dict(line.split(maxsplit=1) for line in text.splitlines())
        assert lines["name"] == "table" and lines["models"] == "robot (arm.urdf)"
        assert lines["joints"].startswith("floor 0 to 0.02, robot/turn -3.14 to 3.14, robot/bend 1")
        assert lines["volume"] == "cylinder within -0.05, -0.1, 0 and 0.15, 0.1, 0.15 m"
        assert lines["states"] == "lying 60%, lifted 20%, free 20%"
        assert lines["colours"] == "robot/rubber; floor"
        with Image.open(out) as image:
            assert image.size == (360 * views, 1440)
            pixels = np.asarray(image)
        first = pixels[:360, :360].reshape(-1, 3)
        assert np.median(first, axis=0).argmax() == 2  # the floor's blue


def test_rig_show_draws_the_volume_of_the_scene(capsys, tmp_path):
    out = tmp_path / "rig.png"
    status, text, _ = run(capsys, "rig", "show", RIG, "--scene", TABLE, "--out", out)
    assert status == 0 and text.count("sees") == 2 and out.exists()
    status, _, error = run(capsys, "rig", "show", "dactyl", "--scene", TABLE, "--out", out)
    assert status in (0, 2) and "hand frame" not in error


def test_dataset_takes_the_states_of_the_scene_by_default(capsys, tmp_path):
    options = ["--hand", "none", "--scene", TABLE, "--rig", RIG, "--num-samples", 1,
               "--image-size", 32, "--workers", 1]  # fmt: skip
    status, _, _ = run(capsys, "dataset", "--out", tmp_path / "a", *options)
    assert status == 0 and '"states": "scene"' in (tmp_path / "a/manifest.json").read_text()
    status, _, error = run(
        capsys, "dataset", "--out", tmp_path / "b", *options, "--states", "random"
    )
    assert status == 2 and "the states 'random' are of a hand" in error


def test_what_does_not_fit_is_one_line(refused):
    assert "give a TOML file, an MJCF or a URDF" in refused("scene", "show", "no.toml")
    assert "use scene show" in refused("scene", "paint")
    assert "--hand none and --scene FILE" in refused("dataset", "--scene", TABLE)
    assert "--hand none and --scene FILE" in refused("dataset", "--hand", "none")
