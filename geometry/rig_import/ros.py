"""ROS: `camera_info` as YAML, and the static transforms that place the cameras in a world."""

from dataclasses import dataclass
from pathlib import Path
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
    quaternion_pose,
    required,
)
from opendactyl.geometry.rotation import Array

MODELS = {
    "plumb_bob": BROWN_CONRADY, "rational_polynomial": BROWN_CONRADY,
    "equidistant": KANNALA_BRANDT, "fisheye": KANNALA_BRANDT,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Transform:
    """parent_from_child."""

    parent: str
    pose: Array


def recognises(document: Document) -> bool:
    """Whether a document is a calibration or a list of transforms."""
    return any(_is_info(entry) or _is_transform(entry) for entry in _entries(document))


def read(documents: list[Document]) -> Calibration:
    """Reads the cameras.

    Raises:
        InputError: a key is missing, a lens is not supported, or a camera has no transform.
    """
    transforms: dict[str, _Transform] = {}
    infos: list[tuple[Path, dict[str, Any]]] = []
    for document in documents:
        for entry in _entries(document):
            if _is_info(entry):
                infos.append((document.path, entry))
            elif _is_transform(entry):
                _add_transform(transforms, entry, str(document.path))
            else:
                raise InputError(
                    f"{document.path} has an entry that is neither a camera_info nor a transform"
                )
    found = [_camera(path, info, transforms) for path, info in infos]
    roots = {root for _, root in found}
    if len(roots) > 1:
        raise InputError(
            f"the transforms lead to several worlds, {', '.join(sorted(roots))}; add the transform "
            "between them"
        )
    return Calibration(
        cameras=tuple(camera for camera, _ in found),
        directions="a transform maps the child frame to its parent (world_from_cam for a camera's "
        "optical frame); quaternions x, y, z, w",
        world=f"the frame {', '.join(roots)}, the root of the transforms",
        unit="m",
    )


def _entries(document: Document) -> list[Any]:
    content = document.content if isinstance(document.content, list) else [document.content]
    entries = []
    for entry in content:
        transforms = entry.get("transforms") if isinstance(entry, dict) else None
        entries += transforms if isinstance(transforms, list) else [entry]
    return entries


def _is_info(entry: Any) -> bool:
    return isinstance(entry, dict) and "distortion_model" in entry and "camera_model" not in entry


def _is_transform(entry: Any) -> bool:
    return isinstance(entry, dict) and "child_frame_id" in entry


def _add_transform(transforms: dict[str, _Transform], entry: dict[str, Any], where: str) -> None:
    child = str(entry["child_frame_id"]).lstrip("/")
    where = f"{where}: transform to {child}"
    header = entry.get("header", entry)
    parent = str(required(header, ("frame_id",), where)).lstrip("/")
    transform = required(entry, ("transform",), where)
    translation = required(transform, ("translation",), where)
    rotation = required(transform, ("rotation",), where)
    position = [required(translation, (axis,), where) for axis in "xyz"]
    quaternion = [required(rotation, (axis,), where) for axis in "wxyz"]
    if child in transforms:
        raise InputError(f"{where} occurs twice; keep one")
    transforms[child] = _Transform(parent, quaternion_pose(position, quaternion, where))


def _camera(
    path: Path, info: dict[str, Any], transforms: dict[str, _Transform]
) -> tuple[FoundCamera, str]:
    """The camera, and the frame that its transforms start from."""
    where = str(path)
    model = str(info["distortion_model"])
    if model not in MODELS:
        raise InputError(f"{where}: distortion_model {model}; use one of {', '.join(MODELS)}")
    coefficients = required(info, ("distortion_coefficients", "D", "d"), where)
    frame = str(info.get("header", {}).get("frame_id", "")).lstrip("/")
    name = str(info.get("camera_name", frame or path.stem))
    world_from_cam, root = _pose_in_root([frame, name, f"{name}_optical_frame"], transforms, where)
    camera = FoundCamera(
        name=name,
        where=where,
        size=image_size(info, where, (("image_width", "width"), ("image_height", "height"))),
        K=field(info, ("camera_matrix", "K", "k"), (3, 3), where),
        cam_from_world=inverse(world_from_cam, where),
        distortion=lens(MODELS[model], coefficients, f"{where}: distortion_coefficients"),
    )
    return camera, root


def _pose_in_root(
    frames: list[str], transforms: dict[str, _Transform], where: str
) -> tuple[Array, str]:
    """root_from_camera (4, 4) of the first frame that has a transform, and the root frame."""
    frame = next((frame for frame in frames if frame in transforms), None)
    if frame is None:
        known = ", ".join(sorted(transforms)) or "none was given"
        raise InputError(
            f"{where}: no transform to the camera's frame ({' or '.join(filter(None, frames))}); "
            f"add the static transforms as YAML, with its optical frame (given: {known})"
        )
    pose, root, passed = transforms[frame].pose, transforms[frame].parent, {frame}
    while root in transforms:
        if root in passed:
            raise InputError(f"{where}: the transforms of {root} form a circle")
        passed.add(root)
        pose, root = transforms[root].pose @ pose, transforms[root].parent
    return pose, root
