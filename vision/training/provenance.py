"""Which samples an estimator has seen: the seeds of its training and validation data.

A run writes them down, for its datasets may move, and with them those of the weights it began with.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.models.weights import about_weights
from opendactyl.vision.training.config import VisionConfig

SEEDS_FILE = "seeds.json"
Seeds = dict[str, list[int]]
"""Seeds of datasets: under `train` those it learned from, under `val` those it was chosen by."""


def seeds_of_training(config: VisionConfig) -> Seeds:
    """What a run of these settings sees, and what the weights that it begins with have seen."""
    before = _seeds_before(config)
    return {
        "train": _joined(before.get("train", []), _seeds(config.data)),
        "val": _joined(before.get("val", []), _seeds([config.val_data])),
    }


def refuse_learned(config: VisionConfig) -> None:
    """Looks whether the weights that a run is to begin with know its validation data.

    Raises:
        InputError: they have learned from it.
    """
    learned, (seed,) = _seeds_before(config).get("train", []), _seeds([config.val_data])
    if seed in learned:
        raise InputError(
            f"{config.warm_start} was trained on seed {seed}, which is that of {config.val_data} "
            "as well: validation would see training samples; make one with another --seed"
        )
    if config.warm_start is not None and not learned:
        print(
            f"opendactyl: what {config.warm_start} was trained on is not known: nothing keeps this "
            "run from being tested on it",
            file=sys.stderr,
        )


def _seeds_before(config: VisionConfig) -> Seeds:
    path = config.warm_start
    if path is None:
        return {}
    return known_seeds(path) if path.is_dir() else about_weights(path).get("seeds", {})


def content_of_data(config: VisionConfig) -> list[str]:
    """The settings' hash of each dataset: another may come to lie under the same name."""
    return [load_manifest(folder).config_hash for folder in (*config.data, config.val_data)]


def known_seeds(model: Path) -> Seeds:
    """What the estimator in a run's folder or a bundle has seen, as far as it is known."""
    if (model / SEEDS_FILE).exists():
        return read_json(model / SEEDS_FILE)
    if (model / "config.json").exists():
        config = read_json(model / "config.json")
        folders = {"train": config.get("data", []), "val": [config.get("val_data", "")]}
        return {
            use: _seeds(Path(n) for n in names if (Path(n) / "manifest.json").exists())
            for use, names in folders.items()
        }
    training: dict[str, Any] = read_json(model / "manifest.json").get("training", {})
    return training.get("seeds", {})


def _seeds(folders: Iterable[Path]) -> list[int]:
    return [load_manifest(folder).seed for folder in folders]


def _joined(*lists: list[int]) -> list[int]:
    return sorted({seed for seeds in lists for seed in seeds})
