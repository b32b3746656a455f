"""Output folders of commands: created once, resumed with equal settings only."""

import dataclasses
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError, file_error
from opendactyl.core.optional_files import exists

CONFIG_NAME = "config.json"


def new_folder(out: str | Path, *, resume: bool = False) -> Path:
    """Creates the folder `out`, or accepts it when it is empty or `resume` is set.

    Raises:
        InputError: `out` is a file, cannot be created, or is not empty and `resume` is not set.
        EnvironmentFailure: the disk failed.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        empty = not any(out.iterdir())
    except OSError as error:
        raise file_error(f"cannot use the folder {out}", error, "name another") from error
    if not resume and not empty:
        raise InputError(
            f"{out} exists and is not empty; continue it with --resume, name another folder, "
            "or delete it first"
        )
    return out


def open_run(out: str | Path, config: dict[str, Any], *, resume: bool) -> Path:
    """Opens a run folder and writes `config` into it.

    Args:
        out: the folder.
        config: the resolved settings, JSON-able (see `to_plain`).
        resume: continue an existing run, which must have equal settings.

    Raises:
        InputError: the folder is not empty and `resume` is not set, or it holds other settings.
    """
    out = new_folder(out, resume=resume)
    path = out / CONFIG_NAME
    if exists(path):
        old = read_json(path)
        if not isinstance(old, dict):
            raise InputError(f"{path} contains no settings; delete it, or name another folder")
        check_same(old, config, path)
    else:
        write_json(path, config)
    return out


def check_same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    """Raises an `InputError` that names every setting in which two configurations differ."""
    differing = [
        f"{key}: {old.get(key, 'absent')!r} there, {new.get(key, 'absent')!r} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if differing:
        raise InputError(
            f"{path} was written with other settings ({'; '.join(differing)}); "
            "use the same, or another folder"
        )


def to_plain(value: Any) -> Any:
    """Converts dataclasses, paths, tuples and numpy values to JSON types.

    Fields made by `config_fields.renamed` keep their former name as key.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.metadata.get("key", f.name): to_plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist") and not isinstance(value, type):
        return value.tolist()
    return value
