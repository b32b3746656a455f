"""`opendactyl hand`: draws and describes a hand."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from opendactyl.cli.options import parse, prepare_backend
from opendactyl.core.errors import InputError

if TYPE_CHECKING:
    from opendactyl.sim.scene import Scene

USAGE = """\
usage: opendactyl hand show NAME|FILE --out PNG

show     draw a hand from three sides with its fingertips, landmarks and frame, and print its
         joints, actuators and files

`opendactyl hand show --help` lists the options."""


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Settings of `hand show`."""

    hand: tyro.conf.Positional[str]
    """Name of a shipped hand, or a hand file."""
    out: Path = Path("hand.png")
    """The image file to write."""


def main(argv: list[str]) -> None:
    """Runs `hand show`."""
    action, *options = argv or ["--help"]
    if action in ("-h", "--help"):
        print(USAGE)
        return
    if action != "show":
        raise InputError(f"hand {action} does not exist; use hand show")
    config = parse(
        ShowConfig, "hand show", options, "Draws a hand from three sides, and describes it."
    )
    prepare_backend(options)
    from opendactyl.core.atomic_files import write_bytes
    from opendactyl.render.hand_picture import draw_hand
    from opendactyl.sim.scene import load_scene

    scene = load_scene(hand=config.hand)
    print("\n".join(f"{name:<12}{text}" for name, text in describe(scene)))
    buffer = io.BytesIO()
    draw_hand(config.hand).save(buffer, "PNG")
    write_bytes(config.out, buffer.getvalue())
    print(f"picture in {config.out}")


def describe(scene: "Scene") -> list[tuple[str, str]]:
    """Lines about the hand of a scene: a title and a text each."""
    hand = scene.hand
    joints = zip(hand.joints, scene.joint_range.tolist(), strict=True)
    ranges = zip(hand.actuators, scene.actuator_range.tolist(), strict=True)
    moved = scene.transmission.to_dict(hand)
    bodies = [b for b in range(1, scene.model.nbody) if b != scene.object_body]
    return [
        ("name", hand.name),
        ("model", str(hand.asset.path)),
        ("mass", f"{scene.model.body_mass[bodies].sum():.3g} kg"),
        ("joints", ", ".join(f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in joints)),
        (
            "actuators",
            ", ".join(
                f"{name} ({' + '.join(moved[name])}) {low:.2f} to {high:.2f}"
                for name, (low, high) in ranges
            ),
        ),
        ("fingertips", ", ".join(tip.name for tip in hand.fingertips)),
        ("drop", f"below {hand.drop_height:g} m"),
        ("landmarks", "chosen by visibility" if hand.landmarks is None else "given"),
        ("backlash", "not calibrated" if hand.backlash_exponents is None else "calibrated"),
        ("files", f"{len(hand.checksums.paths)}, with checksums in datasets and bundles"),
    ]
