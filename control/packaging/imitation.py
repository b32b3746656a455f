"""The imitation network of a bundle: exported from a run, or copied from another bundle."""

import shutil
from pathlib import Path
from typing import Any

from opendactyl.control.bundle.imitation_session import CONTRACT, load_imitation
from opendactyl.control.bundle.load import IMITATION_FILE, MANIFEST_FILE, load_pose_bundle
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.policy.imitation.export import export_imitation
from opendactyl.policy.imitation.programs import MAX_ACTIONS


def write_imitation(source: Path, path: Path) -> dict[str, Any]:
    """Writes `imitation.onnx`; returns its entry of the manifest.

    Raises:
        InputError: the source is neither a run of train-imitation nor a bundle with a network.
    """
    if exists(source / MANIFEST_FILE):
        bundle = load_pose_bundle(source)
        load_imitation(bundle)
        shutil.copyfile(source / IMITATION_FILE, path)
        return bundle.manifest["imitation"]
    settings = export_imitation(source, path)
    if settings.get("keyframes") == "last":
        raise InputError(
            f"{source} was trained with --keyframes last, for comparison; name a run with all"
        )
    return CONTRACT | {"actions": MAX_ACTIONS, "training": settings}
