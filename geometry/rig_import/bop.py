"""BOP's `scene_camera.json`: every image becomes a camera; `camera.json` may give the size."""

from typing import Any

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig_import.calibration import (
    MAX_CAMERAS,
    Calibration,
    Document,
    FoundCamera,
    field,
    image_size,
    rigid,
)


def recognises(document: Document) -> bool:
    """Whether a document is a calibration of this format."""
    return _is_scene(document.content) or _is_size(document.content)


def _is_scene(content: Any) -> bool:
    return isinstance(content, dict) and any(
        isinstance(value, dict) and "cam_K" in value for value in content.values()
    )


def _is_size(content: Any) -> bool:
    return isinstance(content, dict) and {"fx", "fy", "width", "height"} <= content.keys()


def _sensor(document: Document) -> str:
    """The sensor's name in `scene_camera_left.json` or `camera_left.json`; empty without one."""
    return document.path.stem.removeprefix("scene_").removeprefix("camera").strip("_")


def read(documents: list[Document]) -> Calibration:
    """Reads the cameras.

    Raises:
        InputError: a key is missing, or there are too many images.
    """
    sizes = {
        _sensor(document): image_size(document.content, str(document.path))
        for document in documents
        if _is_size(document.content)
    }
    scenes = [document for document in documents if not _is_size(document.content)]
    cameras = tuple(
        _camera(document, key, sizes.get(_sensor(document)))
        for document in scenes
        for key in sorted(document.content, key=lambda key: (len(str(key)), str(key)))
    )
    if not cameras or len(cameras) > MAX_CAMERAS:
        raise InputError(
            f"{', '.join(str(d.path) for d in scenes) or 'the BOP files'} have {len(cameras)} "
            f"images; keep one entry for each camera of the rig, 1 to {MAX_CAMERAS}"
        )
    return Calibration(
        cameras=cameras,
        directions="cam_R_w2c and cam_t_w2c map the world to the camera (cam_from_world)",
        world="the scene's world",
        unit="mm",
    )


def _camera(document: Document, key: str | int, size: tuple[int, int] | None) -> FoundCamera:
    table, where = document.content[key], f"{document.path}: image {key}"
    K = field(table, ("cam_K",), (3, 3), where)
    rotation = field(table, ("cam_R_w2c",), (3, 3), where)
    sensor = _sensor(document)
    name = sensor if len(document.content) == 1 else f"{sensor}_{key}"
    return FoundCamera(
        name=name if sensor else f"cam{key}",
        where=where,
        size=size,
        K=K,
        cam_from_world=rigid(rotation, field(table, ("cam_t_w2c",), (3,), where)),
    )
