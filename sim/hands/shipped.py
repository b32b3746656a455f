"""The hands: shipped ones by name, from `configs/hands`, and those of a TOML file."""

import functools
from importlib import resources
from pathlib import Path

from opendactyl.core.errors import InputError
from opendactyl.sim.hands.load import load_hand
from opendactyl.sim.hands.spec import DEFAULT_HAND, HandSpec


def _shipped() -> dict[str, HandSpec]:
    folder = Path(str(resources.files("opendactyl.configs") / "hands"))
    hands = [load_hand(path, is_shipped=True) for path in folder.glob("*.toml")]
    # The default first.
    return {hand.name: hand for hand in sorted(hands, key=lambda h: (not h.is_default, h.name))}


HANDS: dict[str, HandSpec] = _shipped()
"""The shipped hands by name."""


def hand_spec(name: str = DEFAULT_HAND) -> HandSpec:
    """A shipped hand by name, or the hand of a TOML file (see `docs/hands.md`).

    Raises:
        InputError: no such hand, or its file cannot be used.
        EnvironmentFailure: the disk failed.
    """
    if name in HANDS:
        return HANDS[name]
    path = Path(name).absolute()
    if path.suffix != ".toml" and not path.is_file():
        raise InputError(f"no hand {name!r}; give a .toml file or one of {', '.join(HANDS)}")
    try:
        stat = path.stat()
    except OSError:
        return load_hand(path)  # which reports the error
    return _loaded(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=32)
def _loaded(path: Path, modified: int, size: int) -> HandSpec:
    """The hand of a file, read once while the file does not change."""
    hand = load_hand(path)
    if hand.name == DEFAULT_HAND:
        raise InputError(
            f"hand {path}: its name, {hand.name!r}, is that of the default hand; write another "
            "name into the file"
        )
    return hand
