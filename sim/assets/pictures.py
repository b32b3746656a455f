"""Errors of picture files: missing, of another kind, damaged, or too large for Pillow."""

import struct
import zlib

from PIL import Image

from opendactyl.core.errors import InputError, OpenDactylError, file_error

UNDECODABLE = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow raises for bytes that are not a picture."""


def picture_error(what: str, error: Exception, remedy: str) -> OpenDactylError:
    """The error to raise for a picture that cannot be opened or decoded.

    Args:
        what: the picture, with its path.
        error: one of `UNDECODABLE`.
        remedy: how the user can correct it.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return file_error(f"cannot read {what}", error, remedy)
    return InputError(f"{what} is not a picture that can be used ({error}); {remedy}")
