"""The checkpoint of a training of the imitation network."""

from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.models.imitation.network import ImitationNetwork
from opendactyl.policy.interface.keyframes import KEYFRAME_SIZE, MAX_WAYPOINTS

CHECKPOINT = Path("checkpoints") / "last.ckpt"
KEYS = {"network", "averaged", "optimizer", "step", "seconds"}
"""Entries of a checkpoint."""


def make_network() -> ImitationNetwork:
    """The network with the sizes of its inputs."""
    return ImitationNetwork(KEYFRAME_SIZE, MAX_WAYPOINTS)


def load_checkpoint(run: Path) -> dict[str, Any]:
    """The checkpoint of a run.

    Raises:
        InputError: there is none, or it is damaged or that of another network.
    """
    path = run / CHECKPOINT
    if not exists(path):
        raise InputError(
            f"{run} holds no imitation network; train one with `opendactyl train-imitation`"
        )
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is not a checkpoint of train-imitation ({error})") from error
    if not isinstance(value, dict) or not set(value) >= KEYS or not _fits(value["network"]):
        raise InputError(
            f"{path} is not a checkpoint of train-imitation, or of another version's network; "
            "train anew in another folder"
        )
    return value


def _fits(weights: Any) -> bool:
    """Whether these are weights of `make_network`."""
    expected = {name: weight.shape for name, weight in make_network().state_dict().items()}
    return isinstance(weights, dict) and expected == {
        name: getattr(weight, "shape", None) for name, weight in weights.items()
    }


def module_of(averaged: AveragedModel) -> ImitationNetwork:
    """The averaged network."""
    network = averaged.module
    assert isinstance(network, ImitationNetwork)
    return network
