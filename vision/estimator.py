"""The run-time estimator; needs the base install only."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists

OUTPUTS = ("position", "quaternion", "covariance")


@dataclass(frozen=True, eq=False)
class Pose:
    """An estimated pose in the hand frame."""

    position: NDArray[np.float64]
    """(3,) in metres."""
    quaternion: NDArray[np.float64]
    """(4,), w >= 0."""
    covariance: NDArray[np.float64]
    """(6, 6): position in m², then rotation vector in rad²."""


class PoseEstimator:
    """Estimates the object's pose from the images of all cameras. Thread-safe."""

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        """Loads a `pose.onnx` to run on `threads` threads (0: one per core).

        Raises:
            InputError: the file is missing or not a pose estimator.
            EnvironmentFailure: the disk failed.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()  # onnxruntime ignores CPU quotas
        options.log_severity_level = 3
        if not exists(Path(path)):
            raise InputError(f"{path} does not exist; make it with `opendactyl export`")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise InputError(f"{path} is not an ONNX model ({error})") from error
        inputs = self._session.get_inputs()
        outputs = [o.name for o in self._session.get_outputs()]
        found = [(i.name, i.shape) for i in inputs]
        if [name for name, _ in found] != ["images"] or len(inputs[0].shape) != 5:
            raise InputError(f"{path} is not a pose estimator: its inputs are {found}")
        if set(OUTPUTS) - set(outputs):
            raise InputError(f"{path} is not a pose estimator: its outputs are {outputs}")
        self.shape: tuple[int, ...] = tuple(inputs[0].shape[1:])
        """Views, height, width and channels of the input images."""

    def estimate(self, images: NDArray[np.uint8]) -> Pose:
        """Estimates the pose from simultaneous images (V, H, W, 3), RGB, in the rig's order.

        Raises:
            InputError: type, size or number of the images is wrong.
        """
        try:
            batch = np.asarray(images)[None]
        except ValueError as error:
            raise InputError(f"the images differ in size ({error})") from error
        position, quaternion, covariance = self.estimate_batch(batch)
        return Pose(position[0], quaternion[0], covariance[0])

    @property
    def image_size(self) -> int:
        """Width and height of the input images."""
        return self.shape[1]

    @property
    def views(self) -> int:
        """Number of cameras."""
        return self.shape[0]

    def estimate_batch(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Positions (B, 3), quaternions (B, 4), covariances (B, 6, 6) of images (B, V, H, W, 3)."""
        if images.dtype != np.uint8 or images.shape[1:] != self.shape:
            views, height, width, channels = self.shape
            raise InputError(
                f"the images have type {images.dtype} and shape {images.shape[1:]}; this estimator "
                f"takes uint8 ({views}, {height}, {width}, {channels}): views in the rig's order, "
                "RGB"
            )
        outputs = self._session.run(OUTPUTS, {"images": np.ascontiguousarray(images)})
        position, quaternion, covariance = (np.asarray(o, dtype=np.float64) for o in outputs)
        return position, quaternion, covariance
