"""The object of a bundle, whose files it contains unless the object is shipped."""

from pathlib import Path
from typing import Any

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.storage import is_same, store_copy, stored_reference
from opendactyl.sim.objects.shipped import object_spec


def add_object(manifest: dict[str, Any], sources: list[Path], folder: Path) -> None:
    """Copies the object's files into a bundle, and describes it in the manifest.

    Entries: `object`, the checksums of the files; `symmetry`, if it has one.

    Args:
        manifest: the manifest, with its entries `pose` and perhaps `policy`.
        sources: the runs or bundles that the bundle is made of.
        folder: the bundle's folder.

    Raises:
        InputError: the sources have different objects of one name.
    """
    name = manifest.get("policy", manifest["pose"]).get("object") or ""
    references = [stored_reference(source, "object", name) for source in sources]
    found = [object_spec(reference) for reference in references if reference != name]
    if not found:
        return
    first, *others = found
    if not all(is_same(first, other) for other in others):
        raise InputError(
            f"the {name} of {sources[0]} has other files than that of {sources[1]}; train both "
            "with the same --object"
        )
    store_copy(first, folder)
    manifest["object"] = first.identity
    if not first.symmetry.is_trivial:
        manifest["symmetry"] = first.symmetry.to_dict()
