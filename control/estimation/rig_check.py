"""The check of a rig at bring-up: `opendactyl rig check`."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import PoseBundle, load_pose_bundle
from opendactyl.control.estimation.estimate import camera_scales, check_positions
from opendactyl.control.estimation.overlay import Overlay
from opendactyl.control.estimation.results import Estimate, reprojection_residuals
from opendactyl.control.estimation.sources import RecordedFrames
from opendactyl.control.runtime.reprojection import (
    image_differences,
    image_offsets,
    offset_defects,
)
from opendactyl.control.runtime.wiring import Mistake, likeliest_mistake
from opendactyl.core.atomic_files import open_atomic, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import new_folder
from opendactyl.geometry.rig import load_rig
from opendactyl.vision.estimator import Pose

LONGEST = 600
"""Largest number of frame sets of a recording that are considered."""
MOST_MISTAKES = 8
"""Largest number of simultaneous mistakes that are looked for."""
REPORT = "check.json"

Moment = list[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class RigCheckConfig:
    """Settings of `rig check`."""

    bundle: Path = Path("exports/bundle")
    """The bundle; its policy, if it has one, is not used."""
    images: tuple[Path, ...] = ()
    """Some seconds of frames, in which the object moves in the hand: a folder with CAMERA.png,
    CAMERA/0000.png … or CAMERA.mp4 for each camera of the rig, or these files."""
    out: Path = Path("runs/rig-check")
    """Folder for check.json and the overlays; earlier ones are replaced."""
    rig: str | None = None
    """Name or TOML file of the rig of the raw frames, where it is not that of the bundle."""
    moments: int = 12
    """Number of frame sets that are tested, spread over the recording."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        if not self.images:
            raise InputError("rig check needs frames of the cameras; give --images")
        if self.moments < 1:
            raise InputError(f"--moments is {self.moments}; it must be at least 1")


@dataclass(frozen=True)
class Verdict:
    """What the check found."""

    mistakes: tuple[tuple[str, float], ...]
    """Each mistake that was found, and the decrease of the entropy by its correction in nats."""
    defects: dict[str, list[str]]
    """What is wrong with each camera, as predicates."""
    offsets: dict[str, float]
    """Mean distance of the keypoints from their reprojection in image widths; empty if unknown."""
    uncertain: str
    """Why the estimates are not plausible in spite of all corrections; empty if they are."""

    @property
    def passed(self) -> bool:
        """Whether every camera is right."""
        return not (self.uncertain or any(self.defects.values()))


def check_rig(config: RigCheckConfig) -> Verdict:
    """Checks the cameras, writes report and overlays, and prints a line for each camera.

    Raises:
        InputError: a camera is wrong, or the bundle or the frames cannot be used.
        EnvironmentFailure: the disk failed.
    """
    rig = load_rig(config.rig) if config.rig else None
    bundle = load_pose_bundle(config.bundle, rig=rig)
    if rig is not None:
        check_positions(rig, bundle)
    moments, labels = _moments(config, bundle)
    verdict = find_mistakes(bundle, moments)
    out = new_folder(config.out, resume=True)
    _write(out, bundle, verdict, moments, labels)
    print("\n".join(describe(verdict, bundle.rig.names, out)))
    if not verdict.passed:
        failed = [f"{name} {' and '.join(d)}" for name, d in verdict.defects.items() if d]
        raise InputError("; ".join([*failed, *filter(None, [verdict.uncertain])]))
    return verdict


def find_mistakes(bundle: PoseBundle, moments: Sequence[Moment]) -> Verdict:
    """Finds the mistakes one after the other, each with the others before corrected.

    Args:
        bundle: the estimator and its cameras.
        moments: some frame sets of a recording, raw frames.
    """
    names, estimate = bundle.rig.names, bundle.estimator.estimate
    defects: dict[str, list[str]] = {name: [] for name in names}
    found: list[tuple[Mistake, float]] = []
    while len(found) < MOST_MISTAKES:
        mistake, gain = likeliest_mistake(moments, estimate)
        if mistake is None:
            break
        found.append((mistake, gain))
        for name, defect in mistake.defects(names).items():
            defects[name].append(defect)
        moments = [mistake.corrected(frames) for frames in moments]
    poses = [estimate(frames) for frames in moments]
    offsets = image_offsets(names, [image_differences(bundle, pose) for pose in poses])
    for name, defect in offset_defects(offsets).items():
        defects[name].append(defect)
    mistakes = tuple((mistake.describe(names), gain) for mistake, gain in found)
    return Verdict(mistakes, defects, offsets, _uncertain(bundle, poses))


