"""`opendactyl scene`: draws and describes a scene without a hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from opendactyl.cli.options import parse, prepare_backend
from opendactyl.cli.show import print_rows, run_action, save_picture

if TYPE_CHECKING:
    from opendactyl.sim.scenery.spec import Scenery

USAGE = """\
usage: opendactyl scene show FILE --out PNG

show     draw random states of a scene without a hand, and print its joints, states and colours

`opendactyl scene show --help` lists the options."""


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Settings of `scene show`."""

    scene: tyro.conf.Positional[str]
    """The scene: a TOML file, an MJCF or a URDF."""
    object: str = "block"
    """The object: block, prism, face-cube, or a TOML file."""
    rig: str = ""
    """The cameras: name or TOML file of a rig; by default three around the volume."""
    out: Path = Path("scene.png")
    """The image file to write."""


def main(argv: list[str]) -> None:
    """Runs `scene show`."""
    run_action("scene", argv, USAGE, {"show": show})


def show(options: list[str]) -> None:
    """Runs `scene show`."""
    config = parse(
        ShowConfig, "scene show", options, "Draws random states of a scene, and describes it."
    )
    prepare_backend(options)
    from opendactyl.render.scene_picture import draw_scene
    from opendactyl.sim.scenery.reference import scenery

    scene = scenery(config.scene)
    print_rows(describe(scene))
    save_picture(draw_scene(scene, config.object, config.rig), config.out)


def describe(scene: "Scenery") -> list[tuple[str, str]]:
    """Lines about a scene: a title and a text each."""
    from opendactyl.sim.scene import load_scene

    physics = load_scene(hand=scene.reference)
    joints = zip(physics.hand.joints, physics.joint_range.tolist(), strict=True)
    ranges = [f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in joints]
    low, high = (", ".join(f"{x:g}" for x in corner) for corner in scene.object_positions)
    shape = "cylinder" if scene.volume.radius else "box"
    colours = [", ".join(colour.patterns) for colour in scene.colours if colour.is_given]
    count = len(scene.checksums.identity["files"])
    return [
        ("name", scene.name),
        ("models", ", ".join(f"{m.name} ({m.file})" for m in scene.models) or "none"),
        ("joints", ", ".join(ranges) or "none"),
        ("followers", physics.couplings.describe()),
        ("volume", f"{shape} within {low} and {high} m"),
        ("states", ", ".join(f"{name} {part:.0%}" for name, part in scene.mixture.items())),
        ("colours", "; ".join(colours) or "any"),
        ("pictures", str(len(scene.pictures))),
        ("files", f"{count}, with checksums in datasets and bundles"),
    ]
