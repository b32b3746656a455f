"""Writing of a rig as a TOML file that `geometry.rig.load_rig` reads."""

import json
from pathlib import Path

import numpy as np

from opendactyl.core import optional_files
from opendactyl.core.atomic_files import write_text
from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.transforms import invert_pose, pose_from_matrix

HEADER = """\
# Pixel centres at +0.5. position: metres, hand frame; quaternion: hand_from_cam (w, x, y, z),
# OpenCV axes (x right, y down, z forward).
"""


def write_rig(rig: Rig, path: Path, source: str) -> None:
    """Writes a rig file.

    Args:
        rig: the rig.
        path: the file to write, which must not exist.
        source: what the rig was made from, for a comment.

    Raises:
        InputError: the file exists, or the path is not valid.
        EnvironmentFailure: the disk failed.
    """
    check_rig_path(path)
    tables = "".join(_table(camera) for camera in rig.cameras)
    comment = " ".join(source.split())
    write_text(path, f"# {comment}\n{HEADER}name = {_text(rig.name)}\n{tables}")


def check_rig_path(path: Path, option: str = "--out") -> None:
    """Raises an `InputError`, which names the option, for a path that `write_rig` refuses."""
    if path.suffix != ".toml":
        raise InputError(f"{option} {path} must end in .toml")
    if optional_files.exists(path):
        raise InputError(f"{path} exists; choose another {option}, or delete it")


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _table(camera: Camera) -> str:
    position, quaternion = pose_from_matrix(invert_pose(camera.cam_from_hand))
    lines = [
        "",
        "[[camera]]",
        f"name = {_text(camera.name)}",
        f"width = {camera.width}",
        f"height = {camera.height}",
        f"K = {np.asarray(camera.K).tolist()}",
        f"position = {position.tolist()}",
        f"quaternion = {quaternion.tolist()}",
    ]
    if camera.distortion:
        model, coefficients = camera.distortion.model, list(camera.distortion.coefficients)
        lines.append(f"distortion = {{ model = {_text(model)}, coefficients = {coefficients} }}")
    if camera.roi is not None:
        lines.append(f"roi = {list(camera.roi)}")
    return "\n".join(lines) + "\n"
