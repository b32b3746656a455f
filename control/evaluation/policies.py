"""Policies of bundles, runs and weights files, acting in batches of simulations."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import MANIFEST_FILE, Bundle, load_bundle
from opendactyl.control.bundle.manifest import training_seeds
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.observations import HINGE_FIELDS, LAYOUTS
from opendactyl.policy.interface.policy import Policy
from opendactyl.policy.loading import load_policy_run
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


def load_policy(path: Path, task: str = "", layout: str = "") -> tuple[Policy, EnvConfig]:
    """A policy, and its environment without randomization.

    Args:
        path: a bundle, a run of train-policy, or the .safetensors file of an LSTM policy.
        task: the task; empty for that of its training.
        layout: the policy's observation, for a .safetensors file; empty for that of its training.

    Raises:
        InputError: there is no policy, or it has another shape.
    """
    if not exists(path / MANIFEST_FILE):
        return load_policy_run(path, task, layout)
    bundle = load_bundle(path)
    fields = tuple(field for field in bundle.layout if field not in HINGE_FIELDS)
    known = next((name for name, those in LAYOUTS.items() if those == fields), None)
    if known is None:
        raise InputError(f"the policy of {path} observes {', '.join(fields)}, which is no --layout")
    environment = EnvConfig(
        task=task or bundle.task,
        object=bundle.object,
        hand=bundle.hand_reference,
        layout=known,
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
    seeds, complete = training_seeds(read_json(path / MANIFEST_FILE))
    return Teacher(path, policy, environment, {"seeds": seeds, "seeds_complete": complete})
