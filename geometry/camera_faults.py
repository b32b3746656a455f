"""Cameras that do not show the working volume at a plausible size, and the likely mistakes."""

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import matrix_to_quat
from opendactyl.geometry.transforms import invert_pose, pose_matrix
from opendactyl.geometry.working_volume import volume_view

LEAST_SIZE = 0.02
"""Smallest plausible diagonal of the volume in an image, as a fraction of the longer side."""
_FAR = 10.0
"""Distance in metres beyond which a camera's position is taken to be in another unit."""
_OTHER_AXES = {
    "its axes were OpenGL's (y up, z backward)": np.diag([1.0, -1.0, -1.0]),
    "its axes were a ROS body's (x forward, z up)": np.array(
        [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]
    ),
}
"""Other conventions of a camera's axes: (x, y, z) of the convention from OpenCV's."""


def check_volume(rig: Rig, corners: ArrayLike, *, every: bool = False) -> None:
    """Checks that the cameras of a rig show at least a part of the working volume.

    A line on stderr names each camera that does not, unless that is an error.

    Args:
        rig: the cameras.
        corners: corners (8, 3) of the volume in the hand frame, in the order of `box_corners`.
        every: whether each camera has to.

    Raises:
        InputError: no camera does, or one that has to does not.
    """
    around = f"the working volume around {np.round(np.asarray(corners).mean(axis=0), 3).tolist()} m"
    found = {
        camera.name: (fault, likely_mistake(camera, corners))
        for camera in rig.cameras
        if (fault := camera_fault(camera, corners))
    }
    if len(found) == len(rig.cameras):
        likely = "".join(f"; {n} would see it if {text}" for n, (_, text) in found.items() if text)
        small = next((f" ({fault})" for fault, _ in found.values() if fault != "not at all"), "")
        raise InputError(
            f"no camera of rig {rig.name!r} ({', '.join(rig.names)}) sees {around}{small}{likely}; "
            "correct the poses of the cameras, hand_from_world or the volume (`opendactyl rig "
            "show` draws them)"
        )
    for name, (fault, text) in found.items():
        seen = "does not see" if fault == "not at all" else "does not rightly see"
        detail = "" if fault == "not at all" else f" ({fault})"
        likely = f"; it would see it if {text}" if text else ""
        line = (
            f"camera {name!r} of rig {rig.name!r} {seen} {around}{detail}, so its images do not "
            f"show the object{likely}; correct its pose or roi, or remove it"
        )
        if every:
            raise InputError(line)
        print(f"opendactyl: {line}", file=sys.stderr)


def camera_fault(camera: Camera, corners: ArrayLike) -> str:
    """How a camera fails to show the volume with the given corners (8, 3); empty if it does."""
    corners = np.asarray(corners, dtype=np.float64)
    position = invert_pose(camera.cam_from_hand)[:3, 3]
    if np.all((position > corners[0]) & (position < corners[-1])):
        return "the camera is inside of it"
    view = volume_view(camera, corners)
    if view.visibility == "none":
        return "not at all"
    pixels = 1000 * view.pixels_per_mm * float(np.linalg.norm(corners[-1] - corners[0]))
    if pixels < LEAST_SIZE * max(camera.width, camera.height):
        distance = np.linalg.norm(position - corners.mean(axis=0))
        return f"{pixels:.2g} pixels wide, at a distance of {distance:.3g} m"
    return ""


def likely_mistake(camera: Camera, corners: ArrayLike) -> str:
    """The mistake in a camera's pose without which it would see the volume; empty if none would.

    Args:
        camera: a camera that does not rightly see the volume.
        corners: corners (8, 3) of the volume in the hand frame, in the order of `box_corners`.
    """
    pose = invert_pose(camera.cam_from_hand)
    position, rotation = pose[:3, 3], pose[:3, :3]
    w, x, y, z = matrix_to_quat(rotation)
    turned = {text: pose_matrix(position, matrix_to_quat(rotation @ axes))
              for text, axes in _OTHER_AXES.items()}  # fmt: skip
    meant = {
        "its quaternion were x, y, z, w": pose_matrix(position, [z, w, x, y]),
        "its pose were cam_from_hand": camera.cam_from_hand,
        **turned,
        "its position were not divided by 1000": pose_matrix(1000 * position, [w, x, y, z]),
    }
    if np.linalg.norm(position) > _FAR:
        meant = {"its position were in millimetres": pose_matrix(position / 1000, [w, x, y, z])}
    seen = {
        text: volume_view(moved, corners).visibility
        for text, pose in meant.items()
        if not camera_fault(moved := replace(camera, cam_from_hand=invert_pose(pose)), corners)
    }
    for visibility in ("all", "part"):
        for text in (text for text, value in seen.items() if value == visibility):
            return text
    return ""
