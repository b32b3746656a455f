"""Weights of earlier runs: checkpoints from strangers are read as tensors and plain values only."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from opendactyl.core.errors import InputError
from opendactyl.models.weights import load_weights, save_checkpoint
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.module import PoseModule


def load_module(run: Path, name: str = "best") -> PoseModule:
    """The trained network of a run, with its averaged weights, ready to evaluate.

    Raises:
        InputError: there is no such checkpoint, or it is not one of ours.
    """
    path = run / "checkpoints" / f"{name}.ckpt"
    if not path.exists():
        raise InputError(
            f"{path} does not exist; train an estimator first with `make train-vision`, "
            "or name a run folder that holds one"
        )
    try:
        return PoseModule.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()
    except Exception as error:
        raise InputError(f"{path} is no estimator checkpoint of this version ({error})") from error


def best_checkpoint(run: Path) -> Path:
    """Where a run keeps what it is evaluated and exported by."""
    return run / "checkpoints" / "best.ckpt"


def last_checkpoint(run: Path) -> Path:
    """Where a run keeps what it goes on from."""
    return run / "checkpoints" / "last.ckpt"


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place first.

    Lightning's own goes by the machine's temporary folder; from another disk, that is a copy over
    the only checkpoint there is.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Writes it, complete or not at all."""
        save_checkpoint(checkpoint, Path(path))


def resume_point(run: Path, module: PoseModule) -> Path | None:
    """The checkpoint from which a run is to go on, or None where it has yet to begin.

    Raises:
        InputError: it is damaged, or that of another network.
    """
    path = last_checkpoint(run)
    if not path.exists():
        return None
    known = load_module(run, "last").hparams
    differing = [name for name in known if known[name] != module.hparams.get(name)]
    if differing:
        raise InputError(
            f"{path} is the checkpoint of another network ({', '.join(differing)} differ); "
            "delete it, or name another folder with --out"
        )
    return path


def start_from(config: VisionConfig, module: PoseModule) -> None:
    """Takes the weights that the settings name, if they name any.

    Raises:
        InputError: they cannot be read, or are those of another network.
    """
    if config.backbone is not None:
        if not config.backbone.exists():
            raise InputError(f"--backbone {config.backbone} does not exist")
        tower: Any = module.network
        _take(config.backbone, tower.load_backbone, load_weights(config.backbone))
    if config.warm_start is not None:
        path = config.warm_start
        weights = load_module(path).network.state_dict() if path.is_dir() else load_weights(path)
        _take(path, module.network.load_state_dict, weights)


def _take(
    path: Path, load: Callable[[dict[str, torch.Tensor]], Any], weights: dict[str, torch.Tensor]
) -> None:
    try:
        load(weights)
    except (RuntimeError, AttributeError) as error:
        raise InputError(
            f"{path} holds the weights of another network; --model, --head, the rig's cameras and "
            "the object must be equal"
        ) from error
