"""The pose by sight: frames are looked at before the estimator sees them, and its answer after."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.runtime.interfaces import (
    CameraSource,
    EndOfRecording,
    Fault,
    HandReading,
    Views,
)
from opendactyl.control.runtime.validation import check_pose
from opendactyl.geometry.rotation import Array
from opendactyl.vision.estimator import Pose

CELLS = 16
"""Images are looked at for detail on a grid of so many cells a side: noise does not count."""
FLAT = 5.0
"""An image whose cells deviate by less than this, of 255, shows nothing. The least of 9,600
rendered views, preset `dactyl`, had 7."""
DARK = 16
"""A flat image that is darker than this, of 255, is called black."""
MOVED = 0.05
"""A camera that still gives the same bytes when a joint has turned by this, in radians, froze."""


@dataclass(eq=False)
class _Last:
    """When a camera's image changed last."""

    image: NDArray[np.uint8]
    joints: Array
    """How the hand stood then (24,)."""


class FrameCheck:
    """Finds frames that the estimator must not be asked about."""

    def __init__(self, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
        """Takes the cameras' names and the shape (V, H, W, 3) the estimator wants."""
        self._names = names
        self._shape = shape
        self._last: dict[str, _Last] = {}

    def restart(self) -> None:
        """Forgets the images it compares with."""
        self._last.clear()

    def check(self, views: Views, joints: Array) -> NDArray[np.uint8]:
        """The images (V, H, W, 3).

        Args:
            views: what the cameras gave.
            joints: how the hand stands (24,): a still image of a still hand is no fault.

        Raises:
            Fault: one or more cannot be used; says which and why.
        """
        if len(views) != len(self._names):
            raise Fault("camera", f"{len(views)} images came from {len(self._names)} cameras")
        wrong = [
            f"{name} {complaint}"
            for name, view in zip(self._names, views, strict=True)
            if (complaint := self._complaint(name, view, joints))
        ]
        if wrong:
            raise Fault("camera", "; ".join(wrong))
        return np.stack([np.asarray(view) for view in views])

    def _complaint(self, name: str, view: NDArray[np.uint8] | None, joints: Array) -> str:
        if view is None:
            return "gave no image"
        view = np.asarray(view)
        if view.dtype.kind == "f" and not np.isfinite(view).all():
            return "gave values that are not numbers"
        if view.dtype != np.uint8 or view.shape != self._shape[1:]:
            return f"gave {view.dtype} of shape {view.shape}, not uint8 of {self._shape[1:]}"
        cells = Image.fromarray(view).reduce(max(1, min(view.shape[:2]) // CELLS))
        if np.asarray(cells, dtype=np.float64).std(axis=(0, 1)).max() < FLAT:
            return "is black" if view.mean() < DARK else "shows one colour, as if covered"
        last = self._last.get(name)
        if last is None or not np.array_equal(last.image, view):
            self._last[name] = _Last(view.copy(), joints.copy())
            return ""
        return "is frozen" if np.abs(joints - last.joints).max() > MOVED else ""


class VisionPose:
    """The bundle's estimator on a camera source."""

    def __init__(self, bundle: Bundle, cameras: CameraSource) -> None:
        """Opens nothing; closes the cameras when it is closed."""
        self.cameras = cameras
        self.views: Views = ()
        """What the cameras gave last, usable or not."""
        self._estimator = bundle.estimator
        self._frames = FrameCheck(bundle.rig.names, bundle.estimator.shape)
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> Mapping[str, float]:
        """How long `camera` and `estimate` took last."""
        return self._seconds

    def pose(self, reading: HandReading) -> Pose:
        """The estimated pose; a `Fault` if frames or estimate cannot be used."""
        self._seconds = {}
        began = time.perf_counter()
        try:
            self.views = self.cameras.read()
            images = self._frames.check(self.views, reading.joints)
        except (EndOfRecording, Fault):
            raise
        except Exception as error:
            # Whatever a camera's driver raises, the loop must outlive it.
            raise Fault("camera", f"the cameras gave nothing ({error!r})") from error
        finally:
            seen = time.perf_counter()
            self._seconds["camera"] = seen - began
        pose = check_pose(self._estimator.estimate(images))
        self._seconds["estimate"] = time.perf_counter() - seen
        return pose

    def skip(self) -> None:
        """Does not mind: each estimate stands for itself."""
        self._seconds = {}

    def restart(self) -> None:
        """Forgets the images before: a picture of the new start is none that froze."""
        self._frames.restart()

    def close(self) -> None:
        """Closes the cameras."""
        self.cameras.close()
