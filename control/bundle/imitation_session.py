"""The exported imitation network on onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import IMITATION_FILE, MANIFEST_FILE, PoseBundle
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rotation import Array, quat_to_matrix
from opendactyl.policy.interface.keyframes import (
    DROPOUT,
    FRAME_PERIOD,
    KEYFRAME_SIZE,
    MAX_KEYFRAMES,
    MAX_WAYPOINTS,
    WAYPOINT_SIZE,
    encode_waypoints,
)
from opendactyl.vision.estimator import open_session

CONTRACT: dict[str, Any] = {
    "inputs": {
        "demonstration": ["batch", MAX_KEYFRAMES, KEYFRAME_SIZE],
        "present": ["batch", 3, 3],
        "waypoints": ["batch", MAX_WAYPOINTS, WAYPOINT_SIZE],
    },
    "outputs": {"goal": ["batch", 4], "done": ["batch"]},
    "demonstration": "keyframes after temporal dropout: rotation matrix in rows (9), rotation in "
    "the 0.4 s before and after in radians (2), frames / 20 for which the object stays within 0.4 "
    "rad before and after, at most 3 (2), frames since the last keyframe / 20, valid",
    "waypoints": "orientations at which goals were reached, the latest first, the start last: "
    "rotation matrix in rows (9), valid",
    "goal": "orientation in the hand frame, quaternion w, x, y, z",
    "done": "probability that nothing is left to do",
    "frame_period_s": FRAME_PERIOD,
    "dropout": DROPOUT,
}
"""Entry of the manifest, with the number of actions that the network knows and its training."""


class ImitationSession:
    """Runs an exported imitation network."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Loads an `imitation.onnx`.

        Args:
            path: the file.
            threads: number of threads; 0 is one per core.

        Raises:
            InputError: the file is not an ONNX model with the inputs of `CONTRACT`.
        """
        self._session = open_session(path, threads)
        shapes = {port.name: port.shape[1:] for port in self._session.get_inputs()}
        expected = {name: shape[1:] for name, shape in CONTRACT["inputs"].items()}
        if shapes != expected:
            raise InputError(
                f"{path} has the inputs {shapes} and not {expected}; export the network again"
            )

    def next(
        self, demonstrations: Array, present: Array, waypoints: Array
    ) -> tuple[Array, NDArray[np.float64]]:
        """The next goals after several copies of one demonstration.

        Args:
            demonstrations: keyframes (C, N, KEYFRAME_SIZE) of each copy.
            present: the present orientation (4,).
            waypoints: orientations (K, 4) so far, the start first.

        Returns:
            Goals (C, 4) in the hand frame, and probabilities (C,) that nothing is left to do.
        """
        copies = len(demonstrations)
        queries = {
            "present": quat_to_matrix(present),
            "waypoints": encode_waypoints(waypoints),
        }
        feeds = {
            name: np.repeat(value[None], copies, axis=0).astype(np.float32)
            for name, value in queries.items()
        }
        feeds["demonstration"] = demonstrations.astype(np.float32)
        goal, done = (np.asarray(v, float) for v in self._session.run(["goal", "done"], feeds))
        return goal, done


def load_imitation(bundle: PoseBundle, threads: int = 0) -> ImitationSession:
    """Loads the imitation network of a bundle.

    Raises:
        InputError: the bundle has none, one of another contract, or the file was changed.
        EnvironmentFailure: the disk failed.
    """
    path = bundle.path / IMITATION_FILE
    if "imitation" not in bundle.manifest or not exists(path):
        raise InputError(
            f"{bundle.path} holds no {IMITATION_FILE}; train one with `opendactyl train-imitation` "
            "and add it with `opendactyl export --imitation RUN`"
        )
    stated = bundle.manifest["imitation"]
    other = {key: stated.get(key) for key in CONTRACT if stated.get(key) != CONTRACT[key]}
    if other:
        raise InputError(
            f"{bundle.path / MANIFEST_FILE} states {other} of {IMITATION_FILE}, and here it is "
            f"{ {key: CONTRACT[key] for key in other} }; train and export the network again"
        )
    if IMITATION_FILE not in bundle.manifest["sha256"]:
        raise InputError(
            f"{bundle.path / MANIFEST_FILE} has no checksum of {IMITATION_FILE}; export it again"
        )
    return ImitationSession(path, threads)
