"""Whether datasets, runs and bundles are of the same hand."""

from pathlib import Path

from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import Manifest
from opendactyl.sim.assets.storage import stored_identity
from opendactyl.sim.hands.spec import DEFAULT_HAND


def same_hand(a: Manifest, b: Manifest) -> bool:
    """Whether two datasets show the same hand, with the same landmarks."""
    hands = [(m.hand_name, m.hand_files, m.load_static_landmarks().tolist()) for m in (a, b)]
    return hands[0] == hands[1]


def check_hand(path: Path, manifest: Manifest, data: Path) -> None:
    """Checks that a run or bundle was made for the hand of a dataset.

    Args:
        path: the run or the bundle.
        manifest: the dataset's manifest.
        data: the dataset, for messages.

    Raises:
        InputError: the hands differ.
    """
    name, files = stored_identity(path, "hand") or (DEFAULT_HAND, None)
    if (name, files) != (manifest.hand_name, manifest.hand_files):
        other = "other files of " if name == manifest.hand_name else ""
        raise InputError(
            f"{path} was made for the hand {name}, {data} shows {other}the hand "
            f"{manifest.hand_name}; render a dataset with the --hand of its training data"
        )
