"""COLMAP's text model: `cameras.txt` and `images.txt`; every image becomes a camera."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from opendactyl.core.errors import InputError
from opendactyl.geometry.distortion import BROWN_CONRADY, KANNALA_BRANDT
from opendactyl.geometry.rig_import.calibration import (
    MAX_CAMERAS,
    Calibration,
    Document,
    FoundCamera,
    intrinsics,
    lens,
    numbers,
    quaternion_pose,
    resolution,
)

MODELS = {
    "SIMPLE_PINHOLE": (3, "none"), "PINHOLE": (4, "none"),
    "SIMPLE_RADIAL": (4, BROWN_CONRADY), "RADIAL": (5, BROWN_CONRADY),
    "OPENCV": (8, BROWN_CONRADY), "FULL_OPENCV": (12, BROWN_CONRADY),
    "SIMPLE_RADIAL_FISHEYE": (4, KANNALA_BRANDT), "RADIAL_FISHEYE": (5, KANNALA_BRANDT),
    "OPENCV_FISHEYE": (8, KANNALA_BRANDT),
}  # fmt: skip
"""Number of parameters and distortion of the supported camera models."""


def recognises(document: Document) -> bool:
    """Whether a document is a part of such a model."""
    return document.path.name in ("cameras.txt", "images.txt") or (
        isinstance(document.content, str)
        and re.search(r"^#.*(CAMERA_ID, MODEL|IMAGE_ID, QW)", document.content, re.M) is not None
    )


def read(documents: list[Document]) -> Calibration:
    """Reads the cameras.

    Raises:
        InputError: a file or a camera is missing, a line is not valid, or a lens not supported.
    """
    texts = [document for document in documents if isinstance(document.content, str)]
    images = [d for d in texts if "images" in d.path.name or "IMAGE_ID" in d.content]
    cameras = [d for d in texts if d not in images]
    if len(documents) != 2 or len(images) != 1 or len(cameras) != 1:
        raise InputError("a COLMAP model is two files: give cameras.txt and images.txt")
    lenses = {
        number: values
        for at, line in _lines(cameras[0])
        for number, values in [_lens(line, f"{cameras[0].path}:{at}")]
    }
    found = tuple(
        _camera(line, f"{images[0].path}:{at}", lenses) for at, line in _images(images[0])
    )
    if len(found) > MAX_CAMERAS:
        raise InputError(
            f"{images[0].path} has {len(found)} images; keep the lines of one image for each "
            f"camera of the rig, at most {MAX_CAMERAS}"
        )
    return Calibration(
        cameras=found,
        directions="poses map the world to the camera (cam_from_world); quaternions w, x, y, z",
        world="the model's frame; its scale is arbitrary unless the model was aligned",
        pixel_shift=0.0,
    )


def _images(document: Document) -> Iterator[tuple[int, str]]:
    """Line numbers and lines of images; each is followed by one of points, which may be empty.

    Raises:
        InputError: the line of points is missing.
    """
    lines = iter(_lines(document, keep_empty=True))
    for at, line in lines:
        if not line:
            continue
        yield at, line
        number, points = next(lines, (at, ""))
        if len(points.split()) % 3:
            raise InputError(
                f"{document.path}:{number} is not a line of points (X, Y, POINT3D_ID), which "
                "follows the line of each image; leave it empty, but do not remove it"
            )


def _lines(document: Document, *, keep_empty: bool = False) -> list[tuple[int, str]]:
    """Line numbers and lines without comments."""
    numbered = enumerate(document.content.splitlines(), 1)
    return [
        (number, line.strip())
        for number, line in numbered
        if not line.startswith("#") and (keep_empty or line.strip())
    ]


def _lens(line: str, where: str) -> tuple[str, tuple]:
    number, *rest = line.split()
    if not rest:
        raise InputError(f"{where} is not CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS")
    model = rest.pop(0)
    if model not in MODELS:
        raise InputError(f"{where}: camera model {model}; use one of {', '.join(MODELS)}")
    count, kind = MODELS[model]
    values = numbers(rest, (2 + count,), f"{where}: WIDTH, HEIGHT, PARAMS")
    parameters = values[2:].tolist()
    if model.startswith(("SIMPLE", "RADIAL")):
        parameters.insert(1, parameters[0])  # one focal length for both axes
    K = intrinsics(*parameters[:4])
    size = resolution(values[:2], f"{where}: WIDTH, HEIGHT")
    return number, (size, K, lens(kind, parameters[4:], where))


def _camera(line: str, where: str, lenses: dict[str, tuple]) -> FoundCamera:
    words = line.split(maxsplit=9)
    if len(words) != 10:
        raise InputError(f"{where} is not IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME")
    if words[8] not in lenses:
        raise InputError(f"{where}: cameras.txt has no camera {words[8]}")
    size, K, distortion = lenses[words[8]]
    return FoundCamera(
        name=str(PurePosixPath(words[9]).with_suffix("")),
        where=where,
        size=size,
        K=K,
        cam_from_world=quaternion_pose(words[5:8], words[1:5], where),
        distortion=distortion,
    )
