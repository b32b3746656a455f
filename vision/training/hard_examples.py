"""More of what an estimator gets wrong, rendered before training (DeXtreme's replay)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig
from opendactyl.datasets.generation.generate import generate_resolved
from opendactyl.datasets.generation.shard_builder import MakeSource

SEED_OFFSET = 1_000_003
"""Mined samples have the first training dataset's seed and this: nobody else's."""


FindSource = Callable[[str, str], MakeSource | None]
"""Gives the source that `--states` and `--object` name, in rooms that this one does not know."""


def mine(data: Path, bundle: Path, samples: int, out: Path, find_source: FindSource) -> Path:
    """Renders hard states like a training dataset, or goes on with it; returns its folder.

    Args:
        data: the dataset whose rig, object, appearance and image size are taken over.
        bundle: whose estimator and policy are run.
        samples: how many.
        out: where to.
        find_source: gives the source of the states.
    """
    like = ResolvedConfig.from_content(load_manifest(data).config, DatasetConfig(out=data))
    config = dataclasses.replace(
        like.config, out=out, num_samples=samples, seed=like.config.seed + SEED_OFFSET,
        states=f"mined:{bundle}", resume=True,
    )  # fmt: skip
    make_source = find_source(config.states, config.object)
    return generate_resolved(dataclasses.replace(like, config=config), make_source, write_card)
