"""The hands: shipped ones by name, from `configs/hands`, and those of a TOML file."""

from importlib import resources
from pathlib import Path

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.descriptions import finder
from opendactyl.sim.hands.load import load_hand
from opendactyl.sim.hands.spec import DEFAULT_HAND, NO_HAND, HandSpec


def _shipped() -> dict[str, HandSpec]:
    folder = Path(str(resources.files("opendactyl.configs") / "hands"))
    hands = [load_hand(path, is_shipped=True) for path in folder.glob("*.toml")]
    # The default first.
    return {hand.name: hand for hand in sorted(hands, key=lambda h: (not h.is_default, h.name))}


HANDS: dict[str, HandSpec] = _shipped()
"""The shipped hands by name."""
_find = finder("hand", HANDS, load_hand, (DEFAULT_HAND,), "the default hand")


def hand_spec(name: str = DEFAULT_HAND) -> HandSpec:
    """A shipped hand by name, or the hand of a TOML file (see `docs/hands.md`).

    Raises:
        InputError: no such hand, or its file cannot be used.
        EnvironmentFailure: the disk failed.
    """
    if name == NO_HAND:
        raise InputError(
            "--hand is none: only the commands of pose estimation work without a hand (dataset "
            "--hand none --scene FILE, train-vision, estimate); name a hand"
        )
    return _find(name)
