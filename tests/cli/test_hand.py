"""`opendactyl hand show`, and `--hand` with what does not exist."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main
from opendactyl.cli.verbs.hand import fit_folder
from opendactyl.core.errors import InputError

CLAW = Path(__file__).parents[1] / "hands/claw.toml"


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_show_draws_and_describes_a_hand(capsys, tmp_path):
    out = tmp_path / "claw.png"
    status, text, _ = run(capsys, "hand", "show", CLAW, "--out", out)
    assert status == 0
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["name"] == "claw" and lines["joints"].startswith("one_base -0.50 to 1.20, one_tip")
    assert lines["actuators"].endswith("m4 (three_base + three_tip) -0.50 to 1.20")
    assert lines["followers"] == "none"
    assert lines["fingertips"] == "one_site, two_site, three"
    with Image.open(out) as image:
        assert image.size == (1440, 480)
        pixels = np.asarray(image).astype(int)
    for column in (0, 480, 960):  # dots of the fingertips are in each panel
        panel = pixels[:, column : column + 480]
        assert (np.abs(panel - [255, 196, 61]).sum(axis=-1) < 30).sum() > 50


def test_show_draws_a_hand_that_does_not_hold_the_block(capsys, caplog, tmp_path, monkeypatch):
    monkeypatch.setattr("opendactyl.sim.initial_states._MAX_TRIES", 2)
    for name in ("claw.toml", "claw.xml"):
        text = (CLAW.parent / name).read_text().replace("[0.0, 0.0, 0.03]", "[0.3, 0.0, 0.0]")
        (tmp_path / name).write_text(text)
    out = tmp_path / "claw.png"
    status, _, _ = run(capsys, "hand", "show", tmp_path / "claw.toml", "--out", out)
    assert status == 0 and out.exists()
    assert "the object fell from the palm in 2 attempts; check the mount" in caplog.text


def test_show_refuses_what_does_not_exist(capsys, tmp_path):
    out = tmp_path / "hand.png"
    status, _, error = run(capsys, "hand", "show", "claw", "--out", out)
    assert status == 2 and error.count("\n") == 1
    assert "give a .toml file or one of shadow, allegro, leap, shadow-e3m5" in error
    status, _, error = run(capsys, "hand", "paint")
    assert status == 2 and "use hand show" in error


@pytest.mark.parametrize("verb", ["dataset", "train-policy"])
def test_missing_models_are_one_line(refused, monkeypatch, verb):
    monkeypatch.setenv("OPENDACTYL_ASSETS", "/nonexistent")
    line = refused(verb, "--hand", "allegro")
    assert "hand allegro: allegro/allegro_hand_right_glb.urdf is neither in" in line
    assert "get it with `pip download --no-deps mani-skill==3.0.1" in line


def test_a_plan_is_written_for_the_robot(capsys, tmp_path):
    out = tmp_path / "plan.csv"
    status, text, _ = run(
        capsys, "hand", "record-plan", "--hand", CLAW, "--out", out, "--seconds", 14
    )
    assert status == 0 and "rows of targets" in text
    lines = out.read_text().splitlines()
    assert lines[0] == "time,target_m1,target_m2,target_m3,target_m4" and len(lines) > 100


def test_a_log_of_another_hand_is_refused_in_one_line(capsys, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("time,target_finger,joint_finger\n0,0,0\n1,0,0\n")
    out = tmp_path / "fit"
    status, _, stderr = run(capsys, "hand", "fit", "--hand", CLAW, "--log", log, "--out", out)
    assert status == 2 and len(stderr.splitlines()) == 1 and not out.exists()
    assert "has no column 'target_m1'" in stderr and "is of another hand" in stderr


def test_a_fit_needs_a_log(capsys, tmp_path):
    status, _, stderr = run(capsys, "hand", "fit", "--hand", CLAW, "--log", "--out", tmp_path / "x")
    assert status == 2 and "--log names no file" in stderr


def test_a_refused_fit_does_not_block_the_next_one(tmp_path):
    outputs = [tmp_path / "fit.json", tmp_path / "report.html"]
    for path in outputs:
        path.write_text('{"accepted": true}')
    with pytest.raises(InputError, match="is not empty"):
        fit_folder(tmp_path)
    for path in outputs:
        path.write_text('{"accepted": false}')
    assert fit_folder(tmp_path) == tmp_path and not list(tmp_path.iterdir())


def test_actions_that_do_not_exist_are_refused(capsys):
    status, _, stderr = run(capsys, "hand", "shake")
    assert status == 2 and "use hand show, hand record-plan or hand fit" in stderr
