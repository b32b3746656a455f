"""The bundle that a verb uses when the user names none."""

import dataclasses
import re
from pathlib import Path
from typing import Any, TypeVar

from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.policy.interface.tasks import TASKS

T = TypeVar("T", bound=Any)

EXPORTED = Path("exports/bundle")
SHIPPED = Path(__file__).resolve().parent.parent / "pretrained"
"""The bundles and weights of the checkout."""


def find_shipped(word: str) -> str:
    """Completes a path `pretrained/…` on the command line that exists in the package only.

    So that `--bundle pretrained/spin` and `--states policy:pretrained/spin` also work outside of a
    checkout.
    """
    path = re.split("[=:]", word)[-1]
    installed = SHIPPED.parent / path
    if path.startswith(f"{SHIPPED.name}/") and not exists(Path(path)) and exists(installed):
        return word.removesuffix(path) + str(installed)
    return word


def shipped_bundle(task: str = "") -> Path | None:
    """The shipped bundle for a task, or by default for the hardest task that has one."""
    candidates = [SHIPPED / t for t in (task, *reversed(TASKS)) if t]
    return next((c for c in candidates if exists(c / "manifest.json")), None)


def shipped_weights() -> Path | None:
    """The folder of the shipped weights, from which training can continue."""
    folder = SHIPPED / "weights"
    return folder if exists(folder) else None


def default_bundle(task: str = "") -> Path | None:
    """The bundle in `exports/bundle`, otherwise the shipped one."""
    return EXPORTED if exists(EXPORTED / "manifest.json") else shipped_bundle(task)


def with_bundle(config: T, argv: list[str]) -> T:
    """Sets `bundle` of a configuration to the default, and prints it, unless the user named one.

    Raises:
        InputError: there is no bundle.
    """
    if any(word.startswith("--bundle") for word in argv):
        return config
    bundle = default_bundle(getattr(config, "task", ""))
    if bundle is None:
        raise InputError(
            "there is no bundle yet; make one with `make export`, or name one with --bundle"
        )
    print(f"using the bundle in {bundle}")
    return dataclasses.replace(config, bundle=bundle)
