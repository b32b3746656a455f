"""Actions of the verbs that describe a file: `opendactyl VERB ACTION …`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opendactyl.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


def run_action(
    verb: str, argv: list[str], usage: str, actions: Mapping[str, Callable[[list[str]], None]]
) -> None:
    """Runs the action that the first argument names, or prints the usage.

    Raises:
        InputError: there is no such action.
    """
    action, *options = argv or ["--help"]
    if action in ("-h", "--help"):
        print(usage)
    elif action in actions:
        actions[action](options)
    else:
        *others, last = (f"{verb} {name}" for name in actions)
        known = f"{', '.join(others)} or {last}" if others else last
        raise InputError(f"{verb} {action} does not exist; use {known}")


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Prints titles and texts in two columns."""
    print("\n".join(f"{title:<12}{text}" for title, text in rows))


def save_picture(picture: "Image", path: Path) -> None:
    """Writes a picture as PNG, and says where.

    Raises:
        InputError: the file cannot be written.
        EnvironmentFailure: the disk failed.
    """
    from opendactyl.core.atomic_files import open_atomic

    with open_atomic(path) as file:
        picture.save(file, "PNG")
    print(f"picture in {path}", flush=True)
