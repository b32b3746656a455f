"""Rig files, and the error messages for invalid ones."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.geometry.rig import Rig, load_rig, rig_names

GOOD = """
name = "mine"
[[camera]]
name = "one"
width = 64
height = 48
{lens}
position = [0.0, 0.0, 0.5]
{aim}
"""
LENS, AIM = "fovy_deg = 30", "quaternion = [0, 1, 0, 0]"


def _write(tmp_path, text=None, *, lens=LENS, aim=AIM):
    path = tmp_path / "rig.toml"
    path.write_text(GOOD.format(lens=lens, aim=aim) if text is None else text)
    return path


def test_shipped_rig_is_found_from_any_working_directory(tmp_path):
    script = "from opendactyl.geometry.rig import load_rig; print(*load_rig('dactyl').names)"
    out = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert out.stdout.split() == ["left", "right", "top"], out.stderr
    assert rig_names() == ["dactyl", "dactyl-200"]


def test_shipped_rigs_are_package_data():
    """Every TOML file under configs/rigs matches a pattern of pyproject's package data."""
    import tomllib

    root = Path(__file__).parents[2]
    setup = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "opendactyl.configs" in setup["packages"]
    patterns = [p for group in setup["package-data"].values() for p in group]
    for path in (root / "configs" / "rigs").iterdir():
        assert any(path.relative_to(root / "configs").match(p) for p in patterns), path


def test_dict_round_trip_through_json():
    rig = load_rig("dactyl-200").resized(96)
    back = Rig.from_dict(json.loads(json.dumps(rig.to_dict())))
    assert back.name == rig.name
    assert back.names == rig.names
    np.testing.assert_array_equal(back.intrinsics, rig.intrinsics)
    np.testing.assert_array_equal(back.extrinsics, rig.extrinsics)
    assert back.intrinsics.shape == (3, 3, 3)
    assert back.extrinsics.shape == (3, 4, 4)


def test_resizing_scales_pixels():
    rig = load_rig("dactyl-200")
    point = [0.01, 0.02, 0.03]
    for full, half in zip(rig.cameras, rig.resized(100).cameras, strict=True):
        np.testing.assert_allclose(half.project(point)[0], full.project(point)[0] / 2)


def test_look_at_is_upright_and_centred(tmp_path):
    text = GOOD.replace("[0.0, 0.0, 0.5]", "[0.3, -0.4, 0.5]")
    path = _write(tmp_path, text.format(lens=LENS, aim="look_at = [0.02, 0.0, 0.03]"))
    (camera,) = load_rig(path).cameras
    pixels, depth = camera.project([[0.02, 0.0, 0.03], [0.02, 0.0, 0.04]])
    np.testing.assert_allclose(pixels[0], [32, 24], atol=1e-9)
    np.testing.assert_allclose(depth[0], np.linalg.norm([0.28, -0.4, 0.47]))
    assert pixels[1, 0] == pytest.approx(32)
    assert pixels[1, 1] < 24  # A higher point has a smaller row index.


def test_intrinsic_matrix_instead_of_field_of_view(tmp_path):
    path = _write(tmp_path, lens="K = [[80, 0, 30.5], [0, 81, 25.0], [0, 0, 1]]")
    np.testing.assert_array_equal(load_rig(path).cameras[0].K[0], [80, 0, 30.5])
    assert load_rig(str(path)).name == "mine"


