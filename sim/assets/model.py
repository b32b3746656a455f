"""Loads an MJCF or URDF as an `MjSpec`, with meshes in more formats than MuJoCo reads."""

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.mesh_formats import CONVERTED, MUJOCO_FORMATS, read_mesh
from opendactyl.sim.assets.mimic import check_mimics, prepare_mimics
from opendactyl.sim.assets.references import is_urdf, parse_xml, referenced_files, urdf_mesh

_URDF_SETTINGS = {
    "strippath": "false", "discardvisual": "false", "fusestatic": "false", "balanceinertia": "true",
}  # fmt: skip
"""MuJoCo's settings for a URDF: visual geoms and all links are kept."""


def load_model(path: Path, *, dynamic: bool = True) -> mujoco.MjSpec:
    """Loads an MJCF or URDF file.

    Args:
        path: the file.
        dynamic: whether it will be simulated; otherwise the inertia of a URDF is ignored.

    Raises:
        InputError: a file is missing or cannot be read, a moving link has no inertia, or a joint
            mimics none.
        EnvironmentFailure: the disk failed.
    """
    referenced_files(path)  # reports what is missing
    root = parse_xml(path)
    try:
        if is_urdf(path, root):
            if dynamic:
                check_inertia(path, root)
            else:
                _remove_inertia(root)
            check_mimics(path, root)
            spec = _urdf(path, root)
            prepare_mimics(spec, path)
        else:
            spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise InputError(f"MuJoCo cannot read the model {path} ({one_line(error)})") from error
    for mesh in spec.meshes:
        if mesh.file:
            _convert(spec, mesh, path)
    return spec


def one_line(error: Exception) -> str:
    """The message of MuJoCo, which has several lines."""
    return " ".join(str(error).split())


def _urdf(path: Path, root: ElementTree.Element) -> mujoco.MjSpec:
    extension = root.find("mujoco")
    if extension is None:
        extension = ElementTree.SubElement(root, "mujoco")
    compiler = extension.find("compiler")
    if compiler is None:
        compiler = ElementTree.SubElement(extension, "compiler")
    for key, value in _URDF_SETTINGS.items():
        compiler.set(key, value)
    for mesh in root.iter("mesh"):
        mesh.set("filename", str(urdf_mesh(path, mesh.get("filename", "")).absolute()))
    return mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))


def check_inertia(path: Path, root: ElementTree.Element) -> None:
    """Checks that each link that moves has a mass: MuJoCo would take it from the visual meshes.

    Raises:
        InputError: one has none.
    """
    moving = {
        joint.find("child").get("link")  # pyright: ignore[reportOptionalMemberAccess]
        for joint in root.iter("joint")
        if joint.get("type") != "fixed" and joint.find("child") is not None
    }
    for link in root.iter("link"):
        mass = link.find("inertial/mass")
        heavy = mass is not None and float(mass.get("value") or 0) > 0
        if link.get("name") in moving and not (heavy and link.find("inertial/inertia") is not None):
            raise InputError(
                f"model {path}: link {link.get('name')} moves but has no <inertial> with a mass "
                "and an inertia; add both to the URDF"
            )


def _remove_inertia(root: ElementTree.Element) -> None:
    """Removes the inertia of all links, which files for pictures repeat or leave at zero."""
    for link in root.iter("link"):
        for inertial in link.findall("inertial"):
            link.remove(inertial)


def _convert(spec: mujoco.MjSpec, mesh: mujoco.MjsMesh, path: Path) -> None:
    """Replaces the file of a mesh by its content, if MuJoCo does not read the format."""
    suffix = Path(mesh.file).suffix.lower()
    if suffix in MUJOCO_FORMATS:
        return
    file = path.parent / spec.meshdir / mesh.file
    if suffix not in CONVERTED:
        raise InputError(
            f"model {path}: mesh {file} has another format than "
            f"{', '.join((*MUJOCO_FORMATS, *CONVERTED))}; convert it"
        )
    content = read_mesh(file)
    if not mesh.name:
        mesh.name = Path(mesh.file).stem
    mesh.file = ""
    mesh.uservert = np.asarray(content.vertices, dtype=np.float64).ravel()
    mesh.userface = np.asarray(content.faces, dtype=np.int32).ravel()
