"""Cameras that do not show the working volume at a plausible size, and the likely mistakes."""

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array, matrix_to_quat
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


def check_volume(rig: Rig, corners: ArrayLike) -> None:
    """Checks that the cameras of a rig see at least a part of the working volume.

    A line on stderr names each camera that does not.

    Args:
        rig: the cameras.
        corners: corners (8, 3) of the volume in the hand frame, in the order of `box_corners`.

    Raises:
        InputError: no camera does.
    """
    blind = [c for c in rig.cameras if volume_view(c, corners).visibility == "none"]
    if len(blind) == len(rig.cameras):
        found = {camera.name: likely_mistake(camera, corners) for camera in blind}
        likely = "".join(f"; {name} would see it if {text}" for name, text in found.items() if text)
        raise InputError(
            f"no camera of rig {rig.name!r} ({', '.join(rig.names)}) sees {_around(corners)}"
            f"{likely}; correct the poses of the cameras, hand_from_world or the volume "
            "(`opendactyl rig show` draws them)"
        )
    for camera in blind:
        print(f"opendactyl: {_line(rig, camera, corners)}", file=sys.stderr)


def check_every_camera(rig: Rig, corners: ArrayLike) -> None:
    """Checks that each camera of a rig shows the working volume at a plausible size.

    Args:
        rig: the cameras.
        corners: as of `check_volume`: all that an object fills, not its positions only.

    Raises:
        InputError: one does not.
    """
    faulty = [camera for camera in rig.cameras if camera_fault(camera, corners)]
    if len(faulty) == len(rig.cameras):
        check_volume(rig, corners)  # which says so if none sees it
    for camera in faulty:
        raise InputError(_line(rig, camera, corners))


def _around(corners: ArrayLike) -> str:
    centre = np.round(np.asarray(corners).mean(axis=0), 3).tolist()
    return f"the working volume around {centre} m"


def _line(rig: Rig, camera: Camera, corners: ArrayLike) -> str:
    """What is wrong with a camera of a rig."""
    fault = camera_fault(camera, corners, _around(corners))
    mistake = likely_mistake(camera, corners)
    likely = f"; it would see it if {mistake}" if mistake else ""
    return (
        f"camera {camera.name!r} of rig {rig.name!r} {fault}{likely}; correct its pose or roi, or "
        "remove it"
    )


def camera_fault(camera: Camera, corners: ArrayLike, volume: str = "the working volume") -> str:
    """How a camera fails to show the volume, as a predicate; empty if it does.

    Args:
        camera: the camera.
        corners: corners (8, 3) of the volume in the hand frame, in the order of `box_corners`.
        volume: what the predicate calls the volume.
    """
    if _is_too_near(camera, corners):
        return f"is inside of {volume}"
    return _view_fault(camera, corners).format(volume)


def _is_too_near(camera: Camera, corners: ArrayLike) -> bool:
    """Whether a camera is inside of the volume, and would see it from 1000 times as far."""
    corners, pose = np.asarray(corners, dtype=np.float64), invert_pose(camera.cam_from_hand)
    inside = np.all((pose[:3, 3] > corners[0]) & (pose[:3, 3] < corners[-1]))
    pose[:3, 3] *= 1000
    return bool(inside) and not _view_fault(_moved(camera, pose), corners)


def _moved(camera: Camera, pose: Array) -> Camera:
    """The camera with another pose hand_from_cam (4, 4)."""
    return replace(camera, cam_from_hand=invert_pose(pose))


def _view_fault(camera: Camera, corners: ArrayLike) -> str:
    """What is wrong with a camera's view, as a predicate with {} for the volume."""
    corners, view = np.asarray(corners, dtype=np.float64), volume_view(camera, corners)
    if view.visibility == "none":
        return "does not see {}"
    pixels = 1000 * view.pixels_per_mm * float(np.linalg.norm(corners[-1] - corners[0]))
    side = max(camera.roi[2:]) if camera.roi else max(camera.width, camera.height)
    if not 0 < pixels < LEAST_SIZE * side:
        return ""
    position = invert_pose(camera.cam_from_hand)[:3, 3]
    distance = np.linalg.norm(position - corners.mean(axis=0))
    return f"shows {{}} {pixels:.2g} pixels wide, from {distance:.3g} m"


def likely_mistake(camera: Camera, corners: ArrayLike) -> str:
    """The mistake in a camera's pose without which it would see the volume; empty if none would.

    Args:
        camera: a camera with a `camera_fault`.
        corners: corners (8, 3) of the volume in the hand frame, in the order of `box_corners`.
    """
    if _is_too_near(camera, corners):
        return "its position were not divided by 1000"
    pose = invert_pose(camera.cam_from_hand)
    position, rotation = pose[:3, 3], pose[:3, :3]
    w, x, y, z = matrix_to_quat(rotation)
    other_axes = {text: pose_matrix(position, matrix_to_quat(rotation @ axes))
                  for text, axes in _OTHER_AXES.items()}  # fmt: skip
    poses = {
        "its quaternion were x, y, z, w": pose_matrix(position, [z, w, x, y]),
        "its pose were cam_from_hand": camera.cam_from_hand,
        **other_axes,
    }
    if np.linalg.norm(position) > _FAR:
        poses = {"its position were in millimetres": pose_matrix(position / 1000, [w, x, y, z])}
    cameras = {text: _moved(camera, pose) for text, pose in poses.items()}
    visible = {
        text: volume_view(moved, corners).visibility
        for text, moved in cameras.items()
        if not _view_fault(moved, corners)
    }
    for visibility in ("all", "part"):
        for text in (text for text, value in visible.items() if value == visibility):
            return text
    return ""