BAD = {
    "nesting": ("camera = " + 9000 * "[", "nested too deeply"),
    "byte order mark": ("\ufeff" + GOOD.format(lens=LENS, aim=AIM), "byte order mark"),
    "single table": (
        GOOD.replace("[[camera]]", "[camera]").format(lens=LENS, aim=AIM),
        r"begin each camera with \[\[camera\]\]",
    ),
    "unknown key": (
        GOOD.format(lens=LENS, aim=AIM + "\ndistortion_coeffs = [0.1, 0.0, 0.0, 0.0]"),
        r"'one' has the unknown key 'distortion_coeffs' \(did you mean distortion\?\)",
    ),
    "typo": (GOOD.format(lens=LENS, aim="quaterion = [0, 1, 0, 0]"), "did you mean quaternion"),
    "unknown key of the file": ("units = 'mm'\n" + GOOD.format(lens=LENS, aim=AIM), "'units'"),
    "unknown key of the lens": (
        GOOD.format(lens=LENS, aim=AIM + "\ndistortion = { model = 'none', coeffs = [] }"),
        "distortion has the unknown key 'coeffs'",
    ),
    "lens without a model": (
        GOOD.format(lens=LENS, aim=AIM + "\ndistortion = [0.1, 0.0, 0.0, 0.0]"),
        "must be a table with model, coefficients",
    ),
    "millimetres": (
        GOOD.replace("0.0, 0.0, 0.5", "0.0, 0.0, 500.0").format(lens=LENS, aim=AIM),
        r"more than 20 m from the hand; .*millimetres\?",
    ),
    "angles": (GOOD.format(lens=LENS, aim="quaternion = [0, 90, 0, 45]"), "norm 101, not 1"),
    "rounded skew": (
        GOOD.format(lens="K = [[80, 1e-9, 30], [0, 80, 20], [0, 0, 1]]", aim=AIM),
        r"skew of 1e-09 pixels.*write 0\.0",
    ),
    "case": (
        GOOD.format(lens=LENS, aim=AIM)
        + GOOD.split("\n", 2)[2].replace('"one"', '"One"').format(lens=LENS, aim=AIM),
        "differ only in case: one, One",
    ),
    "no cameras": ('name = "empty"', "no cameras"),
    "not toml": ("[[camera", "cannot be used"),
    "missing key": ('[[camera]]\nname = "a"\nwidth = 4', "'height' is missing"),
    "singular": (GOOD.format(lens="K = [[1, 0, 0], [0, 0, 0], [0, 0, 1]]", aim=AIM), "singular"),
    "nan": (GOOD.format(lens="K = [[nan, 0, 0], [0, 1, 0], [0, 0, 1]]", aim=AIM), "finite"),
    "last row": (GOOD.format(lens="K = [[1, 0, 0], [0, 1, 0], [0, 1, 1]]", aim=AIM), "last row"),
    "both lenses": (
        GOOD.format(lens="fovy_deg = 3\nK = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]", aim=AIM),
        "exactly one of K and fovy_deg",
    ),
    "wide": (GOOD.format(lens="fovy_deg = 180", aim=AIM), r"not in \(0, 180\)"),
    "zero quaternion": (
        GOOD.format(lens=LENS, aim="quaternion = [0, 0, 0, 0]"),
        "finite and non-zero",
    ),
    "short quaternion": (GOOD.format(lens=LENS, aim="quaternion = [0, 1]"), "shape"),
    "both aims": (
        GOOD.format(lens=LENS, aim=AIM + "\nlook_at = [0, 0, 0]"),
        "exactly one of quaternion",
    ),
    "parallel to up": (GOOD.format(lens=LENS, aim="look_at = [0, 0, 0]"), "parallel to up"),
    "twice": (GOOD.format(lens=LENS, aim=AIM) * 2, "cannot be used"),
    "flat": (GOOD.replace("0.0, 0.0, 0.5", "0.0, 0.5").format(lens=LENS, aim=AIM), "three numbers"),
    "infinite": (GOOD.replace("64", "inf").format(lens=LENS, aim=AIM), "cannot be used"),
    "no pixels": (GOOD.replace("64", "0").format(lens=LENS, aim=AIM), "0×48"),
    "far too large": (GOOD.replace("64", "1000000").format(lens=LENS, aim=AIM), "from 1 to"),
    "name with a path": (
        GOOD.replace('"one"', '"../one"').format(lens=LENS, aim=AIM),
        "file names",
    ),
    "camera is not a table": ("camera = [1, 2]", "cannot be used"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_rig_files_are_explained_in_one_line(tmp_path, case):
    text, reason = BAD[case]
    path = _write(tmp_path, text)
    with pytest.raises(InputError, match=reason) as caught:
        load_rig(path)
    assert "\n" not in str(caught.value)
    assert "rig" in str(caught.value)


def test_duplicate_camera_names_are_rejected():
    rig = load_rig("dactyl-200")
    with pytest.raises(InputError, match="two cameras of one name: left, left"):
        Rig("x", (rig.cameras[0], rig.cameras[0]))


def test_extrinsics_must_be_rigid():
    value = load_rig("dactyl-200").to_dict()
    for matrix in (
        2.0 * np.eye(4),
        np.diag([1.0, 1.0, -1.0, 1.0]),
        np.full((4, 4), np.nan),
        np.eye(3),
    ):
        value["cameras"][1]["cam_from_hand"] = matrix.tolist()
        with pytest.raises(InputError, match="camera 'right'"):
            Rig.from_dict(value)


@pytest.mark.parametrize(
    "value", [{}, [], {"name": "x", "cameras": 3}, {"name": "x", "cameras": [{}]}]
)
def test_from_dict_rejects_other_data(value):
    with pytest.raises(InputError, match="not a rig"):
        Rig.from_dict(value)


def test_unknown_rig_lists_the_shipped_ones():
    with pytest.raises(InputError, match=r"no rig 'nosuch'.*dactyl"):
        load_rig("nosuch")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the rig .*gone\.toml"):
        load_rig(tmp_path / "gone.toml")


def test_text_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(InputError, match=r"rig\.toml cannot be used: .*utf-8"):
        load_rig(path)


def test_from_dict_keeps_the_reason_of_an_invalid_camera():
    value = load_rig("dactyl-200").to_dict()
    value["cameras"][0]["width"] = 0
    with pytest.raises(InputError, match=r"^camera 'left' has an image of 0×200 pixels"):
        Rig.from_dict(value)


@pytest.mark.parametrize("name", ["x" * 300, "no\0name"])
def test_names_that_are_not_valid_paths_are_unknown_rigs(name):
    with pytest.raises(InputError, match=r"no rig .*dactyl"):
        load_rig(name)


def test_io_errors_are_failures_of_the_environment(tmp_path, monkeypatch):
    path = _write(tmp_path)

    def fail(*args, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(EnvironmentFailure, match=r"cannot read the rig .*Input/output error"):
        load_rig(path)
