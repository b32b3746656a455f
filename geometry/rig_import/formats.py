"""The formats of calibrations, and how a file's format is recognised."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig_import import bop, colmap, kalibr, opencv, plain, ros
from opendactyl.geometry.rig_import.calibration import Calibration, Document
from opendactyl.geometry.rig_import.documents import read_document


@dataclass(frozen=True)
class Format:
    """A format of calibration files."""

    recognises: Callable[[Document], bool]
    """Whether a file has the format."""
    read: Callable[[list[Document]], Calibration]
    """Reads all files together."""
    marks: str
    """What a file is recognised by."""


FORMATS = {
    "opencv": Format(opencv.recognises, opencv.read, "camera_matrix without distortion_model"),
    "kalibr": Format(kalibr.recognises, kalibr.read, "cam0 with camera_model"),
    "ros": Format(ros.recognises, ros.read, "distortion_model, or transforms"),
    "colmap": Format(colmap.recognises, colmap.read, "cameras.txt and images.txt"),
    "bop": Format(bop.recognises, bop.read, "entries with cam_K"),
    "json": Format(plain.recognises, plain.read, "a list named cameras"),
}
"""Formats by their names on the command line."""


def read_calibration(files: list[Path], name: str | None = None) -> tuple[str, Calibration]:
    """Reads the cameras of calibration files.

    Args:
        files: the files of one rig, all of one format.
        name: a key of `FORMATS`; None recognises it.

    Returns:
        The format's name and the cameras.

    Raises:
        InputError: the format is unknown or another, or a file is not valid.
        EnvironmentFailure: the disk failed.
    """
    documents = [read_document(path) for path in files]
    recognised = [_recognise(document) for document in documents]
    if name is None:
        name = recognised[0]
    elif name not in FORMATS:
        raise InputError(f"unknown format {name!r}; use {', '.join(FORMATS)}")
    marks = "; ".join(f"{key}: {form.marks}" for key, form in FORMATS.items())
    for document, found in zip(documents, recognised, strict=True):
        if name is None:
            raise InputError(
                f"cannot recognise the format of {document.path}; the formats have ({marks}). "
                "Check the keys of the file, name its format with --format, or convert it to plain "
                "JSON"
            )
        if found not in (None, name):
            raise InputError(
                f"{document.path} is {found}, not {name}; a file of {name} has: "
                f"{FORMATS[name].marks}"
            )
    assert name is not None
    calibration = _read(name, documents)
    if not calibration.cameras:
        raise InputError(f"{documents[0].path} describes no camera")
    return name, calibration


def _read(name: str, documents: list[Document]) -> Calibration:
    try:
        return FORMATS[name].read(documents)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        files = ", ".join(str(document.path) for document in documents)
        raise InputError(
            f"{files}: an entry is missing or not what {name} prescribes ({error}); correct it"
        ) from error


def _recognise(document: Document) -> str | None:
    return next((name for name, form in FORMATS.items() if form.recognises(document)), None)
