"""Randomization ranges as data: dataclass fields with meaning, distribution and source; presets.

The tables in the documentation are generated from the fields.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from opendactyl.core.atomic_files import parse_toml
from opendactyl.core.errors import InputError, file_errors

T = TypeVar("T", bound=Any)


def renamed(default: T, old: str) -> T:
    """A dataclass field whose former name stays valid, as an option and as the key in files.

    Args:
        default: its default value.
        old: the former name, in snake case.
    """
    return dataclasses.field(default=default, metadata={"key": old})


def former_options(config: type) -> dict[str, str]:
    """The former options of a dataclass's renamed fields, mapped to the present ones."""
    fields = [f for f in dataclasses.fields(config) if "key" in f.metadata]
    return {_option(f.metadata["key"]): _option(f.name) for f in fields}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class ByName:
    """Values of a randomized quantity for some names, such as joints, and one for all others."""

    default: Any
    values: Mapping[str, Any]

    @property
    def every(self) -> tuple[Any, ...]:
        """All values."""
        return (self.default, *self.values.values())


def for_names(value: Any, names: Sequence[str]) -> Any:
    """A value as it is, or those of a `ByName` for some names, stacked along the last axis."""
    if not isinstance(value, ByName):
        return value
    return np.moveaxis(
        np.array([value.values.get(name, value.default) for name in names], dtype=np.float64), 0, -1
    )


def randomized(
    default: Any, what: str, distribution: str, source: str, *, names: str = "",
    optional: bool = False,
) -> Any:  # fmt: skip
    """A dataclass field that holds the range, or another parameter, of a randomized quantity.

    Args:
        default: its default value.
        what: the quantity and its unit.
        distribution: the distribution; empty for a probability or a switch.
        source: the paper or program that the range is taken from.
        names: what a file may give values for by name (`ByName`): joint, actuator, link or "".
        optional: whether settings of runs leave out the default value, as those before the field.
    """
    metadata = {"what": what, "distribution": distribution, "source": source}
    metadata |= {"names": names, "optional": optional}
    return dataclasses.field(default=default, metadata=metadata)


def documented(config: type[T]) -> type[T]:
    """Adds the meaning of each field to the docstring of its class, where `--help` finds it."""
    lines = [f"    {f.name}: {f.metadata['what']}." for f in dataclasses.fields(config)]  # pyright: ignore[reportArgumentType]
    config.__doc__ = "\n".join([str(config.__doc__), "", "Attributes:", *lines])
    return config


