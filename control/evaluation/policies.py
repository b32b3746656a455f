"""Policies of bundles, runs and weights files, acting in batches of simulations."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import MANIFEST_FILE, Bundle, load_bundle
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.export import load_policy_run
from opendactyl.policy.interface.observations import LAYOUTS
from opendactyl.policy.interface.policy import Policy
from opendactyl.policy.msat.teacher import Teacher
from opendactyl.policy.training.provenance import known_seeds


class BundlePolicy:
    """The exported policy of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        """Wraps the bundle."""
        self._session = bundle.policy

    def begin(self, batch: int) -> None:
        """See `Policy`."""
        self._memory = self._session.initial_memory(batch)

    def act(self, observation: NDArray[np.float32], start: NDArray[np.bool_]) -> Array:
        """See `Policy`."""
        self._memory.clear(start)
        bins, self._memory, _ = self._session.act(observation, self._memory)
        return bins


def load_policy(path: Path, task: str = "", layout: str = "default") -> tuple[Policy, EnvConfig]:
    """A policy, and its environment without randomization.

    Args:
        path: a bundle, a run of train-policy, or the .safetensors file of an LSTM policy.
        task: the task; empty for that of its training.
        layout: the policy's observation, for a .safetensors file.

    Raises:
        InputError: there is no policy, or it has another shape.
    """
    if not exists(path / MANIFEST_FILE):
        return load_policy_run(path, task, layout)
    bundle = load_bundle(path)
    environment = EnvConfig(
        task=task or bundle.task,
        object=bundle.object,
        hand=bundle.hand_reference,
        layout=next(name for name, fields in LAYOUTS.items() if fields == bundle.layout),
        action=bundle.decoder().config,
    )
    return BundlePolicy(bundle), environment


def load_teacher(path: Path) -> Teacher:
    """The policy that an action transformer imitates.

    Args:
        path: a bundle, a run of train-policy, or the .safetensors file of an LSTM policy.

    Raises:
        InputError: there is no policy.
    """
    if not exists(path):
        raise InputError(f"--teacher {path} does not exist; name a bundle, a run or a weights file")
    policy, environment = load_policy(path)
    if not exists(path / MANIFEST_FILE):
        return Teacher(path, policy, environment, known_seeds(path))
    about = read_json(path / MANIFEST_FILE).get("training", {}).get("policy", {})
    seeds = about.get("seeds", [about["seed"]] if "seed" in about else [])
    complete = bool(about.get("seeds_complete", False))
    return Teacher(path, policy, environment, {"seeds": seeds, "seeds_complete": complete})
