"""The whole chain on the command line: demonstrate, train, export, imitate by sight."""

import json
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[3] / "pretrained" / "reorient"


@pytest.mark.slow
@pytest.mark.parametrize("renderer", ["classic", "filament"])
def test_a_demonstration_is_imitated_by_vision(opendactyl, tmp_path, renderer):
    (tmp_path / "mine.toml").write_text('steps = ["yaw 90"]\n')
    opendactyl(
        tmp_path, "demonstrate", "--program", "mine.toml", "--bundle", SHIPPED, "--out", "shown",
        "--renderer", renderer,
    )  # fmt: skip
    assert (tmp_path / "shown/poses.csv").exists() and (tmp_path / "shown/left/0000.png").exists()
    opendactyl(
        tmp_path, "train-imitation", "--bundle", SHIPPED, "--tracks", "8", "--batch-size", "8",
        "--max-minutes", "0.5", "--demonstrations", "shown", "--out", "run",
    )  # fmt: skip
    opendactyl(
        tmp_path, "export", "--vision", SHIPPED, "--policy", SHIPPED, "--imitation", "run",
        "--out", "bundle",
    )  # fmt: skip
    text = opendactyl(
        tmp_path, "evaluate", "--bundle", "bundle", "--imitate", "shown", "--episodes", "1",
        "--pose", "vision", "--renderer", renderer, "--out", "result",
    )  # fmt: skip
    assert "yaw 90: carried out in" in text
    assert json.loads((tmp_path / "result/results.json").read_text())["n"] == 1
    opendactyl(
        tmp_path, "run", "--bundle", "bundle", "--imitate", "shown", "--seconds", "0.8",
        "--renderer", renderer, "--video", "imitation.mp4",
    )  # fmt: skip
    assert (tmp_path / "imitation.mp4").stat().st_size > 10_000


@pytest.mark.slow
def test_the_shipped_network_imitates_what_it_sees(opendactyl, tmp_path):
    opendactyl(
        tmp_path, "demonstrate", "--program", "there-and-back", "--bundle", SHIPPED,
        "--out", "shown",
    )  # fmt: skip
    opendactyl(
        tmp_path, "evaluate", "--bundle", SHIPPED, "--imitate", "shown", "--episodes", "6",
        "--pose", "vision", "--out", "result",
    )  # fmt: skip
    results = json.loads((tmp_path / "result/results.json").read_text())
    assert results["n"] == 6 and results["success"] >= 0.5
