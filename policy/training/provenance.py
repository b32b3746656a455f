"""Seeds of the episodes that a policy and its ancestors were trained on.

Episodes of such a seed, or of one of them plus `SELECTION_SEED_OFFSET`, are not unseen. A run keeps
the record in `seeds.json` and in its checkpoints; `export` copies it into the bundle's manifest and
into the metadata of the weights.
"""

from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.models.weights import about_weights
from opendactyl.policy.training.config import PolicyConfig

SEEDS_FILE = "seeds.json"
SeedRecord = dict[str, Any]
"""`seeds`: the known seeds, sorted; `seeds_complete`: False if an ancestor has no record."""


def seeds_of_training(config: PolicyConfig) -> SeedRecord:
    """The record of a new run: its own seed, and those of its warm start and its teacher."""
    sources = [path for path in (config.warm_start, config.teacher) if path is not None]
    ancestors = [known_seeds(path) for path in sources]
    inherited = {seed for record in ancestors for seed in record["seeds"]}
    return {
        "seeds": sorted(inherited | {config.seed}),
        "seeds_complete": all(record["seeds_complete"] for record in ancestors),
    }


def known_seeds(source: Path) -> SeedRecord:
    """The record of a run folder or of a weights file; empty and incomplete if there is none.

    A run older than the record is complete only if it started from random weights.
    """
    if not source.is_dir():
        return _record(about_weights(source))
    if exists(source / SEEDS_FILE):
        return _record(read_json(source / SEEDS_FILE))
    if not exists(source / CONFIG_NAME):
        return _record({})
    settings = read_json(source / CONFIG_NAME)
    untrained = not (settings.get("warm_start") or settings.get("teacher"))
    return {"seeds": [settings["seed"]], "seeds_complete": untrained}


def _record(value: dict[str, Any]) -> SeedRecord:
    complete = bool(value.get("seeds_complete", False))
    return {"seeds": list(value.get("seeds", [])), "seeds_complete": complete}
