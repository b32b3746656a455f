"""More of what an estimator gets wrong, rendered before training (DeXtreme's replay)."""

import dataclasses
from pathlib import Path

from opendactyl.datasets.generate import generate_recipe
from opendactyl.datasets.manifest import load_manifest
from opendactyl.datasets.recipe import DatasetConfig, Recipe
from opendactyl.datasets.samples import MakeSource

SEED_OFFSET = 1_000_003
"""Mined samples have the first training dataset's seed and this: nobody else's."""


def mine(data: Path, bundle: Path, samples: int, out: Path, make_source: MakeSource) -> Path:
    """Renders hard states like a training dataset, or goes on with it; returns its folder.

    Args:
        data: the dataset whose rig, object, appearance and image size are taken over.
        bundle: whose estimator and policy `make_source` runs.
        samples: how many.
        out: where to.
        make_source: makes the source of the states, which this room does not know.
    """
    like = Recipe.from_content(load_manifest(data).config, DatasetConfig(out=data))
    config = dataclasses.replace(
        like.config, out=out, num_samples=samples, seed=like.config.seed + SEED_OFFSET,
        states=f"mined:{bundle}", resume=True,
    )  # fmt: skip
    return generate_recipe(dataclasses.replace(like, config=config), make_source)
