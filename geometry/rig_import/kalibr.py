"""Kalibr's camera chain, `camchain.yaml` or `camchain-imucam.yaml`."""

import re
from typing import Any

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.geometry.distortion import BROWN_CONRADY, KANNALA_BRANDT
from opendactyl.geometry.rig_import.calibration import (
    Calibration,
    Document,
    FoundCamera,
    field,
    intrinsics,
    lens,
    matrix_pose,
    required,
    resolution,
)
from opendactyl.geometry.rotation import Array

MODELS = {"radtan": BROWN_CONRADY, "equidistant": KANNALA_BRANDT, "none": "none"}


def recognises(document: Document) -> bool:
    """Whether a document is a calibration of this format."""
    content = document.content
    return isinstance(content, dict) and any(
        isinstance(value, dict) and "camera_model" in value for value in content.values()
    )


def read(documents: list[Document]) -> Calibration:
    """Reads the cameras.

    Raises:
        InputError: there are several files, a key is missing, or a lens is not supported.
    """
    if len(documents) != 1:
        raise InputError(f"a Kalibr camera chain is one file; {len(documents)} were given")
    (document,) = documents
    keys = sorted((k for k in document.content if re.fullmatch(r"cam\d+", k)), key=_number)
    if not keys or _number(keys[0]) != 0:
        raise InputError(f"{document.path} has no cam0; a camera chain starts with it")
    has_imu = "T_cam_imu" in document.content[keys[0]]
    cameras: list[FoundCamera] = []
    for key in keys:
        previous = cameras[-1].cam_from_world if cameras else None
        cameras.append(_camera(document, key, previous, has_imu=has_imu))
    return Calibration(
        cameras=tuple(cameras),
        directions="T_cam_imu maps the IMU to the camera, T_cn_cnm1 the previous camera to the "
        "camera (both cam_from_…)",
        world="the frame of the IMU (T_cam_imu)" if has_imu else "the frame of cam0",
        unit="m",
    )


def _number(key: str) -> int:
    return int(key.removeprefix("cam"))


def _camera(document: Document, key: str, previous: Array | None, *, has_imu: bool) -> FoundCamera:
    table, where = document.content[key], f"{document.path}: {key}"
    model, kind = required(table, ("camera_model",), where), table.get("distortion_model", "none")
    if model != "pinhole" or kind not in MODELS:
        raise InputError(
            f"{where} has the camera model {model} and the distortion {kind}; calibrate again with "
            "pinhole-radtan or pinhole-equi"
        )
    return FoundCamera(
        name=key,
        where=where,
        size=resolution(field(table, ("resolution",), (2,), where), f"{where}: resolution"),
        K=intrinsics(*field(table, ("intrinsics",), (4,), where)),
        cam_from_world=_pose(table, where, previous, has_imu=has_imu),
        distortion=lens(
            MODELS[kind], table.get("distortion_coeffs"), f"{where}: distortion_coeffs"
        ),
    )


def _pose(table: dict[str, Any], where: str, previous: Array | None, *, has_imu: bool) -> Array:
    if has_imu and "T_cam_imu" in table:
        return matrix_pose(table["T_cam_imu"], f"{where}: T_cam_imu")
    if previous is None:
        return np.eye(4)
    return matrix_pose(required(table, ("T_cn_cnm1",), where), f"{where}: T_cn_cnm1") @ previous
