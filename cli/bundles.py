"""Which bundle a verb uses when none is named."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from opendactyl.core.errors import InputError
from opendactyl.policy.interface.tasks import TASKS

T = TypeVar("T", bound=Any)

EXPORTED = Path("exports/bundle")
SHIPPED = Path(__file__).resolve().parent.parent / "pretrained"
"""What comes with the checkout."""


def shipped_bundle(task: str = "") -> Path | None:
    """The bundle that comes with the checkout for a task, else for the hardest that has one."""
    candidates = [SHIPPED / t for t in (task, *reversed(TASKS)) if t]
    return next((c for c in candidates if (c / "manifest.json").exists()), None)


def shipped_weights() -> Path | None:
    """The folder of the weights that come with the checkout, from which training can go on."""
    folder = SHIPPED / "weights"
    return folder if folder.exists() else None


def default_bundle(task: str = "") -> Path | None:
    """The bundle that was exported here, else the one that ships."""
    return EXPORTED if (EXPORTED / "manifest.json").exists() else shipped_bundle(task)


def with_bundle(config: T, argv: list[str]) -> T:
    """The configuration with `bundle` set, if the user named none; prints which.

    Raises:
        InputError: there is none.
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
