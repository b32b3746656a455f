"""Pictures of several cameras, matched by the numbers in their names."""

import logging
import re
from collections.abc import Generator, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from opendactyl.core.errors import InputError, file_error
from opendactyl.sim.assets.pictures import UNDECODABLE, picture_error

log = logging.getLogger(__name__)

Frames = Generator[NDArray[np.uint8] | None, None, None]
"""One camera's frames in order; None for a frame that is missing or damaged."""

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Pillow's modes whose conversion to RGB keeps the brightness."""
MIN_COMMON = 0.9
"""Least ratio of the numbers of frames of two cameras that are numbered from the same first one."""
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[0-9]+\.[0-9]+|[0-9]+")
"""A number in a file name; `1305.97` is one number, a time stamp, and `cam1.0097` holds two."""
Numbers = tuple[Decimal, ...]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, in any order, without hidden files such as macOS' `._0000.png`.

    Raises:
        InputError: the folder cannot be read.
        EnvironmentFailure: the disk failed.
    """
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
        return [path for path in paths if not path.name.startswith(".")]
    except OSError as error:
        raise file_error(f"cannot read {folder}", error) from error


def match_pictures(folders: Sequence[Path]) -> list[list[Path | None]]:
    """Per camera: its pictures in the order of all numbers; None where it has none.

    Raises:
        InputError: a picture has no number, two of a camera have the same, or the numbers count
            the frames of different frame rates.
        EnvironmentFailure: the disk failed.
    """
    found = [[(_numbers(p), p) for p in sorted(pictures_in(folder))] for folder in folders]
    positions = _frame_positions([[numbers for numbers, _ in camera] for camera in found])
    cameras = [_by_numbers(camera, positions) for camera in found]
    keys = sorted(set[Numbers]().union(*cameras))
    _refuse_other_rates(folders, cameras, keys)
    return [[pictures.get(key) for key in keys] for pictures in cameras]


def _refuse_other_rates(
    folders: Sequence[Path], cameras: Sequence[dict[Numbers, Path]], keys: Sequence[Numbers]
) -> None:
    """Refuses consecutive numbers from one start to very different ends.

    Cameras of different frame rates that count their frames look like this; frames of equal
    numbers are then of different times.
    """
    counts = [len(pictures) for pictures in cameras]
    gapless = all(set(keys[:count]) == set(p) for p, count in zip(cameras, counts, strict=True))
    if gapless and min(counts) < MIN_COMMON * max(counts):
        found = ", ".join(f"{f.name} {count}" for f, count in zip(folders, counts, strict=True))
        raise InputError(
            f"the numbers of the frames do not match: {found} frames, all counted from "
            f"{keys[0][-1]}. If the frame rates differ, name the pictures by their time stamps; if "
            "a camera stopped early, remove the last pictures of the others"
        )


def _by_numbers(
    camera: Sequence[tuple[Numbers, Path]], positions: Sequence[int]
) -> dict[Numbers, Path]:
    """The pictures of a camera by the numbers at some positions in their names."""
    pictures: dict[Numbers, Path] = {}
    for numbers, path in camera:
        other = pictures.setdefault(tuple(numbers[i] for i in positions), path)
        if other != path:
            raise InputError(f"{other} and {path.name} have the same number; keep one of them")
    return pictures


def _numbers(picture: Path) -> Numbers:
    """The numbers in a picture's name."""
    found = tuple(map(Decimal, _NUMBER.findall(picture.stem)))
    if not found:
        raise InputError(
            f"{picture} has no number in its name, by which frames of the cameras are matched; "
            "name pictures 0000.png, 0001.png, …"
        )
    return found


def _frame_positions(cameras: Sequence[Sequence[Numbers]]) -> Sequence[int]:
    """Positions of the numbers in the pictures' names that identify a frame, not its camera.

    A number of the camera is constant in its pictures, and differs between cameras. If the names
    hold different counts of numbers, only the last one is used.
    """
    counts = {len(numbers) for camera in cameras for numbers in camera}
    if len(counts) > 1:
        return [-1]
    every = range(counts.pop())
    values = [[{numbers[i] for numbers in camera} for camera in cameras] for i in every]
    constant = [all(len(camera) == 1 for camera in position) for position in values]
    differs = [len(set[Decimal]().union(*position)) > 1 for position in values]
    return [i for i in every if not (constant[i] and differs[i])] or every


def play_pictures(pictures: Sequence[Path | None]) -> Frames:
    """Yields the pictures, as `read_picture` does; None for one missing or damaged.

    Raises:
        InputError: a picture has more than 8 bits per colour, which would be clipped.
    """
    for picture in pictures:
        yield None if picture is None else read_picture(picture)


def picture_size(picture: Path) -> tuple[int, int]:
    """Width and height of a picture.

    Raises:
        InputError: it is missing, or damaged.
        EnvironmentFailure: the disk failed.
    """
    try:
        with Image.open(picture) as image:
            return image.size
    except UNDECODABLE as error:
        raise picture_error(str(picture), error, "restore or remove it") from error


def read_picture(picture: Path) -> NDArray[np.uint8] | None:
    """A picture (H, W, 3), RGB, rotated as its EXIF tag says; None if it is missing or damaged.

    Raises:
        InputError: it has more than 8 bits per colour, which would be clipped.
    """
    try:
        with Image.open(picture) as image:
            if image.mode not in EIGHT_BITS:
                raise InputError(
                    f"{picture} has Pillow's mode {image.mode}, 16 bits or floats without "
                    "colours (a depth image?); frames are RGB with 8 bits per colour"
                )
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except InputError:
        raise
    except Exception:
        # Pillow raises many types for damaged files; the next picture may be intact.
        log.warning("cannot read %s", picture)
        return None
