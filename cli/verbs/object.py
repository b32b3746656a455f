"""`opendactyl object`: draws and describes an object."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from opendactyl.cli.options import parse, prepare_backend
from opendactyl.cli.show import print_rows, run_action, save_picture

if TYPE_CHECKING:
    from opendactyl.sim.objects.spec import ObjectSpec, Part

USAGE = """\
usage: opendactyl object show NAME|FILE --out PNG

show     draw an object from six sides with its keypoints and axes, and print its size, mass,
         inertia and symmetry

`opendactyl object show --help` lists the options."""


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Settings of `object show`."""

    object: tyro.conf.Positional[str]
    """Name of a shipped object, or an object file."""
    out: Path = Path("object.png")
    """The image file to write."""


def main(argv: list[str]) -> None:
    """Runs `object show`."""
    run_action("object", argv, USAGE, {"show": show})


def show(options: list[str]) -> None:
    """Runs `object show`."""
    config = parse(
        ShowConfig, "object show", options, "Draws an object from six sides, and describes it."
    )
    prepare_backend(options)
    from opendactyl.render.object_picture import draw_object
    from opendactyl.sim.objects.shipped import object_spec

    print_rows(describe(object_spec(config.object)))
    save_picture(draw_object(config.object), config.out)


def describe(obj: "ObjectSpec") -> list[tuple[str, str]]:
    """Lines about an object: a title and a text each."""
    import numpy as np

    from opendactyl.sim.object_geoms import OBJECT_BODY
    from opendactyl.sim.scene import load_scene

    body = load_scene(obj.reference).model.body(OBJECT_BODY)
    triangles = obj.triangles_at(obj.articulation.rest)
    points = triangles.reshape(-1, 3)
    size = " × ".join(f"{1000 * x:.1f}" for x in np.ptp(points, axis=0))
    moments = ", ".join(f"{x:.3g}" for x in body.inertia)
    centre = ", ".join(f"{1000 * x + 0.0:.1f}" for x in body.ipos)
    shape = "box" if obj.is_box else "cylinder" if obj.cylinder else "convex hull"
    if obj.solid is not None and len(obj.solid.hulls) > 1:
        shape = f"{len(obj.solid.hulls)} convex parts"
    return [
        ("name", obj.name),
        ("size", f"{size} mm (x, y, z)"),
        ("mass", f"{1000 * obj.mass:.1f} g, its centre at {centre} mm"),
        ("inertia", f"{moments} kg m² (principal moments)"),
        ("collision", shape),
        ("surface", f"{len(triangles):,} triangles, {len(obj.colours)} colours or textures"),
        ("keypoints", str(len(obj.keypoints))),
        ("symmetry", _symmetry(obj)),
        *((f"part {part.hinge.name}", _part(part)) for part in obj.attached),
    ]


def _part(part: "Part") -> str:
    axis = ", ".join(f"{x + 0.0:.3g}" for x in part.hinge.axis)
    limits = "free"
    if part.hinge.limits is not None:
        low, high = (math.degrees(angle) for angle in part.hinge.limits)
        limits = f"{low:g}° to {high:g}°"
    return f"{1000 * part.body.mass:.1f} g, hinge about ({axis}), {limits}"


def _symmetry(obj: "ObjectSpec") -> str:
    group = obj.symmetry
    if group.is_trivial:
        return "none"
    words = []
    if group.axis is not None:
        axis = ", ".join(f"{x + 0.0:.3g}" for x in group.axis)
        words.append(f"axis of revolution ({axis})")
    if len(group.rotations) > 1:
        words.append(f"{len(group.rotations)} discrete rotations")
    return ", ".join(words)
