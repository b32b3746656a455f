"""Estimated poses as CSV and JSON."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.control.bundle.load import PoseBundle
from opendactyl.control.bundle.manifest import articulation_of
from opendactyl.control.runtime.reprojection import image_differences
from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.vision.estimator import Pose

CSV_FILE, JSON_FILE = "poses.csv", "poses.json"
FRAME = "object in the hand frame"
"""Frame of the poses of bundles that do not state it."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimate and how it was made."""

    label: str
    """The frame set."""
    seconds: float | None
    """Its time."""
    pose: Pose
    residuals: dict[str, float]
    """Reprojection residuals of the cameras in pixels of raw frames; empty if there are none."""
    latency_ms: float
    """Duration of the estimate, undistortion included."""


@dataclass(eq=False)
class Results:
    """The estimates of a recording."""

    estimates: list[Estimate] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    """Frame sets without an estimate: `frame` and `reason`."""

    def write(self, out: Path, bundle: PoseBundle) -> None:
        """Writes both files.

        Raises:
            InputError: the folder cannot be written to.
            EnvironmentFailure: the disk failed.
        """
        manifest, articulation = bundle.manifest, articulation_of(bundle.manifest)
        hinges = [h.name for h in articulation.hinges] if articulation else []
        content = {
            "bundle": bundle.path.name,
            "bundle_sha256": bundle.identity,
            "object": bundle.object_name or None,
            "pose": manifest.get("frames", {}).get("pose", FRAME),
            "units": "metres, radians, seconds; quaternions w, x, y, z; covariance of position, "
            "then of a rotation vector; residuals in pixels of raw frames",
            "cameras": list(bundle.rig.names),
            "poses": [_json(estimate, hinges) for estimate in self.estimates],
            "skipped": self.skipped,
        }
        write_json(out / JSON_FILE, content)
        write_text(out / CSV_FILE, _csv(self.estimates, bundle.rig.names, hinges))


def reprojection_residuals(
    bundle: PoseBundle, pose: Pose, scales: Sequence[ArrayLike]
) -> dict[str, float]:
    """Distances of a pose's keypoints from the detected ones, per camera.

    Args:
        bundle: the bundle; without keypoints in its manifest there are no residuals.
        pose: an estimate with image points.
        scales: for each camera the size (2,) of a pixel of the network's image in raw pixels.

    Returns:
        Root mean squares in raw pixels, weighted by the network's inverse variances.
    """
    residuals = {}
    pairs = zip(image_differences(bundle, pose), bundle.rig.cameras, scales, strict=False)
    for (differences, weights), camera, scale in pairs:
        pixels = differences * [camera.width, camera.height] * np.asarray(scale)
        squares = np.sum(pixels**2, axis=-1)
        residuals[camera.name] = float(np.sqrt(np.average(squares, weights=weights)))
    return residuals


def _json(estimate: Estimate, hinges: Sequence[str]) -> dict[str, Any]:
    pose = estimate.pose
    angles = {}
    if pose.hinges is not None and pose.hinge_std is not None:
        angles = {
            "hinges": dict(zip(hinges, pose.hinges.tolist(), strict=True)),
            "hinge_std": dict(zip(hinges, pose.hinge_std.tolist(), strict=True)),
        }
    return angles | {
        "frame": estimate.label,
        "seconds": estimate.seconds,
        "position": pose.position.tolist(),
        "quaternion": pose.quaternion.tolist(),
        "covariance": pose.covariance.tolist(),
        "residual_px": estimate.residuals or None,
        "latency_ms": estimate.latency_ms,
    }


def _csv(estimates: Sequence[Estimate], cameras: Sequence[str], hinges: Sequence[str]) -> str:
    residuals = cameras if any(e.residuals for e in estimates) else ()
    header = ["frame", "seconds"]
    header += [f"position_{axis}" for axis in "xyz"] + [f"quaternion_{axis}" for axis in "wxyz"]
    header += [f"covariance_{i}{j}" for i in range(6) for j in range(6)] + ["latency_ms"]
    header += [f"{kind}_{name}" for kind in ("hinge", "hinge_std") for name in hinges]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header + [f"residual_px_{name}" for name in residuals])
    for estimate in estimates:
        pose = estimate.pose
        numbers = np.concatenate([pose.position, pose.quaternion, pose.covariance.ravel()])
        row = [estimate.label, estimate.seconds, *numbers.tolist(), estimate.latency_ms]
        if pose.hinges is not None and pose.hinge_std is not None:
            angles = [*pose.hinges.tolist(), *pose.hinge_std.tolist()]
        else:
            angles = []
        writer.writerow(row + angles + [estimate.residuals.get(name) for name in residuals])
    return text.getvalue()
