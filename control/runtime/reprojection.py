"""Detected keypoints against those of the estimated pose, in the images of each camera."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from opendactyl.control.bundle.load import PoseBundle
from opendactyl.control.bundle.manifest import articulation_of
from opendactyl.control.runtime.interfaces import Fault
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import pose_matrix, transform_points
from opendactyl.vision.estimator import Pose

MAX_OFFSET = 0.1
"""Largest length of the mean difference of keypoints from where they should be, in image widths;
the jitter of the training's cameras, preset `dactyl`, makes up to 0.07."""
WINDOW = 25
"""Poses over which the loop averages: 2 s at the control period of the shipped policies."""

Differences = list[tuple[Array, Array]]
"""Per camera: projected minus detected keypoints (K, 2) in image widths, and weights (K,)."""


def image_differences(bundle: PoseBundle, pose: Pose) -> Differences:
    """Compares a pose with the image points that it was estimated from.

    Returns:
        Nothing if the bundle or the estimate has no keypoints.
    """
    articulation = articulation_of(bundle.manifest)
    if articulation is None or pose.image_points is None or pose.image_points_std is None:
        return []
    keypoints = articulation.at(() if pose.hinges is None else pose.hinges)
    points = transform_points(pose_matrix(pose.position, pose.quaternion), keypoints)
    found = []
    for number, camera in enumerate(bundle.rig.cameras):
        projected = camera.project(points)[0] / [camera.width, camera.height]
        # Points behind the camera have no pixels: as far off as the image is wide.
        differences = np.nan_to_num(projected - pose.image_points[number], nan=1.0)
        found.append((differences, pose.image_points_std[number] ** -2.0))
    return found


def image_offsets(names: Sequence[str], moments: Sequence[Differences]) -> dict[str, float]:
    """Length of the mean difference over several poses, per camera.

    Random errors of the detections cancel out; those of a camera's calibration remain.

    Args:
        names: the cameras.
        moments: `image_differences` of each pose.

    Returns:
        In image widths; empty if there are no differences.
    """
    offsets = {}
    for name, views in zip(names, zip(*moments, strict=True), strict=False):
        differences, weights = (np.concatenate(values) for values in zip(*views, strict=True))
        offsets[name] = float(np.linalg.norm(np.average(differences, axis=0, weights=weights)))
    return offsets


def offset_defects(offsets: dict[str, float]) -> dict[str, str]:
    """What is wrong with cameras whose offset is beyond `MAX_OFFSET`, as predicates."""
    return {
        name: f"is not where its calibration says: keypoints are {offset:.0%} of the image off"
        for name, offset in offsets.items()
        if not offset <= MAX_OFFSET  # NaN too
    }


class ReprojectionMonitor:
    """Tests in the loop whether the cameras are where their calibration says."""

    def __init__(self, bundle: PoseBundle) -> None:
        """Takes the cameras and the object's keypoints from a bundle."""
        self._bundle = bundle
        self._moments: deque[Differences] = deque(maxlen=WINDOW)

    def restart(self) -> None:
        """Forgets the poses so far."""
        self._moments.clear()

    def update(self, pose: Pose, *, report: bool = True) -> None:
        """Takes note of an estimate, with its image points.

        Args:
            pose: the estimate.
            report: whether to raise a fault now, if there is one.

        Raises:
            Fault: the last `WINDOW` poses show a camera elsewhere; `component` is `wiring`.
        """
        self._moments.append(image_differences(self._bundle, pose))
        if not report or len(self._moments) < WINDOW:
            return
        defects = offset_defects(image_offsets(self._bundle.rig.names, self._moments))
        if defects:
            found = "; ".join(f"{name} {defect}" for name, defect in defects.items())
            raise Fault("wiring", f"{found} (`opendactyl rig check` tests the cameras)")
