"""Provenance of an estimator: the seeds of its training and validation data.

A run records them, since its datasets may move, together with those of its warm start.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.models.weights import about_weights
from opendactyl.vision.training.config import VisionConfig

SEEDS_FILE = "seeds.json"
Seeds = dict[str, list[int]]
"""Seeds of datasets: `train` for gradients, `val` for the choice of the checkpoint."""


def seeds_of_training(config: VisionConfig) -> Seeds:
    """The seeds of a run's datasets, merged with those of its warm start."""
    before = _seeds_of_ancestor(config)
    return {
        "train": _merged(before.get("train", []), _seeds(config.data)),
        "val": _merged(before.get("val", []), _seeds([config.val_data])),
    }


def check_validation_seed(config: VisionConfig) -> None:
    """Checks that the warm start was not trained on the validation data; warns if unknown.

    Raises:
        InputError: it was.
    """
    trained, (seed,) = _seeds_of_ancestor(config).get("train", []), _seeds([config.val_data])
    if seed in trained:
        raise InputError(
            f"{config.ancestor} was trained on seed {seed}, which is also that of "
            f"{config.val_data}: validation would use training samples; make one with another "
            f"--seed{', or use --from-scratch' if config.starts_from_shipped_tower else ''}"
        )
    if config.ancestor is not None and not trained:
        print(
            f"opendactyl: the training data of {config.ancestor} is unknown; an evaluation on it "
            "cannot be refused",
            file=sys.stderr,
        )


def _seeds_of_ancestor(config: VisionConfig) -> Seeds:
    path = config.ancestor
    if path is None:
        return {}
    return known_seeds(path) if path.is_dir() else about_weights(path).get("seeds", {})


def content_of_data(config: VisionConfig) -> list[str]:
    """The config hash of each dataset, which detects another dataset in the same folder."""
    return [load_manifest(folder).config_hash for folder in (*config.data, config.val_data)]


def known_seeds(model: Path) -> Seeds:
    """The recorded seeds of the estimator in a run folder or a bundle; empty if unknown."""
    if exists(model / SEEDS_FILE):
        return read_json(model / SEEDS_FILE)
    if exists(model / "config.json"):
        config = read_json(model / "config.json")
        folders = {"train": config.get("data", []), "val": [config.get("val_data", "")]}
        return {
            use: _seeds(Path(n) for n in names if exists(Path(n) / "manifest.json"))
            for use, names in folders.items()
        }
    training: dict[str, Any] = read_json(model / "manifest.json").get("training", {})
    return training.get("seeds", {})


def _seeds(folders: Iterable[Path]) -> list[int]:
    return [load_manifest(folder).seed for folder in folders]


def _merged(*lists: list[int]) -> list[int]:
    return sorted({seed for seeds in lists for seed in seeds})
