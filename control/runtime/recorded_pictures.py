"""Pictures of several cameras, matched by the numbers in their names."""

import logging
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
from PIL import Image

from opendactyl.control.runtime.recorded_videos import Frames
from opendactyl.core.errors import InputError, file_error

log = logging.getLogger(__name__)

PICTURES = (".png", ".jpg", ".jpeg")
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[0-9]+\.[0-9]+|[0-9]+")
"""A number in a file name; `1305.97` is one number, a time stamp, and `cam1.0097` holds two."""
Numbers = tuple[Decimal, ...]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, in any order.

    Raises:
        InputError: the folder cannot be read.
        EnvironmentFailure: the disk failed.
    """
    try:
        return [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    except OSError as error:
        raise file_error(f"cannot read {folder}", error) from error


def match_pictures(folders: Sequence[Path]) -> list[list[Path | None]]:
    """Per camera: its pictures in the order of all numbers; None where it has none.

    Raises:
        InputError: a picture has no number, or two of a camera have the same.
        EnvironmentFailure: the disk failed.
    """
    found = [[(_numbers(p), p) for p in sorted(pictures_in(folder))] for folder in folders]
    positions = _frame_positions([[numbers for numbers, _ in camera] for camera in found])
    cameras = [_by_numbers(camera, positions) for camera in found]
    keys = sorted(set[Numbers]().union(*cameras))
    return [[pictures.get(key) for key in keys] for pictures in cameras]


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
    """Yields the pictures; None for one that is missing or damaged."""
    for picture in pictures:
        frame = None
        if picture is not None:
            try:
                with Image.open(picture) as image:
                    frame = np.asarray(image.convert("RGB"))
            except Exception:
                # Pillow raises many types for damaged files; the next picture may be intact.
                log.warning("cannot read %s", picture)
        yield frame
