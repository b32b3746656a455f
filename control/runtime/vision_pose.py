"""The pose from cameras: frames are checked before the estimator runs, its output after."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.control.bundle.load import PoseBundle
from opendactyl.control.runtime.interfaces import (
    CameraSource,
    EndOfRecording,
    Fault,
    HandReading,
    TimedViews,
    Views,
)
from opendactyl.control.runtime.reprojection import ReprojectionMonitor
from opendactyl.control.runtime.validation import MAX_AGE, age_defect, check_pose
from opendactyl.control.runtime.wiring import Frames, WiringMonitor
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.vision.estimator import Pose

CELLS = 16
"""Contrast is measured on a grid of about this many cells a side, which averages noise out."""
MIN_CONTRAST = 5.0
"""Standard deviation over the cells, of 255, below which an image is rejected as blank. The
smallest of 9,600 rendered views, preset `dactyl`, was 7."""
DARK = 16
"""Mean, of 255, below which a blank image is reported as black."""
MIN_MOTION = 0.05
"""A camera that repeats an image after a joint moved by this, in radians, is reported as frozen."""


@dataclass(eq=False)
class _LastImage:
    """The last image of a camera that differed from the one before."""

    image: NDArray[np.uint8]
    joints: Array
    """Joint angles (J,) at that time."""


class FrameCheck:
    """Rejects frames that the estimator cannot use."""

    def __init__(self, names: tuple[str, ...], shapes: Sequence[tuple[int, ...]]) -> None:
        """Takes the cameras' names and the shapes (H, W, 3) of their frames."""
        self._names = names
        self._shapes = shapes
        self._last: dict[str, _LastImage] = {}

    def restart(self) -> None:
        """Clears the images that new ones are compared with."""
        self._last.clear()

    def check(self, views: Views, joints: Array) -> list[NDArray[np.uint8]]:
        """Returns the frames (H, W, 3).

        Args:
            views: one image per camera.
            joints: joint angles (J,): a camera may repeat its image while the hand is at rest.

        Raises:
            Fault: some images cannot be used; the message lists cameras and reasons.
        """
        if len(views) != len(self._names):
            raise Fault("camera", f"got {len(views)} images from {len(self._names)} cameras")
        defects = [
            f"{name} {defect}"
            for name, view, shape in zip(self._names, views, self._shapes, strict=True)
            if (defect := self._defect(name, view, shape, joints))
        ]
        if defects:
            raise Fault("camera", "; ".join(defects))
        return [np.asarray(view) for view in views]

    def _defect(
        self, name: str, view: NDArray[np.uint8] | None, shape: tuple[int, ...], joints: Array
    ) -> str:
        if view is None:
            return "gave no image"
        view = np.asarray(view)
        if view.dtype.kind == "f" and not np.isfinite(view).all():
            return "gave values that are not finite"
        if view.dtype != np.uint8 or view.shape != shape:
            return f"gave {view.dtype} of shape {view.shape}, expected uint8 {shape}"
        cells = Image.fromarray(view).reduce(max(1, min(view.shape[:2]) // CELLS))
        if np.asarray(cells, dtype=np.float64).std(axis=(0, 1)).max() < MIN_CONTRAST:
            return "is black" if view.mean() < DARK else "shows a single colour (covered?)"
        last = self._last.get(name)
        if last is None or not np.array_equal(last.image, view):
            self._last[name] = _LastImage(view.copy(), joints.copy())
            return ""
        return "is frozen" if np.abs(joints - last.joints).max() > MIN_MOTION else ""


class VisionPose:
    """Runs the bundle's estimator on a camera source."""

    def __init__(
        self,
        bundle: PoseBundle,
        cameras: CameraSource,
        *,
        raw: bool = False,
        check_wiring: bool = True,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Takes over the cameras: `close` closes them.

        Args:
            bundle: the bundle.
            cameras: the cameras.
            raw: whether they give raw frames of `bundle.raw_rig`, which the estimator undistorts,
                instead of images of the estimator's size.
            check_wiring: whether to test the wiring of the cameras, which takes a second estimate
                in some actions, see `WiringMonitor`, and their calibration, see
                `ReprojectionMonitor`.
            max_age: largest age in seconds of frames that have a capture time.
            clock: the clock of the capture times.

        Raises:
            InputError: the bundle does not state the cameras of raw frames.
        """
        if raw and bundle.raw_rig is None:
            raise InputError(
                f"{bundle.path} does not state the cameras of raw frames; export it with --rig"
            )
        self.cameras = cameras
        self._raw, self._max_age, self._clock = raw, max_age, clock
        self.views: Views = ()
        """The last images, valid or not."""
        self._estimator, self._names = bundle.estimator, bundle.rig.names
        shapes = [bundle.estimator.shape[1:]] * len(bundle.rig.names)
        if raw and bundle.raw_rig is not None:
            shapes = [(c.height, c.width, 3) for c in bundle.raw_rig.cameras]
        self._frames = FrameCheck(bundle.rig.names, shapes)
        self._seconds: dict[str, float] = {}
        self._wiring = WiringMonitor(bundle.rig.names, self._estimate) if check_wiring else None
        self._reprojection = ReprojectionMonitor(bundle)
        self._symmetry = bundle.symmetry
        self._last: Array | None = None

    @property
    def seconds(self) -> Mapping[str, float]:
        """Durations of `camera`, `estimate` and `wiring` in the last call."""
        return self._seconds

    def pose(self, reading: HandReading) -> Pose:
        """Returns the estimated pose.

        Raises:
            Fault: the frames or the estimate cannot be used.
        """
        self._seconds = {}
        began = time.perf_counter()
        try:
            self.views = self._read()
            frames = self._frames.check(self.views, reading.joints)
        except (EndOfRecording, Fault):
            raise
        except Exception as error:
            # Camera drivers may raise anything; the loop must survive it.
            raise Fault("camera", f"cannot read the cameras ({error!r})") from error
        finally:
            captured = time.perf_counter()
            self._seconds["camera"] = captured - began
        pose = self._estimate(frames)
        self._seconds["estimate"] = time.perf_counter() - captured
        self._test_wiring(frames, pose)
        check_pose(pose)
        if self._wiring is not None:
            # A mistake of the wiring moves keypoints too, and has a name of its own.
            self._reprojection.update(pose, report=not self._wiring.undecided)
        return self._continued(pose)

    def _estimate(self, frames: Frames) -> Pose:
        # A list is taken for raw frames.
        return self._estimator.estimate(list(frames) if self._raw else np.stack(frames))

    def _test_wiring(self, frames: Frames, pose: Pose) -> None:
        if self._wiring is not None:
            began = time.perf_counter()
            try:
                self._wiring.update(frames, pose)
            except Fault:
                self._reprojection.restart()
                raise
            finally:
                self._seconds["wiring"] = time.perf_counter() - began

    def _read(self) -> Views:
        """The newest images.

        Raises:
            Fault: some are too old.
        """
        read = self.cameras.read()
        if not isinstance(read, TimedViews):
            return read
        now = self._clock()
        found = [
            f"{name} {defect}"
            for name, view, captured in zip(self._names, read.views, read.times, strict=True)
            if view is not None and (defect := age_defect(captured, now, self._max_age))
        ]
        if found:
            raise Fault("camera", "; ".join(found))
        return read.views

    def _continued(self, pose: Pose) -> Pose:
        """The equivalent pose of a symmetric object that is nearest to the one before."""
        if self._last is not None and not self._symmetry.is_trivial:
            quaternion = self._symmetry.equivalent(pose.quaternion, self._last)
            # The keypoints are those of the pose before.
            pose = replace(pose, quaternion=quaternion, image_points=None, image_points_std=None)
        self._last = pose.quaternion
        return pose

    def skip(self) -> None:
        """Clears the durations; the estimator is stateless."""
        self._seconds = {}

    def restart(self) -> None:
        """Clears the last images and the last pose, and tests the wiring again."""
        self._frames.restart()
        self._last = None
        if self._wiring is not None:
            self._wiring.restart()
        self._reprojection.restart()

    def close(self) -> None:
        """Closes the cameras."""
        self.cameras.close()
