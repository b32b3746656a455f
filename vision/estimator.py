"""The run-time estimator; needs the base install only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rig import Rig
from opendactyl.vision.raw_frames import RawFrames

OUTPUTS = ("position", "quaternion", "covariance")
HINGES = ("hinges", "hinge_std")
"""Further outputs of networks for an object with hinges."""
IMAGE_POINTS = ("image_points", "image_points_std")
"""Further outputs of networks that detect the object's keypoints."""
TOKENS = "tokens"
"""Further output of networks that give the features of each view."""
CAMERA_NAMES = "cameras"
"""Key of the names of the cameras, in order, in the metadata of a `pose.onnx`: a JSON list, or null
if the network takes any cameras."""
CAMERAS = ("intrinsics", "cam_from_hand")
"""Further inputs of networks that take any cameras."""


@dataclass(frozen=True, eq=False)
class Pose:
    """An estimated pose in the hand frame."""

    position: NDArray[np.float64]
    """(3,) in metres."""
    quaternion: NDArray[np.float64]
    """(4,), w >= 0."""
    covariance: NDArray[np.float64]
    """(6, 6): position in m², then rotation vector in rad²."""
    image_points: NDArray[np.float64] | None = None
    """The object's keypoints in the network's images (V, K, 2), 0 to 1 across the image, if the
    network detects them."""
    image_points_std: NDArray[np.float64] | None = None
    """Their standard deviations (V, K), per axis."""
    tokens: NDArray[np.float64] | None = None
    """Features (V, T) of each view, from which the network derives the pose, if it gives them: the
    input of policies that observe more than the pose."""
    hinges: NDArray[np.float64] | None = None
    """Angles of the object's hinges (H,) in radians, if it has any."""
    hinge_std: NDArray[np.float64] | None = None
    """Their standard deviations (H,)."""


