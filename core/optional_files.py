"""Files that may be absent. A file that cannot be read is an error, not an absent file."""

import json
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import refuse_constant
from opendactyl.core.errors import file_error

_ABSENT = (FileNotFoundError, NotADirectoryError)


def exists(path: Path) -> bool:
    """Whether `path` exists. `Path.exists` also returns False for what cannot be accessed.

    Raises:
        InputError: access to the path is not permitted.
        EnvironmentFailure: the disk failed.
    """
    try:
        path.stat()
    except _ABSENT:
        return False
    except OSError as error:
        raise file_error(f"cannot access {path}", error) from error
    return True


def read_optional(path: Path) -> bytes | None:
    """The content of a file, or None if the file does not exist.

    Raises:
        InputError: reading is not permitted, or `path` is a folder.
        EnvironmentFailure: the disk failed.
    """
    try:
        return path.read_bytes()
    except _ABSENT:
        return None
    except OSError as error:
        raise file_error(f"cannot read {path}", error) from error


def read_json_optional(path: Path) -> Any:
    """The content of a JSON file, or None if the file does not exist or is not valid JSON.

    Raises:
        InputError: reading is not permitted, or `path` is a folder.
        EnvironmentFailure: the disk failed.
    """
    data = read_optional(path)
    try:
        return None if data is None else parse_json(data)
    except (ValueError, RecursionError):
        return None


def parse_json(data: bytes) -> Any:
    """Parses JSON; NaN and infinity raise a `ValueError`."""
    return json.loads(data, parse_constant=refuse_constant)