def check_ranges(what: str, config: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Checks that every range can be sampled.

    Args:
        what: the subject of the settings, for messages.
        config: a dataclass of fields made by `randomized`.
        limits: the smallest and largest value of fields whose limits are not 0 and infinity.

    Raises:
        InputError: a value has a different form than its default, is out of order or out of range.
    """
    for field in dataclasses.fields(config):
        value, limit = getattr(config, field.name), limits.get(field.name, (0.0, math.inf))
        if isinstance(value, ByName) and field.metadata.get("names"):
            _check_range(f"{what} {field.name}", value.default, field.default, limit)
            for name, entry in value.values.items():
                _check_range(f"{what} {field.name} of {name}", entry, field.default, limit)
        else:
            _check_range(f"{what} {field.name}", value, field.default, limit)


def _check_range(what: str, value: Any, default: Any, limit: tuple[float, float]) -> None:
    low, high = limit
    if isinstance(default, str) and isinstance(value, str):
        return
    if _alike(value, default):
        first, last = value if isinstance(value, tuple) else (value, value)
        if low <= first <= last <= high:
            return
    if isinstance(default, bool):
        raise InputError(f"{what} is {value!r}; it must be true or false")
    raise InputError(
        f"{what} is {value!r}; it must be {_form(default)} from {low:g} to {high:g}, like "
        f"{default!r}"
    )


def _alike(value: Any, default: Any) -> bool:
    """Whether a value has the form of a default: a finite number, an integer, a bool, a pair."""
    if isinstance(default, tuple):
        pair = isinstance(value, tuple) and len(value) == len(default)
        return pair and all(map(_alike, value, default))
    if isinstance(default, float):
        return type(value) in (int, float) and is_finite(value)
    return type(value) is type(default)


def is_finite(value: float) -> bool:
    """Whether a number is finite and not beyond the largest float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _form(default: Any) -> str:
    if isinstance(default, str):
        return "a text"
    if isinstance(default, tuple):
        return "two numbers in order"
    return "a whole number" if isinstance(default, int) else "a number"


def table(config: Any) -> list[tuple[str, str, str, str]]:
    """Rows (what, distribution, range, source), one for each field made by `randomized`."""
    rows = []
    for field in dataclasses.fields(config):
        about = field.metadata
        shown = _short(getattr(config, field.name))
        rows.append((about["what"], about["distribution"], shown, about["source"]))
    return rows


def markdown(configs: Mapping[str, Any]) -> str:
    """A Markdown table: a row for each field, a column for each of the configurations."""
    tables = {name: table(config) for name, config in configs.items()}
    first = next(iter(configs.values()))
    lines = [
        "| key | what | distribution | " + " | ".join(tables) + " | source |",
        "|---" * (4 + len(tables)) + "|",
    ]
    for number, field in enumerate(dataclasses.fields(first)):
        ranges = " | ".join(rows[number][2] for rows in tables.values())
        what, distribution, _, source = next(iter(tables.values()))[number]
        lines.append(f"| `{field.name}` | {what} | {distribution} | {ranges} | {source} |")
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    """The text of a bool, number or range in a table; an empty range is one number."""
    if isinstance(value, ByName):
        return f"{_short(value.default)}, or by name"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or "any"
    values = value if isinstance(value, tuple) else (value,)
    return " … ".join(dict.fromkeys(f"{number:.4g}" for number in values))


def load_preset(what: str, name: str, presets: Mapping[str, T]) -> T:
    """A preset by name, or a TOML file whose keys replace those of its `preset` (default dactyl).

    Args:
        what: the subject of the settings, for messages.
        name: the preset's name, or the path of a .toml file.
        presets: frozen dataclasses of one type, by name.

    Raises:
        InputError: no such preset or file, or the file has an unknown key or a wrong value.
        EnvironmentFailure: the disk failed.
    """
    if name in presets:
        return presets[name]
    if not name.endswith(".toml"):
        raise InputError(f"no {what} {name!r}; name a .toml file or one of {', '.join(presets)}")
    remedy = f"the keys are: preset, {', '.join(vars(presets['dactyl']))}"
    with file_errors(f"cannot read the {what} {name}", remedy):
        content = Path(name).read_bytes()
    try:
        table = parse_toml(content)
        if str(preset := table.pop("preset", "dactyl")) not in presets:
            raise InputError(f"no preset {preset!r}; the presets are {', '.join(presets)}")
        values = {k: _value(v, vars(presets[preset]).get(k)) for k, v in table.items()}
        return dataclasses.replace(presets[preset], **values)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{what} {name}: {error}; {remedy}") from error


def _value(value: Any, base: Any) -> Any:
    """A value of a file: lists as tuples, tables as `ByName` with the preset's value as default."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict):
        return value
    entries = {name: _value(entry, None) for name, entry in value.items()}
    return ByName(entries.pop("default", base), entries)


def to_toml(config: Any, preset: str) -> str:
    """The text of a file for `load_preset`, with every field.

    Args:
        config: a dataclass of fields made by `randomized`.
        preset: the preset that the file names; all of its values are overridden.
    """
    lines, tables = [f'preset = "{preset}"'], []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, ByName):
            tables += ["", f"[{field.name}]", f"default = {_toml(value.default)}"]
            tables += [f"{json.dumps(k)} = {_toml(v)}" for k, v in value.values.items()]
        else:
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    return str(list(value) if isinstance(value, tuple) else value).lower()
