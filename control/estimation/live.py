"""Live cameras through OpenCV."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.estimation.sources import FrameSet
from opendactyl.core.errors import InputError


class LiveFrames:
    """The frame sets of cameras, until one of them gives no more."""

    still = False
    """Whether there is a single moment."""
    count = None
    """Number of frame sets: unknown."""

    def __init__(self, devices: Sequence[str], names: Sequence[str]) -> None:
        """Opens the devices.

        Args:
            devices: numbers of devices, or paths and addresses that OpenCV opens, in the order of
                the rig.
            names: the cameras.

        Raises:
            InputError: OpenCV is not installed, the number of devices is not that of the cameras,
                or a device gives no frame.
        """
        # OpenCV prints a warning for every device that it cannot open.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        try:
            import cv2
        except ModuleNotFoundError as error:
            raise InputError("--live needs OpenCV: pip install opencv-python-headless") from error
        if len(devices) != len(names):
            raise InputError(
                f"--live names {len(devices)} devices; the rig has the cameras {', '.join(names)}, "
                "in this order"
            )
        self.notes: list[str] = []
        """What the user should know about the cameras, in lines."""
        self._names, self._devices = names, devices
        self._captures: list[Any] = []
        try:
            for device in devices:
                capture = cv2.VideoCapture(int(device) if device.isdigit() else device)
                self._captures.append(capture)
            self._first = self._read()
            for name, device, view in zip(names, devices, self._first, strict=True):
                if view is None:
                    raise InputError(
                        f"camera {name}: the device {device} gives no frame; check its number and "
                        "whether another program uses it"
                    )
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[FrameSet]:
        """Yields frame sets until a device gives no frame, which is noted."""
        began, views, number = time.monotonic(), self._first, 0
        while True:
            for name, device, view in zip(self._names, self._devices, views, strict=True):
                if view is None:
                    self.notes.append(
                        f"stopped after {number} frames: the device {device} of camera {name} "
                        "gives no more"
                    )
                    return
            yield FrameSet(str(number), time.monotonic() - began, views)
            number += 1
            views = self._read()

    def _read(self) -> list[NDArray[np.uint8] | None]:
        # All devices grab first: decoding takes longer, and would separate the moments.
        grabbed = [capture.grab() for capture in self._captures]
        return [
            _rgb(capture) if ok else None
            for capture, ok in zip(self._captures, grabbed, strict=True)
        ]

    def close(self) -> None:
        """Closes the devices."""
        for capture in self._captures:
            capture.release()


def _rgb(capture: Any) -> NDArray[np.uint8] | None:
    """OpenCV's images are BGR."""
    ok, image = capture.retrieve()
    if not ok or image is None or image.ndim != 3:
        return None
    return np.ascontiguousarray(image[:, :, ::-1])