def _uncertain(bundle: PoseBundle, poses: Sequence[Pose]) -> str:
    """Whether the expected error of the estimates is beyond those of the validation samples."""
    errors = bundle.manifest.get("metrics", {}).get("vision", {}).get("rotation_error_deg", {})
    traces = [np.trace(pose.covariance[3:, 3:]) for pose in poses]
    expected = math.degrees(math.sqrt(np.median(traces)))
    if not expected > errors.get("p99", math.inf):
        return ""
    return (
        f"the estimates are uncertain by {expected:.1f}°, more than 99 % of the validation samples "
        f"were off ({errors['p99']:.1f}°), and no mistake explains it: is the object in the hand, "
        "are the lenses clean and the cameras where the rig says?"
    )


def _moments(config: RigCheckConfig, bundle: PoseBundle) -> tuple[list[Moment], list[str]]:
    """Complete frame sets spread over the recording, and their labels."""
    names = bundle.rig.names
    with closing(RecordedFrames(config.images, names)) as frames:
        print("".join(f"{note}\n" for note in frames.notes), end="")
        count = min(frames.count, LONGEST)
        wanted = set(np.linspace(0, count - 1, min(count, config.moments)).round().astype(int))
        found: list[tuple[Moment, str]] = []
        due = 0
        for number, frame in zip(range(count), frames, strict=False):
            due += number in wanted
            # An incomplete set is replaced by the next complete one.
            if due and all(view is not None for view in frame.views):
                found.append(([np.asarray(view) for view in frame.views], frame.label))
                due = 0
    if not found:
        raise InputError(f"no frame of {', '.join(names)} is complete")
    moments, labels = zip(*found, strict=True)
    return list(moments), list(labels)


def describe(verdict: Verdict, names: Sequence[str], out: Path) -> list[str]:
    """Lines for the user: one for each camera, and the mistakes."""
    width = max(map(len, names)) + 2
    lines = []
    for name in names:
        defects = verdict.defects[name]
        right = "its own images, upright, unmirrored, RGB"
        offset = verdict.offsets.get(name)
        calibrated = "calibration not checked: the estimator's file gives no image points"
        if offset is not None:
            calibrated = f"keypoints {offset:.1%} of the image off"
        text = "FAILED: " + " and ".join(defects) if defects else f"ok: {right}; {calibrated}"
        lines.append(f"{name:<{width}}{text}")
    for mistake, gain in verdict.mistakes:
        lines.append(f"mistake: {mistake} (correcting it gains {gain:.1f} nats)")
    return [*lines, f"written: {out / REPORT} and overlays"]


def _write(
    out: Path, bundle: PoseBundle, verdict: Verdict, moments: Sequence[Moment], labels: list[str]
) -> None:
    """Writes the report, and the frames as they are with the poses that they yield."""
    for earlier in out.glob("overlay-*.png"):
        earlier.unlink()
    content: dict[str, Any] = {
        "bundle": bundle.path.name,
        "bundle_sha256": bundle.identity,
        "passed": verdict.passed,
        "moments": labels,
        "mistakes": [{"mistake": text, "gain_nats": gain} for text, gain in verdict.mistakes],
        "cameras": {
            name: {"defects": defects, "offset": verdict.offsets.get(name)}
            for name, defects in verdict.defects.items()
        },
        "uncertain": verdict.uncertain or None,
    }
    write_json(out / REPORT, content)
    drawing, estimator = Overlay(bundle), bundle.estimator
    assert estimator.raw_frames is not None  # as bundles are loaded with their rig
    for number, (views, label) in enumerate(zip(moments, labels, strict=True)):
        pose = estimator.estimate(views)
        cameras = estimator.raw_frames.cameras(views)
        residuals = reprojection_residuals(bundle, pose, camera_scales(cameras, bundle.rig))
        picture = drawing.draw(views, cameras, Estimate(label, None, pose, residuals, 0.0))
        with open_atomic(out / f"overlay-{number:02d}.png") as file:
            picture.save(file, "PNG")
