"""Randomization ranges as data: dataclass fields with meaning, distribution and source; presets.

The tables in the documentation are generated from the fields.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

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


def randomized(default: Any, what: str, distribution: str, source: str) -> Any:
    """A dataclass field that holds the range, or another parameter, of a randomized quantity.

    Args:
        default: its default value.
        what: the quantity and its unit.
        distribution: the distribution; empty for a probability or a switch.
        source: the paper or program that the range is taken from.
    """
    metadata = {"what": what, "distribution": distribution, "source": source}
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
        value = getattr(config, field.name)
        low, high = limits.get(field.name, (0.0, math.inf))
        if _alike(value, field.default):
            first, last = value if isinstance(value, tuple) else (value, value)
            if low <= first <= last <= high:
                continue
        if isinstance(field.default, bool):
            raise InputError(f"{what} {field.name} is {value!r}; it must be true or false")
        raise InputError(
            f"{what} {field.name} is {value!r}; it must be {_form(field.default)} from {low:g} "
            f"to {high:g}, like {field.default!r}"
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
    if isinstance(value, bool):
        return "yes" if value else "no"
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
    keys = ", ".join(f.name for f in dataclasses.fields(presets["dactyl"]))
    remedy = f"the keys are: preset, {keys}"
    with file_errors(f"cannot read the {what} {name}", remedy):
        content = Path(name).read_bytes()
    try:
        table = tomllib.loads(content.decode())
        base = presets[table.pop("preset", "dactyl")]
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return dataclasses.replace(base, **values)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{what} {name}: {error}; {remedy}") from error


def to_toml(config: Any, preset: str) -> str:
    """The text of a file for `load_preset`, with every field.

    Args:
        config: a dataclass of fields made by `randomized`.
        preset: the preset that the file names; all of its values are overridden.
    """
    lines = [f'preset = "{preset}"']
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        shown = list(value) if isinstance(value, tuple) else value
        lines.append(f"{field.name} = {str(shown).lower()}")
    return "\n".join(lines) + "\n"
