"""Writes the model of a hand as an MJCF file with its meshes, for other programs."""

import itertools
import shutil
from pathlib import Path
from xml.etree import ElementTree

import mujoco

from opendactyl.core.atomic_files import write_text
from opendactyl.core.errors import file_errors
from opendactyl.sim.assets.model import load_model
from opendactyl.sim.hands.model import compile_model, hand_model, set_options
from opendactyl.sim.hands.spec import MOUNT, HandSpec

MESHES = "meshes"


def portable_model(hand: HandSpec) -> mujoco.MjSpec:
    """The hand as the environment simulates it, without the object; it can be written.

    Raises:
        InputError: a file of the hand is missing, or MuJoCo cannot compile its visual geoms, too.
    """
    spec = hand_model(hand)
    set_options(spec)
    compile_model(spec, hand)
    return spec


def write_mjcf(hand: HandSpec, path: Path) -> None:
    """Writes `portable_model`, with the names of the hand's own model.

    Meshes, height fields and skins are copied into the folder `meshes` beside the file.

    Args:
        hand: the hand.
        path: the MJCF file to write.

    Raises:
        InputError: see `portable_model`, or the folder is not writable.
        EnvironmentFailure: the disk failed.
    """
    spec = portable_model(hand)
    source = hand.asset.path
    folder = source.parent / load_model(source).meshdir
    # Its root class of defaults keeps a name of its own.
    text = spec.to_xml().replace(f'"{MOUNT}/main"', f'"{MOUNT}"').replace(f'"{MOUNT}/', '"')
    root = ElementTree.fromstring(text)
    number = itertools.count()
    assets = {"mesh": spec.meshes, "hfield": spec.hfields, "skin": spec.skins}
    with file_errors(f"cannot write {path}", "name a folder that is writable"):
        (path.parent / MESHES).mkdir(parents=True, exist_ok=True)
        for tag, elements in assets.items():
            files = [folder / element.file for element in elements if element.file]
            written = [element for element in root.iter(tag) if element.get("file")]
            for file, element in zip(files, written, strict=True):
                element.set("file", f"{next(number):02}-{file.name}")
                shutil.copyfile(file, path.parent / MESHES / element.attrib["file"])
    root.set("model", hand.name)
    for compiler in root.iter("compiler"):
        compiler.set("meshdir", MESHES)
    write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")
