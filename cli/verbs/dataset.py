"""`opendactyl dataset`: renders, verifies, repairs and converts labelled datasets."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from opendactyl.cli.options import is_given, parse, value_of
from opendactyl.core import mujoco_gl
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.config import DatasetConfig, uses_opengl
from opendactyl.render.opengl import backend
from opendactyl.sim.assets.storage import stored_reference
from opendactyl.sim.hands.spec import DEFAULT_HAND


@dataclass(frozen=True, kw_only=True)
class DatasetCommand(DatasetConfig):
    """Settings of `dataset`."""

    verify: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Check every checksum, label and image of this dataset, and render nothing."""
    repair: Annotated[Path | None, tyro.conf.arg(metavar="[DIR]")] = None
    """Render the missing and damaged shards of this dataset, or of the one that --verify names,
    again, and no others."""
    export_bop: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR OUT")] = ()
    """Write the dataset DIR in BOP's format into the folder OUT."""


def main(argv: list[str]) -> None:
    """Renders data/train and data/val, or the one folder that --out names."""
    command = parse(
        DatasetCommand,
        "dataset",
        _with_folder(argv),
        "Renders labelled images of the hand and its object. Without --out it fills data/train, "
        "and data/val with a tenth as many samples of the next seed.",
    )
    if is_given("--export-bop", argv) and len(command.export_bop) != 2:
        raise InputError(
            f"--export-bop got {len(command.export_bop)} folders; it takes two, DIR OUT: "
            "the dataset, and the folder to write"
        )
    if command.verify or command.repair or command.export_bop:
        _maintain(command)
    else:
        _render(command, argv)


def _render(command: DatasetCommand, argv: list[str]) -> None:
    fields = dataclasses.fields(DatasetConfig)
    config = DatasetConfig(**{f.name: getattr(command, f.name) for f in fields})
    if config.scene and not is_given("--states", argv):
        config = dataclasses.replace(config, states="scene")
    _choose_backend(uses_opengl(config.renderer, config.states), config.ray)
    config.check()
    from opendactyl.control.evaluation.policy_states import rollout_source
    from opendactyl.datasets.export.card import write_card
    from opendactyl.datasets.generation.generate import generate

    make_source = None
    if not config.scene:
        make_source = rollout_source(config.states, config.object, config.hand)
    if is_given("--out", argv):
        print(f"dataset in {generate(config, make_source, write_card)}")
        return
    val = dataclasses.replace(
        config,
        out=Path("data/val"),
        num_samples=max(config.num_samples // 10, 1),
        seed=config.seed + 1,
    )
    for part in (config, val):
        if config.upload:
            url = f"{config.upload.rstrip('/')}/{part.out.name}"
            part = dataclasses.replace(part, upload=url)
        print(f"dataset in {generate(part, make_source, write_card)}")


def _choose_backend(opengl: bool, ray: str) -> None:
    """Chooses one if it is needed here; Ray's nodes choose their own."""
    if opengl and not ray:
        backend.choose_backend()
    else:
        mujoco_gl.requested()


def _with_folder(argv: list[str]) -> list[str]:
    """The arguments with the folder of --verify added after a bare --repair."""
    folder = value_of("--verify", argv)
    if "--repair" not in argv or folder is None:
        return argv
    after = argv.index("--repair") + 1
    if after < len(argv) and not argv[after].startswith("--"):
        return argv
    return [*argv[:after], folder, *argv[after:]]


def _maintain(command: DatasetCommand) -> None:
    from opendactyl.datasets.format.manifest import load_manifest

    # Of the datasets that are rendered again, in parts or for masks; --verify renders nothing.
    again = [folder for folder in (command.repair, *command.export_bop[:1]) if folder]
    configs = [load_manifest(folder).config for folder in again]
    renders = any(uses_opengl(str(c.get("renderer")), str(c.get("states"))) for c in configs)
    _choose_backend(renders, command.ray)
    if command.repair:
        from opendactyl.control.evaluation.policy_states import rollout_source
        from opendactyl.datasets.export.card import write_card
        from opendactyl.datasets.generation.generate import repair

        made = configs[0]
        described = str(made.get("object")), str(made.get("hand") or DEFAULT_HAND)
        stored = [
            stored_reference(command.repair, kind, name)
            for kind, name in zip(("object", "hand"), described, strict=True)
        ]
        source = rollout_source(str(made.get("states")), *stored)
        names = repair(
            command.repair,
            workers=command.workers,
            ray=command.ray,
            upload=command.upload,
            make_source=source,
            write_card=write_card,
        )
        print(f"made again: {', '.join(names) or 'nothing, all shards are sound'}")
    if command.verify:
        from opendactyl.datasets.generation.verify import verify

        faults = verify(command.verify)
        if faults:
            raise InputError("; ".join(faults))
        print(f"{command.verify} is sound: {load_manifest(command.verify).num_samples} samples")
    if command.export_bop:
        from opendactyl.datasets.export.bop import export_bop

        print(f"BOP dataset in {export_bop(*command.export_bop, depth=command.depth)}")
