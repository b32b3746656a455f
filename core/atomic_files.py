"""Writes that are complete or absent, and checksums.

Every write goes to a temporary name in the target's folder, is flushed to disk and then renamed,
so that no reader or resumed run finds an incomplete file.
"""

import codecs
import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from opendactyl.core.errors import InputError, file_error, file_errors

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@contextmanager
def open_atomic(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a temporary file that is renamed to `path` when the block ends without an error.

    Missing parent folders are created. The permissions follow the umask, as those of `open` do.
    Other errors of the block, an `OSError` among them, pass unchanged.

    Raises:
        InputError: the folder cannot be written to.
        EnvironmentFailure: the disk is full or failed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            raw = _RawFile(temporary, path)
        with io.BufferedWriter(raw) as file:
            yield file
            file.flush()
            with _writing(path):
                os.fsync(file.fileno())
        with _writing(path):
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _writing(path: Path) -> contextlib.AbstractContextManager[None]:
    return file_errors(f"cannot write {path}", "name a folder that is writable")


class _RawFile(io.FileIO):
    """A new file that reports a failed write as one of `path`, which it is renamed to."""

    def __init__(self, temporary: Path, path: Path) -> None:
        super().__init__(temporary, "x")
        self._path = path

    def write(self, data: "ReadableBuffer", /) -> int:
        with _writing(self._path):
            return super().write(data)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes `data` to `path` atomically (see `open_atomic`)."""
    with open_atomic(path) as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as sorted, indented JSON to `path` atomically; refuses NaN and infinity."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def replace_folder(folder: Path, out: Path) -> None:
    """Renames a finished folder to `out` beside it; replaces a folder of that name."""
    if not out.exists():
        os.replace(folder, out)
        return
    aside = Path(tempfile.mkdtemp(prefix=".replaced-", dir=out.parent))
    os.replace(out, aside)
    try:
        os.replace(folder, out)
    except BaseException:
        os.replace(aside, out)
        raise
    shutil.rmtree(aside)


def read_json(path: str | Path) -> Any:
    """Reads a JSON file; NaN and infinity, which are not JSON, are refused.

    Raises:
        InputError: the file is missing, not permitted or not JSON.
        EnvironmentFailure: the disk failed.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except OSError as error:
        raise file_error(f"cannot read {path}", error) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); make it again") from error


def refuse_constant(name: str) -> float:
    """For `json.loads(parse_constant=…)`: raises a `ValueError` for NaN and infinity."""
    raise ValueError(f"{name} is not a number")


def sha256(path: str | Path) -> str:
    """The SHA-256 checksum of a file, in hexadecimal.

    Raises:
        InputError: the file is missing or not permitted.
        EnvironmentFailure: the disk failed.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise file_error(f"cannot read {path}", error) from error


def json_hash(value: Any) -> str:
    """The SHA-256 checksum of a value's canonical JSON: equal for equal content."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_toml(content: bytes) -> dict[str, Any]:
    """Parses a TOML file.

    Raises:
        ValueError: it is not valid TOML.
    """
    if content.startswith(codecs.BOM_UTF8):
        raise ValueError("it begins with a byte order mark (BOM); save it as UTF-8 without BOM")
    try:
        return tomllib.loads(content.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
