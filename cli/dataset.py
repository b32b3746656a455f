"""`opendactyl dataset`: renders a labelled dataset."""

import dataclasses
from functools import partial
from pathlib import Path

from opendactyl.cli.options import parse
from opendactyl.render.backend import choose


def main(argv: list[str]) -> None:
    """Makes data/train and data/val, or the one folder that --out names."""
    from opendactyl.datasets.generate import DatasetConfig, generate

    config = parse(
        DatasetConfig,
        "dataset",
        argv,
        "Renders labelled images of the hand and its object. Without --out it fills data/train, "
        "and data/val with a tenth as many samples of the next seed.",
    )
    config.check()
    choose()
    make_source = None
    if config.states.startswith("policy:"):
        from opendactyl.control.rollouts import RolloutStates

        bundle = Path(config.states.removeprefix("policy:"))
        make_source = partial(RolloutStates, bundle)
        make_source().check(config.object)
    if any(word == "--out" or word.startswith("--out=") for word in argv):
        generate(config, make_source)
        return
    val = dataclasses.replace(
        config,
        out=Path("data/val"),
        num_samples=max(config.num_samples // 10, 1),
        seed=config.seed + 1,
    )
    for part in (config, val):
        print(f"dataset in {generate(part, make_source)}")
