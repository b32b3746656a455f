"""Hands and scenes by their references: what surrounds the object."""

from pathlib import Path

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.descriptions import finder
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import NO_HAND, HandSpec
from opendactyl.sim.scenery.load import load_scenery
from opendactyl.sim.scenery.spec import SCENE, Scenery

_find = finder("scene", {}, load_scenery, (), "")


def scenery(path: str | Path) -> Scenery:
    """The scene of a TOML file, or an MJCF or URDF as a scene (see `docs/scenes.md`).

    Raises:
        InputError: the file cannot be used.
        EnvironmentFailure: the disk failed.
    """
    if not Path(path).is_file():
        raise InputError(f"no scene {str(path)!r}; give a TOML file, an MJCF or a URDF")
    return _find(str(path))


def reference_of(hand: str, scene: str) -> str:
    """What `surroundings` takes for the options `--hand` and `--scene`.

    Raises:
        InputError: there is a scene and a hand, or neither.
    """
    if (hand == NO_HAND) != bool(scene):
        raise InputError(
            f"--hand is {hand} and --scene is {scene or 'not given'}; a scene has no hand: give "
            f"--hand {NO_HAND} and --scene FILE, or neither"
        )
    return SCENE + scene if scene else hand


def surroundings(reference: str) -> HandSpec:
    """The hand of a name or TOML file, or the scene of `scene:FILE`.

    Raises:
        InputError: there is none, or its file cannot be used.
        EnvironmentFailure: the disk failed.
    """
    if reference.startswith(SCENE):
        return scenery(reference.removeprefix(SCENE))
    return hand_spec(reference)
