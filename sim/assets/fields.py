"""Typed reading of a TOML table: every wrong value is reported with its key and a remedy."""

import difflib
import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import parse_toml
from opendactyl.core.config_fields import is_finite
from opendactyl.core.errors import InputError, file_error

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
NAME_FORM = "letters, digits, _ and -, since it names files"
Triple = tuple[float, float, float]
Pose = tuple[Triple, tuple[float, float, float, float]]
"""A position in metres and a unit quaternion (w, x, y, z)."""


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The content of the file that the option `--{kind}` names.

    Raises:
        InputError: the file is missing or is not TOML.
        EnvironmentFailure: the disk failed.
    """
    try:
        return parse_toml(path.read_bytes())
    except OSError as error:
        raise file_error(f"cannot read the {kind} {path}", error, f"correct --{kind}") from error
    except ValueError as error:
        raise InputError(f"{kind} {path} is not valid TOML ({error})") from error


class Fields:
    """The keys of one table."""

    def __init__(self, table: dict[str, Any], where: str, known: Collection[str]) -> None:
        """Checks the keys.

        Args:
            table: the parsed table.
            where: the file and table, for messages.
            known: the keys that are allowed.

        Raises:
            InputError: a key is not known.
        """
        self._table, self.where = table, where
        unknown = [key for key in table if key not in known]
        if unknown:
            similar = difflib.get_close_matches(unknown[0], known, 1)
            hint = f" (did you mean {similar[0]}?)" if similar else ""
            raise self.error(f"unknown key {unknown[0]!r}{hint}; the keys are: {', '.join(known)}")

    def error(self, message: str) -> InputError:
        """An error about this table."""
        return InputError(f"{self.where}: {message}")

    def wrong(self, key: str, form: str) -> InputError:
        """An error about a value, which should have another form."""
        if key not in self._table:
            return self.error(f"{key} is missing; it must be {form}")
        return self.error(f"{key} is {self._table[key]!r}; it must be {form}")

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def get(self, key: str) -> Any:
        """The raw value, or None."""
        return self._table.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self._table.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text")
        return value

    def choice(self, key: str, options: Collection[str], default: str | None = None) -> str:
        """One of a set of strings."""
        value = self._table.get(key, default)
        if not isinstance(value, str) or value not in options:
            raise self.wrong(key, f"one of {', '.join(options)}")
        return str(value)

    def positive(self, key: str, default: float | None = None) -> float:
        """A positive number."""
        value = self._table.get(key, default)
        if not _is_number(value) or value <= 0:
            raise self.wrong(key, "a positive number")
        return float(value)

    def count(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number in a range."""
        value = self._table.get(key, default)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def numbers(self, key: str, length: int, form: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        value = self._table.get(key)
        if value is None or not is_vector(value, length):
            raise self.wrong(key, form)
        return tuple(map(float, value))

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._table.get(key, default)
        if not _is_number(value):
            raise self.wrong(key, "a number")
        return float(value)

    def triple(self, key: str, default: Triple | None = None) -> Triple:
        """Three numbers."""
        if key not in self._table and default is not None:
            return default
        x, y, z = self.numbers(key, 3, "three numbers")
        return x, y, z

    def not_negative(self, key: str, default: float) -> float:
        """A number that is zero or positive."""
        if self.number(key, default) < 0:
            raise self.wrong(key, "zero or a positive number")
        return self.number(key, default)

    def names(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts; without a default it has one at least, and none twice."""
        value = self._table.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise self.wrong(key, "a list of names")
        if default is None and (not value or len(set(value)) < len(value)):
            raise self.wrong(key, "a list of names, each of them once")
        return tuple(value)

    def table(self, key: str, known: Collection[str]) -> "Fields":
        """A table within this one; empty where it is absent."""
        value = self._table.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, f"a table [{key}] with {', '.join(known)}")
        return Fields(value or {}, f"{self.where}, {key}", known)

    def tables(self, key: str) -> list[dict[str, Any]]:
        """The tables [[key]]; none where they are absent."""
        value = self._table.get(key) or []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.wrong(key, f"tables [[{key}]]")
        return value

    def pose(self) -> Pose:
        """The keys `position` and `quaternion`, which need not be normalised."""
        position = self.triple("position", (0.0, 0.0, 0.0))
        if "quaternion" not in self._table:
            return position, (1.0, 0.0, 0.0, 0.0)
        form = "four numbers w, x, y, z of a rotation"
        w, x, y, z = self.numbers("quaternion", 4, form)
        norm = math.hypot(w, x, y, z)
        if norm < 1e-6:
            raise self.wrong("quaternion", form)
        return position, (w / norm, x / norm, y / norm, z / norm)

    def colour(self, key: str, default: Triple) -> Triple:
        """An sRGB colour."""
        if key not in self._table:
            return default
        form = "three numbers from 0 to 1: red, green, blue"
        r, g, b = self.numbers(key, 3, form)
        if not all(0 <= value <= 1 for value in (r, g, b)):
            raise self.wrong(key, form)
        return r, g, b


def is_vector(value: Any, length: int) -> bool:
    """Whether a value is a list of `length` finite numbers."""
    return isinstance(value, list) and len(value) == length and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and is_finite(value)
