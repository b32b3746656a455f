"""Checkpoints of runs. Only tensors and plain values are read: files may be untrusted."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from opendactyl.core.errors import InputError, file_error
from opendactyl.core.optional_files import exists
from opendactyl.models.weights import load_weights, save_checkpoint
from opendactyl.vision.training.config import SHIPPED_WEIGHTS, VisionConfig
from opendactyl.vision.training.module import PoseModule


def load_module(run: Path, name: str = "best") -> PoseModule:
    """The trained network of a run, with its averaged weights, in evaluation mode.

    Raises:
        InputError: the checkpoint is missing, or not one of this version.
        EnvironmentFailure: the disk failed.
    """
    path = run / "checkpoints" / f"{name}.ckpt"
    if not exists(path):
        raise InputError(
            f"{path} does not exist; train an estimator first with `make train-vision`, "
            "or name a run folder that holds one"
        )
    try:
        return PoseModule.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()
    except OSError as error:
        raise file_error(f"cannot read {path}", error) from error
    except Exception as error:
        raise InputError(
            f"{path} is not an estimator checkpoint of this version ({error})"
        ) from error


def best_checkpoint(run: Path) -> Path:
    """Path of the checkpoint that is evaluated and exported."""
    return run / "checkpoints" / "best.ckpt"


def last_checkpoint(run: Path) -> Path:
    """Path of the checkpoint that a run resumes from."""
    return run / "checkpoints" / "last.ckpt"


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes checkpoints atomically.

    Lightning writes to the system's temporary folder first; from there to another disk, it copies
    over the only checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Writes a checkpoint, complete or not at all."""
        save_checkpoint(checkpoint, Path(path))


def resume_point(run: Path, module: PoseModule) -> Path | None:
    """The checkpoint that a run resumes from; None for a new run.

    Raises:
        InputError: it is damaged, or belongs to another network.
    """
    path = last_checkpoint(run)
    if not exists(path):
        return None
    stored = load_module(run, "last").hparams
    # The priors are those of the weights, which a warm start may have brought.
    compared = set(stored) - {"priors"}
    differing = [name for name in compared if stored[name] != module.hparams.get(name)]
    if differing:
        raise InputError(
            f"{path} is the checkpoint of another network ({', '.join(differing)} differ); "
            "delete it, or name another folder with --out"
        )
    return path


def start_from(config: VisionConfig, module: PoseModule) -> None:
    """Loads the weights of `--backbone` and `--warm-start`, or the shipped image tower.

    Raises:
        InputError: they cannot be read, or belong to another network.
    """
    if config.backbone is not None:
        if not exists(config.backbone):
            raise InputError(f"--backbone {config.backbone} does not exist")
        tower: Any = module.network
        _load(config.backbone, tower.load_backbone, load_weights(config.backbone))
    if config.warm_start is not None:
        path = config.warm_start
        weights = load_module(path).network.state_dict() if path.is_dir() else load_weights(path)
        _load(path, module.load_network, weights)
    if config.starts_from_shipped_tower:
        module.load_tower(load_weights(SHIPPED_WEIGHTS))
        print(
            "starting from the image tower of the shipped estimator, whose seeds are kept as "
            "ancestors; --from-scratch starts from random weights",
            file=sys.stderr,
        )


def _load(
    path: Path, load: Callable[[dict[str, torch.Tensor]], Any], weights: dict[str, torch.Tensor]
) -> None:
    try:
        load(weights)
    except (RuntimeError, AttributeError) as error:
        raise InputError(
            f"{path} holds the weights of another network; --model, --head and the numbers of "
            "cameras, keypoints and static landmarks must be equal"
        ) from error
