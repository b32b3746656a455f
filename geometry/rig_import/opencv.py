"""OpenCV's FileStorage (YAML or JSON), and JSON with the same keys: one camera a file."""

from typing import Any

from opendactyl.core.errors import InputError
from opendactyl.geometry.distortion import BROWN_CONRADY, KANNALA_BRANDT
from opendactyl.geometry.rig_import.calibration import (
    Calibration,
    Document,
    FoundCamera,
    field,
    image_size,
    inverse,
    lens,
    matrix_pose,
    resolution,
    rigid,
)
from opendactyl.geometry.rotation import Array, quat_to_matrix, rotvec_to_quat

INTRINSICS = ("camera_matrix", "cameraMatrix", "camera_intrinsics", "mtx", "K")
DISTORTION = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "dist", "D")
CAM_FROM_WORLD = ("tf_world_to_camera", "world_to_camera", "cam_from_world", "T_cam_world")
WORLD_FROM_CAM = ("tf_camera_to_world", "camera_to_world", "world_from_cam", "T_world_cam")


def recognises(document: Document) -> bool:
    """Whether a document is a calibration of this format."""
    content = document.content
    return (
        isinstance(content, dict)
        and any(key in content for key in INTRINSICS)
        and not {"distortion_model", "projection_matrix"} & content.keys()
    )


def read(documents: list[Document]) -> Calibration:
    """Reads the cameras.

    Raises:
        InputError: a key is missing, or its value has another form.
    """
    return Calibration(
        cameras=tuple(_camera(document) for document in documents),
        directions="tf_world_to_camera, cam_from_world and rvec with tvec map the world to the "
        "camera (cam_from_world); tf_camera_to_world and world_from_cam the other way",
        world="the frame of the files' poses, usually a calibration board",
    )


def _camera(document: Document) -> FoundCamera:
    content, where = document.content, str(document.path)
    fisheye = content.get("fisheye_model") in (1, True, "1")
    coefficients = next((content[key] for key in DISTORTION if key in content), None)
    return FoundCamera(
        name=str(content.get("camera_name", document.path.stem)),
        where=where,
        size=_size(content, where),
        K=field(content, INTRINSICS, (3, 3), where),
        cam_from_world=_pose(content, where),
        distortion=lens(
            KANNALA_BRANDT if fisheye else BROWN_CONRADY,
            coefficients,
            f"{where}: distortion_coefficients",
        ),
    )


def _size(content: dict[str, Any], where: str) -> tuple[int, int] | None:
    for key in ("image_size", "resolution"):
        if key in content:
            return resolution(field(content, (key,), (2,), where), f"{where}: {key}")
    if "image_width" not in content and "image_height" not in content:
        return None
    return image_size(content, where, (("image_width",), ("image_height",)))


def _pose(content: dict[str, Any], where: str) -> Array:
    for key in CAM_FROM_WORLD:
        if key in content:
            return matrix_pose(content[key], f"{where}: {key}")
    for key in WORLD_FROM_CAM:
        if key in content:
            return inverse(matrix_pose(content[key], f"{where}: {key}"), f"{where}: {key}")
    if "rvec" in content and "tvec" in content:
        rotation = quat_to_matrix(rotvec_to_quat(field(content, ("rvec",), (3,), where)))
        return rigid(rotation, field(content, ("tvec",), (3,), where))
    raise InputError(
        f"{where} has no pose of the camera; add tf_world_to_camera (4×4, world to camera), "
        "tf_camera_to_world, or rvec and tvec of cv2.solvePnP"
    )
