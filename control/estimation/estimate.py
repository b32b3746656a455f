"""Poses from frames of real cameras: `opendactyl estimate`."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opendactyl.control.bundle.load import PoseBundle, load_pose_bundle
from opendactyl.control.estimation.live import LiveFrames
from opendactyl.control.estimation.overlay import Overlay
from opendactyl.control.estimation.overlay_files import (
    FOLDER,
    PICTURE,
    VIDEO,
    OverlayFile,
    open_overlay,
)
from opendactyl.control.estimation.plot import PLOT_FILE, write_plot
from opendactyl.control.estimation.results import (
    CSV_FILE,
    JSON_FILE,
    Estimate,
    Results,
    reprojection_residuals,
)
from opendactyl.control.estimation.sources import FrameSet, RecordedFrames
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import Forecast, new_folder
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.camera_faults import check_volume
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.working_volume import box_corners


@dataclass(frozen=True, kw_only=True)
class EstimateConfig:
    """Settings of `estimate`."""

    bundle: Path = Path("exports/bundle")
    """The bundle; its policy, if it has one, is not used."""
    images: tuple[Path, ...] = ()
    """A folder with CAMERA.png, CAMERA/0000.png … or CAMERA.mp4 for each camera of the rig, or
    these files; other files are ignored."""
    live: tuple[str, ...] = ()
    """Devices instead, in the order of the rig: numbers, or what OpenCV opens. Ctrl-C ends it."""
    out: Path = Path("runs/estimate")
    """Folder for poses.csv, poses.json, the overlay and the plot; earlier ones are replaced."""
    rig: str | None = None
    """Name or TOML file of the rig of the raw frames, where it is not that of the bundle."""
    frames: int = 0
    """Stop after this many frames; 0 takes all."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for settings that contradict each other."""
        if bool(self.images) == bool(self.live):
            raise InputError("give either --images or --live")
        if self.frames < 0:
            raise InputError(f"--frames is {self.frames}; 0 takes all")


def estimate(config: EstimateConfig) -> Results:
    """Estimates the poses of all frames, and writes them.

    Raises:
        InputError: the bundle or the frames cannot be used, or they do not fit each other.
        EnvironmentFailure: the disk failed.
    """
    rig = load_rig(config.rig) if config.rig else None
    bundle = load_pose_bundle(config.bundle, rig=rig)
    if rig is not None:
        check_positions(rig, bundle)
    names = bundle.rig.names
    with closing(
        RecordedFrames(config.images, names) if config.images else LiveFrames(config.live, names)
    ) as frames:
        print("".join(f"{note}\n" for note in frames.notes), end="")
        printed = len(frames.notes)
        out = new_folder(config.out, resume=True)
        _remove_earlier(out)
        count = min(frames.count or config.frames, config.frames or frames.count or 0) or None
        overlay = open_overlay(out, still=frames.still or config.frames == 1)
        sets = _counted(frames, count, out)
        results = _run(bundle, sets, overlay, endless=isinstance(frames, LiveFrames))
        print("".join(f"{note}\n" for note in frames.notes[printed:]), end="")
    for skipped in results.skipped:
        print(f"no pose of frame {skipped['frame']}: {skipped['reason']}")
    if not results.estimates:
        raise InputError(f"no pose was estimated: no frame of {', '.join(names)} is complete")
    results.write(out, bundle)
    _report(results, bundle, out, overlay)
    return results


def check_positions(rig: Rig, bundle: PoseBundle) -> None:
    """Checks that a rig sees where the object was in the training data; see `check_volume`.

    Raises:
        InputError: no camera does.
    """
    priors = bundle.manifest["pose"].get("priors")
    if priors is not None:  # earlier bundles do not state them
        centre, scale = np.array(priors["centre"]), np.array(priors["scale"])
        check_volume(rig, box_corners(centre - scale, centre + scale))


