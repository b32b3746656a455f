"""`opendactyl object show`."""

import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_show_draws_and_describes_an_object(object_folder, capsys, tmp_path):
    out = tmp_path / "rod.png"
    status, text, _ = run(
        capsys, "object", "show", str(object_folder / "rod.toml"), "--out", str(out)
    )
    assert status == 0
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["name"] == "rod" and lines["size"].startswith("50.0 × 50.0 × 60.0 mm")
    # 500 kg/m³ · π (25 mm)² · 60 mm.
    assert lines["mass"].startswith("58.9 g") and lines["keypoints"] == "16"
    assert lines["symmetry"] == "axis of revolution (0, 0, 1), 2 discrete rotations"
    with Image.open(out) as image:
        assert image.size == (1080, 720)
        pixels = np.asarray(image).astype(int)
    for row in (0, 360):
        for column in (0, 360, 720):  # the object is in the middle of each panel
            panel = pixels[row : row + 360, column : column + 360]
            bright = (panel.min(axis=-1) > 60).mean(axis=None)
            assert 0.05 < bright < 0.5


def test_show_knows_shipped_objects_and_refuses_others(capsys, tmp_path):
    out = str(tmp_path / "prism.png")
    status, text, _ = run(capsys, "object", "show", "prism", "--out", out)
    assert status == 0 and "symmetry    none" in text and "67.1 g" in text
    status, _, error = run(capsys, "object", "show", "cube", "--out", out)
    assert status == 2 and error.count("\n") == 1 and "one of block, face-cube, prism" in error
    status, _, error = run(capsys, "object", "paint")
    assert status == 2 and "use object show" in error
