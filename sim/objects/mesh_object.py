"""An object from a mesh: scale and origin, mass properties and collision shape."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from opendactyl.core.atomic_files import sha256
from opendactyl.geometry.rotation import Array
from opendactyl.sim.assets.fields import Fields
from opendactyl.sim.objects.decomposition import CONCAVITY, MAX_HULLS, decompose, store_name
from opendactyl.sim.objects.mesh_file import MAX_FACES, Loaded, linked_files, load_mesh
from opendactyl.sim.objects.solids import PLAIN, mass_of
from opendactyl.sim.objects.source_files import Reader
from opendactyl.sim.objects.spec import Solid

if TYPE_CHECKING:
    import trimesh

MESH_KEYS = ("file", "scale", "origin", "simplify", "collision", "concavity", "max_hulls")


def mesh_shape(fields: Fields, unit: float, reader: Reader) -> dict[str, Any]:
    """The values of `ObjectSpec` for a mesh, and `placement`: origin and scale in its coordinates.

    Raises:
        InputError: the mesh cannot be read, or its mass properties cannot be computed.
    """
    path = reader.find(fields.text("file"))
    simplify = fields.count("simplify", 100, MAX_FACES) if "simplify" in fields else None
    rgb = fields.colour("rgb", PLAIN) if "rgb" in fields else None
    loaded = load_mesh(path, rgb, simplify)
    for linked in (path, *linked_files(path)):
        reader.add(linked, linked.relative_to(path.parent).as_posix())
    scale = unit * fields.positive("scale", 1.0)
    offset = _offset(loaded.merged, fields)
    solid_mesh = loaded.merged.copy()
    solid_mesh.vertices = (loaded.merged.vertices - offset) * scale
    mass, centre, inertia = _mass_properties(solid_mesh, fields, path)
    hulls, versions = _hulls(loaded, fields, path, reader, simplify)
    reader.made_with |= versions
    return {
        "mass": mass,
        "faces": (),
        "is_box": False,
        "surfaces": tuple(
            replace(surface, vertices=(surface.vertices - offset) * scale)
            for surface in loaded.surfaces
        ),
        "solid": Solid(tuple((hull - offset) * scale for hull in hulls), centre, inertia),
        "placement": (offset, scale),
    }


def _offset(mesh: "trimesh.Trimesh", fields: Fields) -> Array:
    """The object's origin (3,) in the coordinates of the mesh."""
    low, high = np.asarray(mesh.bounds)
    if fields.choice("origin", ("file", "centre"), "file") == "centre":
        return (low + high) / 2
    if np.any(low > 0) or np.any(high < 0):
        raise fields.error(
            f"the origin of the mesh lies outside of it (it extends from {low.round(4).tolist()} "
            f'to {high.round(4).tolist()}); write origin = "centre", or move the mesh'
        )
    return np.zeros(3)


def _mass_properties(
    mesh: "trimesh.Trimesh", fields: Fields, path: Path
) -> tuple[float, Array, Array]:
    """Mass, centre of mass and inertia; of the convex hull where the mesh is open."""
    solid = mesh
    if not mesh.is_watertight or mesh.volume <= 0:
        if "mass" not in fields or fields.get("collision") != "hull":
            raise fields.error(
                f"mesh {path} is not watertight, so its volume and inertia cannot be computed; "
                'give mass and collision = "hull" (the inertia is then that of the convex hull), '
                "or close the mesh"
            )
        solid = mesh.convex_hull
    volume = float(solid.volume)
    mass = mass_of(fields, volume)
    inertia = np.asarray(solid.moment_inertia) / float(solid.density) * (mass / volume)
    return mass, np.array(solid.center_mass), inertia


def _hulls(
    loaded: Loaded, fields: Fields, path: Path, reader: Reader, simplify: int | None
) -> tuple[tuple[Array, ...], dict[str, str]]:
    """Convex parts in the coordinates of the mesh, and the versions of what computed them."""
    from importlib.metadata import version

    versions = {"trimesh": version("trimesh")}
    if path.suffix.lower() == ".glb":
        versions["gltf_colours"] = "srgb"  # Datasets of before have others.
    kind = fields.choice("collision", ("hull", "decomposition"), "hull")
    if kind == "hull":
        return (np.array(loaded.merged.convex_hull.vertices),), versions
    settings = {
        "concavity": fields.positive("concavity", CONCAVITY),
        "max_hulls": fields.count("max_hulls", 1, 64, MAX_HULLS),
    }
    name = store_name(path.stem, sha256(path), {**settings, "simplify": simplify})
    store = reader.path.parent / name
    vertices, triangles = np.array(loaded.merged.vertices), np.array(loaded.merged.faces)
    hulls, made_with = decompose(
        vertices, triangles, store, settings["concavity"], int(settings["max_hulls"])
    )
    reader.add(store)
    return hulls, versions | {"coacd": made_with}