def _remove_earlier(out: Path) -> None:
    for name in (CSV_FILE, JSON_FILE, PLOT_FILE, PICTURE, VIDEO):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _counted(
    frames: RecordedFrames | LiveFrames, count: int | None, out: Path
) -> Iterator[FrameSet]:
    """Yields at most `count` frame sets; shows the progress, and announces time and size."""
    forecast = None if count is None else Forecast(out, count)
    for number, frame in enumerate(frames):
        if number == count:
            return
        yield frame
        if count != 1:
            total = "" if count is None else f"/{count}"
            print(f"frame {number + 1}{total}", end="\r", file=sys.stderr, flush=True)
        if forecast is not None:
            forecast.update(number + 1)


def _run(
    bundle: PoseBundle, frames: Iterator[FrameSet], overlay: OverlayFile, *, endless: bool
) -> Results:
    """Estimates until the frames end, or, where they have no end, until Ctrl-C."""
    results, drawing, done = Results(), Overlay(bundle), False
    try:
        for frame in frames:
            missing = [
                name
                for name, view in zip(bundle.rig.names, frame.views, strict=True)
                if view is None
            ]
            if missing:
                reason = f"no frame of {', '.join(missing)} that can be read"
                results.skipped.append({"frame": frame.label, "reason": reason})
                continue
            _step(bundle, frame, results, drawing, overlay)
        done = True
    except KeyboardInterrupt:
        if not endless:
            raise
        done = True
    finally:
        overlay.close(keep=done)
    return results


def _step(
    bundle: PoseBundle, frame: FrameSet, results: Results, drawing: Overlay, overlay: OverlayFile
) -> None:
    views = [np.asarray(view) for view in frame.views]
    estimator = bundle.estimator
    assert estimator.raw_frames is not None  # as bundles are loaded with their rig
    try:
        began = time.perf_counter()
        pose = estimator.estimate(views)
        latency = (time.perf_counter() - began) * 1000
        cameras = estimator.raw_frames.cameras(views)
    except InputError as error:
        raise InputError(f"frame {frame.label}: {error}") from error
    if not all(np.isfinite(v).all() for v in (pose.position, pose.quaternion, pose.covariance)):
        results.skipped.append({"frame": frame.label, "reason": "the estimate is not finite"})
        return
    residuals = reprojection_residuals(bundle, pose, camera_scales(cameras, bundle.rig))
    results.estimates.append(Estimate(frame.label, frame.seconds, pose, residuals, latency))
    overlay.add(drawing.draw(views, cameras, results.estimates[-1]), frame.seconds)


def camera_scales(cameras: Sequence[Camera], views: Rig) -> list[Array]:
    """The size (2,) of a pixel of the network's image in raw pixels, for each camera."""
    pairs = zip(cameras, views.cameras, strict=True)
    return [np.diag(raw.K)[:2] / np.diag(view.K)[:2] for raw, view in pairs]


def _report(results: Results, bundle: PoseBundle, out: Path, overlay: OverlayFile) -> None:
    estimates = results.estimates
    first = estimates[0].pose
    spread = np.sqrt(np.diag(first.covariance).reshape(2, 3).mean(axis=1))
    position = " ".join(f"{1000 * value:.1f}" for value in first.position)
    quaternion = " ".join(f"{value:.4f}" for value in first.quaternion)
    prefix = "" if len(estimates) == 1 else f"{len(estimates)} poses; the first: "
    print(
        f"{prefix}position {position} mm (±{1000 * spread[0]:.1f} mm per axis), quaternion "
        f"{quaternion} (±{np.rad2deg(spread[1]):.1f}° per axis)"
    )
    latency = np.median([estimate.latency_ms for estimate in estimates])
    print(f"time        {latency:.0f} ms per estimate (median), undistortion included")
    if estimates[0].residuals:
        medians = {n: np.median([e.residuals[n] for e in estimates]) for n in bundle.rig.names}
        print("residuals   " + ", ".join(f"{n} {value:.1f} px" for n, value in medians.items()))
    else:
        print("residuals   none: the estimator's file gives no image points")
    written = [out / CSV_FILE, out / JSON_FILE, overlay.path]
    if len(estimates) > 1 and write_plot(out / PLOT_FILE, estimates):
        written.append(out / PLOT_FILE)
    elif len(estimates) > 1:
        print("plot        none: matplotlib is not installed")
    if overlay.path.name == FOLDER:
        print("overlay     pictures: a video needs PyAV, pip install av")
    print(f"written     {', '.join(map(str, written))}")
