"""Distortion and region of interest in rig files and in the manifests of datasets."""

import json

import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig, load_rig

PINHOLE = """
[[camera]]
name = "one"
width = 64
height = 48
fovy_deg = 30
position = [0.0, 0.0, 0.5]
quaternion = [0, 1, 0, 0]
"""
OPTIONS = """
distortion = { model = "brown-conrady", coefficients = [-0.2, 0.1, 0.001, 0.0] }
roi = [10, -4, 40, 40]
"""


def _write(tmp_path, lines):
    path = tmp_path / "rig.toml"
    path.write_text(PINHOLE + lines)
    return path


def test_distortion_and_region_survive_files_and_dictionaries(tmp_path):
    rig = load_rig(_write(tmp_path, OPTIONS))
    back = Rig.from_dict(json.loads(json.dumps(rig.to_dict())))
    for camera in (rig.cameras[0], back.cameras[0]):
        assert camera.distortion.model == "brown-conrady"
        assert camera.distortion.coefficients == (-0.2, 0.1, 0.001, 0.0)
        assert camera.roi == (10, -4, 40, 40)
    assert rig.to_dict() == back.to_dict()


def test_the_content_of_a_pinhole_rig_has_no_new_keys(tmp_path):
    """Hashes of datasets and bundles depend on it."""
    plain = load_rig(_write(tmp_path, 'distortion = { model = "none" }'))
    for rig in (load_rig("dactyl-200"), plain):
        expected = {
            "name": rig.name,
            "cameras": [
                {
                    "name": c.name, "width": c.width, "height": c.height, "K": c.K.tolist(),
                    "cam_from_hand": c.cam_from_hand.tolist(),
                }
                for c in rig.cameras
            ],
        }  # fmt: skip
        assert json.dumps(rig.to_dict()) == json.dumps(expected)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('distortion = { model = "fov", coefficients = [1] }', "camera 'one': unknown distortion"),
        ('distortion = { model = "brown-conrady" }', "0 coefficients, not 4 or 5 or 8"),
        ("distortion = [0.1]", "must be a table with model, coefficients"),
        ("roi = [0, 0, 64]", "whole pixels"),
        ("roi = [0, 0, 6.5, 3]", "whole pixels"),
        ("roi = [0, 0, 0, 10]", r"roi \[0, 0, 0, 10\] must be"),
        ("roi = [64, 0, 10, 10]", "outside the image of 64×48 pixels"),
    ],
)
def test_invalid_lenses_and_regions_are_explained(tmp_path, line, reason):
    with pytest.raises(InputError, match=reason) as caught:
        load_rig(_write(tmp_path, line))
    assert "\n" not in str(caught.value)
