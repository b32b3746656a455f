"""`opendactyl dataset`: renders a labelled dataset, and looks after finished ones."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from opendactyl.cli.options import parse
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.render.opengl.backend import choose


@dataclass(frozen=True, kw_only=True)
class DatasetCommand(DatasetConfig):
    """Settings of `dataset`."""

    verify: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Check every checksum, label and image of this dataset, and make nothing."""
    repair: Annotated[Path | None, tyro.conf.arg(metavar="[DIR]")] = None
    """Make the missing and damaged shards of this dataset, or of the one that --verify names,
    again, and no others."""
    export_bop: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR OUT")] = ()
    """Write the dataset DIR in BOP's format into the folder OUT."""


def main(argv: list[str]) -> None:
    """Makes data/train and data/val, or the one folder that --out names."""
    command = parse(
        DatasetCommand,
        "dataset",
        _with_folder(argv),
        "Renders labelled images of the hand and its object. Without --out it fills data/train, "
        "and data/val with a tenth as many samples of the next seed.",
    )
    if "--export-bop" in argv and len(command.export_bop) != 2:
        raise InputError(
            f"--export-bop got {len(command.export_bop)} folders; it takes two, DIR OUT: "
            "the dataset, and where to write it"
        )
    if command.verify or command.repair or command.export_bop:
        _look_after(command)
        return
    from opendactyl.datasets.export.card import write_card
    from opendactyl.datasets.generation.generate import generate

    fields = dataclasses.fields(DatasetConfig)
    config = DatasetConfig(**{f.name: getattr(command, f.name) for f in fields})
    config.check()
    from opendactyl.control.evaluation.policy_states import rollout_source

    make_source = rollout_source(config.states, config.object)
    if any(word == "--out" or word.startswith("--out=") for word in argv):
        generate(config, make_source, write_card)
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


def _with_folder(argv: list[str]) -> list[str]:
    """A bare --repair means the dataset that --verify names."""
    if "--repair" not in argv or "--verify" not in argv[:-1]:
        return argv
    after = argv.index("--repair") + 1
    if after < len(argv) and not argv[after].startswith("--"):
        return argv
    return [*argv[:after], argv[argv.index("--verify") + 1], *argv[after:]]


def _look_after(command: DatasetCommand) -> None:
    from opendactyl.datasets.format.manifest import load_manifest

    if command.repair:
        from opendactyl.control.evaluation.policy_states import rollout_source
        from opendactyl.datasets.export.card import write_card
        from opendactyl.datasets.generation.generate import repair

        made = load_manifest(command.repair).config
        source = rollout_source(str(made.get("states")), str(made.get("object")))
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
        choose()
        from opendactyl.datasets.export.bop import export_bop

        print(f"BOP dataset in {export_bop(*command.export_bop)}")
