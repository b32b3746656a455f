"""The hand or scene of a bundle: its interface, and its files unless it is the default hand."""

from pathlib import Path
from typing import Any

from opendactyl.control.bundle.hand import hand_name
from opendactyl.control.bundle.load import MANIFEST_FILE
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.policy.export import describe_hand
from opendactyl.sim.assets.storage import is_same, store_copy, stored_name
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND, NO_HAND, HandSpec
from opendactyl.sim.scenery.reference import scenery

FRAMES_WITHOUT_HAND = {
    "world": "that of the rig, in which the scene is described; z up",
    "pose": "of the object in the world frame of the rig; covariance of position, then of a "
    "rotation vector in that frame",
}
"""Entries `frames` of a manifest where there is no hand."""


def interface_of(policy: Path) -> dict[str, Any]:
    """The entries `joints` and `hand` of a manifest, from a run of train-policy or a bundle."""
    if not exists(policy / MANIFEST_FILE):
        return describe_hand(policy)
    manifest = read_json(policy / MANIFEST_FILE)
    return {name: manifest[name] for name in ("joints", "hand") if name in manifest}


def common_hand(sources: list[Path]) -> HandSpec:
    """The hand, or the scene without one, that runs and bundles were made for.

    Raises:
        InputError: they were made for different hands.
    """
    hands = [_hand_of(source) for source in sources]
    first, *others = hands
    for source, other in zip(sources[1:], others, strict=True):
        if not is_same(first, other):
            names = [
                f"the {item.kind} {item.name}{' without a hand' * (item.kind == 'scene')}"
                for item in (first, other)
            ]
            raise InputError(
                f"{sources[0]} was made for {names[0]}, {source} for {names[1]}"
                f"{', with other files' if names[0] == names[1] else ''}; train both with the "
                "same --hand"
            )
    return first


def add_hand(manifest: dict[str, Any], hand: HandSpec, folder: Path) -> None:
    """Copies the hand's files into a bundle, and adds its name and checksums to the manifest.

    A scene is copied likewise; its frames are those of a rig without a hand.
    """
    store_copy(hand, folder)
    files = hand.checksums.identity["files"]
    if hand.kind == "scene":
        manifest |= {"hand": {"name": NO_HAND}, "scene": {"name": hand.name, "files": files}}
        frames = {k: v for k, v in manifest["frames"].items() if k != "hand"}
        manifest["frames"] = FRAMES_WITHOUT_HAND | frames | {"pose": FRAMES_WITHOUT_HAND["pose"]}
    else:
        manifest["hand"] = manifest.get("hand", {}) | {"name": hand.name, "files": files}


def _hand_of(source: Path) -> HandSpec:
    """The hand or scene of a run or bundle: a copy of its files, or the default hand."""
    scene = stored_name(source, "scene")
    if scene is not None:
        return scenery(source / "scene" / f"{scene}.toml")
    name = stored_name(source, "hand")
    if name is not None:
        return hand_spec(str(source / "hand" / f"{name}.toml"))
    if exists(source / MANIFEST_FILE):
        return hand_spec(hand_name(read_json(source / MANIFEST_FILE)))
    return hand_spec(DEFAULT_HAND)
