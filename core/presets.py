"""Settings by the name of a preset, or from a TOML file that starts from one."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from opendactyl.core.errors import InputError

T = TypeVar("T", bound=Any)


def load_preset(what: str, name: str, presets: Mapping[str, T]) -> T:
    """A preset by name, or a TOML file whose keys replace those of its `preset` (default dactyl).

    Args:
        what: what the settings are of, for messages.
        name: the preset's name, or the path of a .toml file.
        presets: frozen dataclasses of one type, by name.

    Raises:
        InputError: no such preset or file, or the file has an unknown key or a wrong value.
    """
    if name in presets:
        return presets[name]
    if not name.endswith(".toml"):
        raise InputError(f"no {what} {name!r}; name a .toml file or one of {', '.join(presets)}")
    try:
        table = tomllib.loads(Path(name).read_text(encoding="utf-8"))
        base = presets[table.pop("preset", "dactyl")]
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return dataclasses.replace(base, **values)
    except (OSError, KeyError, TypeError, ValueError) as error:
        allowed = ", ".join(f.name for f in dataclasses.fields(presets["dactyl"]))
        raise InputError(f"{what} {name}: {error}; the keys are: preset, {allowed}") from error
