"""Whether datasets, runs and bundles are of one hand, scene or object; copies of their files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from opendactyl.core.errors import InputError, file_errors
from opendactyl.core.optional_files import exists
from opendactyl.datasets.format.manifest import Manifest, load_manifest
from opendactyl.sim.assets.storage import KINDS, stored_identity
from opendactyl.sim.hands.spec import DEFAULT_HAND

Shown = tuple[str, dict[str, str] | None]
"""A hand or a scene in words, and the checksums of its files."""


def same_hand(a: Manifest, b: Manifest) -> bool:
    """Whether two datasets show the same hand or scene, with the same landmarks."""
    hands = [(*_shown(m), m.load_static_landmarks().tolist()) for m in (a, b)]
    return hands[0] == hands[1]


def check_together(train: Sequence[Path], val: Path) -> None:
    """Checks that datasets can be trained on together, and that another may validate them.

    Raises:
        InputError: a dataset is unfinished, they differ in rig, object or hand, or a training set
            has the seed of the validation set.
    """
    b = load_manifest(val)
    for folder in train:
        a = load_manifest(folder)
        objects = [(m.object, m.object_files) for m in (a, b)]
        if a.rig != b.rig or objects[0] != objects[1] or not same_hand(a, b):
            raise InputError(
                f"{folder} and {val} differ in rig, object or hand; "
                "make both with the same --rig, --object, --hand and --image-size"
            )
        if a.seed == b.seed:
            raise InputError(
                f"{folder} and {val} have the same seed {a.seed}: "
                "validation would use training samples; make one with another --seed"
            )


def has_object_files(path: Path, manifest: Manifest) -> bool:
    """Whether a run has the object's files of a dataset; shipped objects have none."""
    name, files = stored_identity(path, "object") or (manifest.object, None)
    return (name, files) == (manifest.object, manifest.object_files)


def check_hand(path: Path, manifest: Manifest, data: Path) -> None:
    """Checks that a run or bundle was made for the hand or scene of a dataset.

    Args:
        path: the run or the bundle.
        manifest: the dataset's manifest.
        data: the dataset, for messages.

    Raises:
        InputError: they differ.
    """
    ours, theirs = _made_for(path), _shown(manifest)
    if ours != theirs:
        other = "other files of " if ours[0] == theirs[0] else ""
        option = "--scene" if manifest.scene else "--hand"
        raise InputError(
            f"{path} was made for {ours[0]}, {data} shows {other}{theirs[0]}; render a dataset "
            f"with the {option} of its training data"
        )


def copy_described(data: Path, out: Path) -> None:
    """Copies the files that describe object, hand or scene of a dataset into the folder `out`."""
    for kind in KINDS:
        if exists(data / kind):
            with file_errors(f"cannot copy {data / kind} to {out}"):
                shutil.copytree(data / kind, out / kind, dirs_exist_ok=True)


def _shown(manifest: Manifest) -> Shown:
    scene = manifest.config.get("scene_identity")
    if scene:
        return f"the scene {manifest.config['scene']} without a hand", scene["files"]
    return f"the hand {manifest.hand_name}", manifest.hand_files


def _made_for(path: Path) -> Shown:
    scene = stored_identity(path, "scene")
    if scene is not None:
        return f"the scene {scene[0]} without a hand", scene[1]
    name, files = stored_identity(path, "hand") or (DEFAULT_HAND, None)
    return f"the hand {name}", files
