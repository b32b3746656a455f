"""Weights to start from: of another run or file, or the shipped image tower."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.models.pose.priors import prior_of
from opendactyl.models.weights import load_weights
from opendactyl.vision.training.checkpoints import load_module
from opendactyl.vision.training.config import SHIPPED_WEIGHTS, VisionConfig
from opendactyl.vision.training.module import PoseModule

TOWERS = ("tower", "first.tower", "second.tower")
"""Names of the image towers in networks of one stage and of two."""


def start_from(config: VisionConfig, module: PoseModule) -> None:
    """Loads the weights of `--backbone` and `--warm-start`, or the shipped image tower.

    Raises:
        InputError: they cannot be read, or belong to another network.
    """
    if config.backbone is not None:
        if not exists(config.backbone):
            raise InputError(f"--backbone {config.backbone} does not exist")
        tower: Any = module.network
        _load(config.backbone, tower.load_backbone)
    if config.warm_start is not None:
        _load(config.warm_start, lambda weights: load_network(module, weights))
    if config.starts_from_shipped_tower:
        load_towers(module, load_weights(SHIPPED_WEIGHTS))
        print(
            "starting from the image tower of the shipped estimator, whose seeds are kept as "
            "ancestors; --from-scratch starts from random weights",
            file=sys.stderr,
        )


def _load(path: Path, load: Callable[[dict[str, Tensor]], Any]) -> None:
    weights = load_module(path).network.state_dict() if path.is_dir() else load_weights(path)
    try:
        load(weights)
    except (RuntimeError, AttributeError) as error:
        raise InputError(
            f"{path} holds the weights of another network; --model, --head and the numbers of "
            "cameras, keypoints and static landmarks must be equal"
        ) from error


def load_network(module: PoseModule, weights: dict[str, Tensor]) -> None:
    """Loads trained weights with their priors; keypoints and anchors stay the module's.

    Weights of one stage become the first stage of a module with two; the second gets the tower, and
    so it does if theirs has other landmarks. A module with one stage takes the first of two.

    Raises:
        RuntimeError: the weights belong to another network.
    """
    network: Any = module.network
    first, second = _part(weights, "first"), _part(weights, "second")
    if module.two_stages and not _same_landmarks(second, network.second):
        load_towers(module, weights)
        network, weights = network.first, first or weights
    elif not module.two_stages:
        weights = first or weights
    own = network.state_dict()
    kept = {name: own[name] for name in own if name.split(".")[-1] in ("points", "anchors")}
    network.load_state_dict(weights | kept)
    module.hparams["priors"] |= prior_of(network).values()


def _same_landmarks(weights: dict[str, Tensor], stage: nn.Module) -> bool:
    name = "tower.maps.weight"
    return name in weights and weights[name].shape == stage.state_dict()[name].shape


def load_towers(module: PoseModule, weights: dict[str, Tensor]) -> None:
    """Loads the image towers of a network, without their last layers: a map for each landmark.

    Towers that it lacks get the weights of one that it has.
    """
    found = {name: tower for name in TOWERS if (tower := _part(weights, name))}
    for name in TOWERS:
        if own := _part(module.network.state_dict(), name):
            maps = {key: value for key, value in own.items() if "maps." in key}
            loaded = found.get(name) or next(iter(found.values()), {})
            module.network.get_submodule(name).load_state_dict(loaded | maps)


def _part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of a part of a network."""
    start = name + "."
    return {key.removeprefix(start): value for key, value in weights.items()
            if key.startswith(start)}  # fmt: skip
