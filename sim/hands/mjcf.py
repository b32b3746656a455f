"""Writes the model of a hand as an MJCF file with its meshes, for other programs."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

from opendactyl.core.atomic_files import write_text
from opendactyl.core.errors import file_errors
from opendactyl.sim.assets.model import load_model
from opendactyl.sim.hands.model import hand_model
from opendactyl.sim.hands.spec import HandSpec

MESHES = "meshes"


def write_mjcf(hand: HandSpec, path: Path) -> None:
    """Writes the hand as the environment simulates it, without the object.

    Meshes are copied into the folder `meshes` beside the file.

    Args:
        hand: the hand.
        path: the MJCF file to write.

    Raises:
        InputError: a file of the hand is missing, or the folder is not writable.
        EnvironmentFailure: the disk failed.
    """
    source = hand.asset.path
    folder = source.parent / load_model(source).meshdir
    spec = hand_model(hand)
    root = ElementTree.fromstring(spec.to_xml())
    files = [folder / mesh.file for mesh in spec.meshes if mesh.file]
    meshes = [mesh for mesh in root.iter("mesh") if mesh.get("file")]
    with file_errors(f"cannot write {path}", "name a folder that is writable"):
        (path.parent / MESHES).mkdir(parents=True, exist_ok=True)
        for number, (file, mesh) in enumerate(zip(files, meshes, strict=True)):
            mesh.set("file", f"{number:02}-{file.name}")
            shutil.copyfile(file, path.parent / MESHES / mesh.attrib["file"])
    root.set("model", hand.name)
    for compiler in root.iter("compiler"):
        compiler.set("meshdir", MESHES)
    write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")