class PoseEstimator:
    """Estimates the object's pose from the images of all cameras. Thread-safe."""

    def __init__(
        self,
        path: str | Path,
        threads: int = 0,
        *,
        cameras: Sequence[str] | None = None,
        rig: Rig | None = None,
        raw_rig: Rig | None = None,
    ) -> None:
        """Loads a `pose.onnx`.

        Args:
            path: the file.
            threads: number of threads; 0 is one per core.
            cameras: names of the cameras in the order of the images that `estimate` will be given.
            rig: the cameras of the network's images, which raw frames need, and networks that take
                any cameras.
            raw_rig: the cameras of raw frames, with their lenses; see `RawFrames`.

        Raises:
            InputError: the file is missing or not a pose estimator, the rig is not of its number of
                cameras or image size, or the cameras are others, or in another order.
            EnvironmentFailure: the disk failed.
        """
        self._session = open_session(path, threads)
        shape = _image_shape(self._session, path)
        self.cameras: dict[str, NDArray[np.float32]] = {}
        """Further inputs of a network that takes any cameras: those of `rig`."""
        if isinstance(shape[0], str):
            if rig is None:
                raise InputError(f"{path} takes any cameras; load it with their rig")
            shape[0] = len(rig.cameras)
            self.cameras = _camera_inputs(rig)
        self.shape: tuple[int, ...] = tuple(shape)
        """Views, height, width and channels of the network's images."""
        self.camera_names = _camera_names(self._session, path)
        """Names of the cameras in the order of the images; None if the file does not state them."""
        if rig is not None:
            _check_rig(rig, self.shape, path)
            _check_names(rig.names, self.camera_names or rig.names, path)
            self.camera_names = rig.names
        if cameras is not None:
            _check_names(cameras, self.camera_names, path)
        self.raw_frames = None if rig is None else RawFrames(rig, raw_rig)
        """Makes the network's images from raw frames; None without a rig."""
        found = {output.name for output in self._session.get_outputs()}
        self._estimates = OUTPUTS + (HINGES if set(HINGES) <= found else ())
        self._points = IMAGE_POINTS if set(IMAGE_POINTS) <= found else ()
        self._further = (TOKENS,) if TOKENS in found else ()

    def estimate(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Pose:
        """Estimates the pose from simultaneous images, RGB, in the rig's order.

        Args:
            images: the network's images as one array (V, H, W, 3), or, if the estimator was loaded
                with a rig, a list of raw frames (h, w, 3) of the raw rig's sizes, which are
                undistorted, cropped and resized.

        Raises:
            InputError: type, size or number of the images is wrong.
        """
        if self.raw_frames is not None and not isinstance(images, np.ndarray):
            images = self.raw_frames.images(images)
        try:
            batch = np.asarray(images)[None]
        except ValueError as error:
            raise InputError(f"the images differ in size ({error})") from error
        names = self._estimates + self._points + self._further
        values = dict(zip(names, self._run(batch, names), strict=True))
        return Pose(**{name: value[0] for name, value in values.items()})

    @property
    def image_size(self) -> int:
        """Width and height of the network's images."""
        return self.shape[1]

    @property
    def views(self) -> int:
        """Number of cameras."""
        return self.shape[0]

    @property
    def any_cameras(self) -> bool:
        """Whether the network takes cameras as inputs."""
        return bool(self.cameras)

    def estimate_batch(
        self, images: NDArray[np.uint8], rig: Rig | None = None
    ) -> tuple[NDArray[np.float64], ...]:
        """Positions (B, 3), quaternions (B, 4), covariances (B, 6, 6) of images (B, V, H, W, 3).

        With hinges, also their angles and the standard deviations of these (B, H).

        Args:
            images: images of the network's size.
            rig: their cameras, if the network takes any; None: those that it was loaded with.
        """
        return tuple(self._run(images, self._estimates, rig))

    def _run(
        self, images: NDArray[np.uint8], outputs: tuple[str, ...], rig: Rig | None = None
    ) -> list[NDArray[np.float64]]:
        cameras = self.cameras if rig is None else _camera_inputs(rig)
        views, height, width, channels = self.shape
        views = len(cameras[CAMERAS[0]]) if cameras else views
        if images.dtype != np.uint8 or images.shape[1:] != (views, height, width, channels):
            raise InputError(
                f"the images have type {images.dtype} and shape {images.shape[1:]}; this estimator "
                f"takes uint8 ({views}, {height}, {width}, {channels}): views in the rig's order, "
                "RGB"
            )
        inputs = {"images": np.ascontiguousarray(images), **cameras}
        return [np.asarray(o, dtype=np.float64) for o in self._session.run(outputs, inputs)]


def _camera_inputs(rig: Rig) -> dict[str, NDArray[np.float32]]:
    """The cameras as inputs of a network that takes any."""
    matrices = zip(CAMERAS, (rig.intrinsics, rig.extrinsics), strict=True)
    return {name: value.astype(np.float32) for name, value in matrices}


def open_session(path: str | Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Opens an exported network; 0 threads are one per core.

    Raises:
        InputError: the file is missing, or not an ONNX model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()  # onnxruntime ignores CPU quotas
    options.log_severity_level = 3
    if not exists(Path(path)):
        raise InputError(f"{path} does not exist; make it with `opendactyl export`")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"{path} is not an ONNX model ({error})") from error


def _check_rig(rig: Rig, shape: tuple[int, ...], path: str | Path) -> None:
    if any((len(rig.cameras), c.height, c.width, 3) != shape for c in rig.cameras):
        sizes = ", ".join(f"{c.name} {c.width}×{c.height}" for c in rig.cameras)
        raise InputError(
            f"{path}: the estimator takes images {shape}, the rig's cameras are {sizes}"
        )


def _camera_names(
    session: onnxruntime.InferenceSession, path: str | Path
) -> tuple[str, ...] | None:
    stated = session.get_modelmeta().custom_metadata_map.get(CAMERA_NAMES, "null")
    try:
        names = json.loads(stated)
        return None if names is None else tuple(map(str, names))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: the metadata {CAMERA_NAMES!r} is {stated!r}") from error


def _check_names(given: Sequence[str], known: Sequence[str] | None, path: str | Path) -> None:
    if known is None:
        raise InputError(
            f"{path} does not state the order of its cameras; load it with the rig of its bundle"
        )
    if tuple(given) != tuple(known):
        other = "another order of cameras" if set(given) == set(known) else "other cameras"
        raise InputError(
            f"{path} takes the images of {', '.join(known)}, in this order; given {other}: "
            f"{', '.join(given)}"
        )


def _image_shape(session: onnxruntime.InferenceSession, path: str | Path) -> list[Any]:
    """Shape of the images without the batch; the views are a string if the network takes any."""
    found = [(port.name, list(port.shape)) for port in session.get_inputs()]
    outputs = [output.name for output in session.get_outputs()]
    names = tuple(name for name, _ in found)
    if names not in (("images",), ("images", *CAMERAS)) or len(found[0][1]) != 5:
        raise InputError(f"{path} is not a pose estimator: its inputs are {found}")
    if set(OUTPUTS) - set(outputs):
        raise InputError(f"{path} is not a pose estimator: its outputs are {outputs}")
    return found[0][1][1:]
