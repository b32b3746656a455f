"""Raw frames of the cameras: undistorted, cropped and resized to the images of a network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.undistortion import (
    OUTSIDE,
    Undistortion,
    undistort_image,
    undistortion_map,
)

_SAME = 1e-3
"""Largest difference of two cameras that count as the same: relative, and in metres."""
_SQUARE = 0.05
"""Largest deviation of a pixel's sides from each other, where the size of raw frames is unknown."""


class RawFrames:
    """Makes the images of a network from raw frames, by one resampling map per camera."""

    def __init__(self, views: Rig, raw_rig: Rig | None = None) -> None:
        """Computes the maps.

        Args:
            views: the pinhole cameras of the network's images.
            raw_rig: the cameras of the raw frames, with their lenses. If None, raw frames show
                what `views` do, through the lenses of `views`, at any size.

        Raises:
            InputError: the images cannot be made from these frames, see `check_raw_rig`.
        """
        self._views, self.raw_rig = views, raw_rig
        self._samplers: dict[tuple[str, int, int], _Resampler] = {}
        if raw_rig is not None:
            check_raw_rig(raw_rig, views)
            for view, raw in zip(views.cameras, raw_rig.cameras, strict=True):
                self._samplers[raw.name, raw.width, raw.height] = _Resampler(raw, view)

    def cameras(self, frames: Sequence[NDArray[np.uint8]]) -> tuple[Camera, ...]:
        """The cameras of raw frames, at the frames' sizes.

        Raises:
            InputError: a frame is not of its camera.
        """
        if len(frames) != len(self._views.cameras):
            raise InputError(
                f"got {len(frames)} frames; the cameras are {', '.join(self._views.names)}"
            )
        known = (self.raw_rig or self._views).cameras
        return tuple(map(self.camera, known, frames))

    def camera(self, known: Camera, frame: NDArray[np.uint8]) -> Camera:
        """The camera of a frame at the frame's size, for a camera of the rig.

        Raises:
            InputError: the frame is not of the camera.
        """
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(
                f"camera {known.name}: the frame has type {frame.dtype} and shape {frame.shape}; "
                "frames are uint8 (H, W, 3), RGB"
            )
        height, width = frame.shape[:2]
        if (width, height) == (known.width, known.height):
            return known
        if self.raw_rig is not None:
            raise InputError(
                f"camera {known.name}: the frame has {width}×{height} pixels, its calibration is "
                f"for {known.width}×{known.height}{self._hint(known, width, height)}; give frames "
                "of that size, or a calibration of this one with --rig"
            )
        camera = known.scaled(width, height)
        if abs(camera.K[0, 0] / camera.K[1, 1] - 1) > _SQUARE:
            raise InputError(
                f"camera {known.name}: the frame has {width}×{height} pixels, in which the "
                "estimator's view would have pixels that are not square; give the calibration of "
                "the frames with --rig"
            )
        return camera

    def _hint(self, known: Camera, width: int, height: int) -> str:
        """The mistake in the wiring that would explain a frame of another size."""
        others = [c.name for c in (self.raw_rig or self._views).cameras
                  if (c.width, c.height) == (width, height)]  # fmt: skip
        if (height, width) == (known.width, known.height):
            return " (is the camera rotated by 90°?)"
        return f" (are these the frames of {' or '.join(others)}?)" if others else ""

    def images(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The network's images (V, H, W, 3) from raw frames (h, w, 3) in the rig's order, RGB.

        Raises:
            InputError: the number, the type or the size of the frames is wrong.
        """
        images = []
        cameras = self.cameras(frames)
        for raw, view, frame in zip(cameras, self._views.cameras, frames, strict=True):
            key = (raw.name, raw.width, raw.height)
            if key not in self._samplers:
                self._samplers[key] = _Resampler(raw, view)
            images.append(self._samplers[key](np.asarray(frame)))
        return np.stack(images)


def raw_frame(image: NDArray[np.uint8], view: Camera, raw: Camera) -> NDArray[np.uint8]:
    """A raw frame (h, w, 3) through the camera's lens, from an image (H, W, 3) of the view in it.

    It is black where the view does not reach.

    Args:
        image: a rendered image, for example.
        view: the pinhole camera of the image, at its size.
        raw: the camera of the raw frame.
    """
    columns, rows = np.meshgrid(np.arange(raw.width) + 0.5, np.arange(raw.height) + 0.5)
    pixels = np.stack([columns, rows], axis=-1)
    points = raw.distortion.undistort((pixels - raw.K[:2, 2]) / np.diag(raw.K)[:2])
    seen = np.nan_to_num(points * np.diag(view.K)[:2] + view.K[:2, 2], nan=OUTSIDE)
    return undistort_image(image, seen.astype(np.float32))


class _Resampler:
    """Makes a view of a camera from its raw frames.

    Shrinking averages areas, like the images of datasets. Without a lens this is Pillow's box
    filter. Otherwise frames are first reduced by a whole factor; the lens is then undone at two to
    three samples per pixel, which are averaged.
    """

    def __init__(self, raw: Camera, view: Camera) -> None:
        self._size = (view.width, view.height)
        # Of the raw image in pixels, for one pixel of the view.
        scale = np.diag(raw.K)[:2] / np.diag(view.K)[:2]
        corner, frame = raw.K[:2, 2] - view.K[:2, 2] * scale, np.array([raw.width, raw.height])
        box = np.concatenate([corner, corner + self._size * scale])
        within = np.clip(box, 0, np.tile(frame, 2))
        self._box: tuple[float, float, float, float] | None = None
        if not raw.distortion and np.allclose(box, within, rtol=0, atol=1e-3):
            left, top, right, bottom = within.tolist()
            self._box = (left, top, right, bottom)
        shrinks = scale.min() >= 1 - 1e-6
        self._filter = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        self._reduction = max(1, int(scale.min() // 2))
        columns, rows = np.ceil(scale / self._reduction - 1e-6).astype(int).clip(1).tolist()
        self._samples = (columns, rows)
        if self._box is None:
            fine = view.scaled(view.width * columns, view.height * rows)
            pixels = undistortion_map(raw, fine)
            inside = np.all((pixels >= 0) & (pixels <= frame), axis=-1, keepdims=True)
            # To the outermost pixel centres, so that the border is not blended with black.
            centres = np.clip(pixels / self._reduction, 0.5, frame / self._reduction - 0.5)
            reduced = (-(-frame // self._reduction)).tolist()
            self._undistortion = Undistortion(
                np.where(inside, centres, OUTSIDE).astype(np.float32), *reduced
            )

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.fromarray(frame)
        if self._box is not None:
            return np.asarray(image.resize(self._size, self._filter, self._box))
        reduced = np.asarray(image.reduce(self._reduction))
        fine = Image.fromarray(self._undistortion(reduced))
        return np.asarray(fine.reduce(self._samples))


def check_raw_rig(raw_rig: Rig, views: Rig) -> None:
    """Checks that a network's images can be made from the raw frames of a rig.

    The cameras must be in the same places, and their whole views or regions of interest must be
    what the network observes.

    Raises:
        InputError: they are not.
    """
    if raw_rig.names != views.names:
        raise InputError(
            f"the cameras of rig {raw_rig.name!r} are {', '.join(raw_rig.names)}; the estimator's "
            f"are {', '.join(views.names)}"
        )
    for raw, view in zip(raw_rig.cameras, views.cameras, strict=True):
        whole, region = (c.scaled(view.width, view.height).K for c in (raw, raw.region()))
        fits = [np.allclose(K, view.K, rtol=_SAME, atol=_SAME) for K in (whole, region)]
        if not any(fits) or not np.allclose(raw.cam_from_hand, view.cam_from_hand, atol=_SAME):
            raise InputError(
                f"camera {raw.name!r} of rig {raw_rig.name!r} is not where the estimator knows it, "
                "or has another view"
            )
