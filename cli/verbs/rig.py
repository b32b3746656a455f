"""`opendactyl rig`: imports a camera calibration, draws a rig, checks its cameras."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse
from opendactyl.cli.show import run_action, save_picture
from opendactyl.core.errors import InputError
from opendactyl.sim.hands.spec import DEFAULT_HAND

USAGE = """\
usage: opendactyl rig import FILE... --out RIG.toml [options]
       opendactyl rig show NAME|FILE --out PNG [options]
       opendactyl rig check --images DIR|VIDEO... [options]

import   convert the calibration of your cameras to a rig file
show     draw the views of a rig with the working volume
check    test whether the cameras are connected and calibrated as the rig says

`opendactyl rig import --help`, `rig show --help` and `rig check --help` list the options."""


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Settings of `rig import`."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Calibration files of one format; the cameras keep their order."""
    out: Path = Path("rig.toml")
    """The rig file to write; it must not exist."""
    format: str | None = None
    """Format of the files: opencv, kalibr, ros, colmap, bop or json; recognised by default."""
    units: Literal["m", "mm"] | None = None
    """Unit of the positions; by default the format's, or recognised by their size."""
    names: str = ""
    """Names of the cameras, separated by commas; by default those of the files."""
    hand_from_world: Path | None = None
    """JSON or YAML file with the pose `hand_from_world` (or `world_from_hand`), in metres; by
    default the hand frame is the calibration's world."""
    image_size: tuple[int, int] | None = None
    """Image width and height in pixels, where the format lacks them."""


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Settings of `rig show`."""

    rig: tyro.conf.Positional[str]
    """Name of a shipped rig, or a rig file."""
    out: Path = Path("rig.png")
    """The image file to write."""
    rig_out: Path | None = None
    """Also write the rig as a file with the regions that are drawn; it must not exist."""
    volume: tuple[float, float, float, float, float, float] | None = None
    """Working volume in the hand frame: lower x y z, upper x y z, in metres; by default the space
    over the palm that the object fills, or that of the scene."""
    scene: str = ""
    """A scene without a hand, whose working volume is drawn: a TOML file, an MJCF or a URDF."""
    object: str = "block"
    """The object, whose size extends the volume."""
    hand: str = DEFAULT_HAND
    """The hand with the palm: shadow, shadow-e3m5, allegro, leap, or a TOML file."""


def main(argv: list[str]) -> None:
    """Runs `rig import`, `rig show` or `rig check`."""
    run_action("rig", argv, USAGE, {"import": _import, "show": _show, "check": _check})


def _import(argv: list[str]) -> None:
    config = parse(
        ImportConfig, "rig import", argv, "Converts the calibration of your cameras to a rig file."
    )
    from opendactyl.geometry.rig_import.convert import ImportOptions, to_rig
    from opendactyl.geometry.rig_import.formats import read_calibration
    from opendactyl.geometry.rig_import.rig_toml import write_rig

    if not config.files:
        raise InputError("rig import needs the calibration files")
    name, calibration = read_calibration(list(config.files), config.format)
    given = "as given" if config.format else "recognised"
    options = ImportOptions(
        config.units,
        tuple(filter(None, config.names.split(","))),
        config.hand_from_world,
        config.image_size,
    )
    rig, lines = to_rig(calibration, config.out.stem, options)
    write_rig(rig, config.out, f"From {', '.join(path.name for path in config.files)} ({name}).")
    print("\n".join([f"format      {name}, {given}", *lines, f"rig in {config.out}"]))


def _show(argv: list[str]) -> None:
    config = parse(
        ShowConfig, "rig show", argv, "Draws the views of a rig with the working volume."
    )
    from opendactyl.geometry.camera_faults import check_volume
    from opendactyl.geometry.rig import load_rig
    from opendactyl.geometry.rig_drawing import describe_camera, draw_rig
    from opendactyl.geometry.rig_import.rig_toml import check_rig_path, write_rig
    from opendactyl.geometry.working_volume import box_corners, with_regions
    from opendactyl.render.volume import working_volume
    from opendactyl.sim.hands.shipped import hand_spec
    from opendactyl.sim.objects.shipped import object_spec
    from opendactyl.sim.scenery.reference import scenery

    if config.rig_out is not None:
        check_rig_path(config.rig_out, "--rig-out")
    bounds = config.volume
    around = scenery(config.scene) if config.scene else hand_spec(config.hand)
    own = working_volume(object_spec(config.object), around)
    corners = box_corners(bounds[:3], bounds[3:]) if bounds else own
    rig = load_rig(config.rig)
    for camera in rig.cameras:
        print("; ".join(describe_camera(camera, corners)))
    save_picture(draw_rig(rig, corners), config.out)
    check_volume(with_regions(rig, corners), corners)
    if config.rig_out is not None:
        source = f"From {config.rig}, with regions."
        write_rig(with_regions(rig, corners), config.rig_out, source)
        print(f"rig in {config.rig_out}")


def _check(argv: list[str]) -> None:
    from opendactyl.control.estimation.rig_check import RigCheckConfig, check_rig

    config = parse(
        RigCheckConfig,
        "rig check",
        argv,
        "Tests on some seconds of frames whether each camera is the one it claims to be, upright, "
        "unmirrored, RGB and calibrated. Exit status 2 when a camera fails.",
    )
    check_rig(with_bundle(config, argv))
