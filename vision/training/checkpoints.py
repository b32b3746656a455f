"""Checkpoints of runs. Only tensors and plain values are read: files may be untrusted."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from opendactyl.core.errors import InputError, file_error
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rig import Rig
from opendactyl.models.pose.networks.two_stage import REDUCTION
from opendactyl.models.weights import save_checkpoint
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


def first_stage(module: PoseModule) -> PoseModule:
    """The first stage of an estimator as one of its own, for views of a third of the size.

    Raises:
        InputError: it has no second stage.
    """
    hyper = dict(module.hparams)
    if not hyper.pop("crop_size", 0):
        raise InputError("this estimator has one stage; leave out --coarse")
    size = hyper.pop("image_size") // REDUCTION
    rig = Rig.from_dict(hyper.pop("rig")).resized(size)
    first = PoseModule(image_size=size, rig=rig, **hyper)
    first.network.load_state_dict(module.network.first.state_dict())  # pyright: ignore
    first.log_std_shift.copy_(module.first_log_std_shift)
    first.calibrated = module.calibrated
    return first.to(module.device).train(module.training)


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


class Interrupted(L.Callback):
    """Saves a checkpoint when a run is interrupted or terminated."""

    def __init__(self, path: Path) -> None:
        """Saves to `path`."""
        self._path = path

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Saves, in a single process only.

        Data-parallel processes cannot save together once one of them has stopped; they have the
        last periodic checkpoint.
        """
        # SIGTERM ends a run by Lightning's kind of SystemExit, or by that of another library.
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        # The validation after training uses the average, and `last.ckpt` is written by then.
        training = trainer.state.fn == TrainerFn.FITTING
        if stopped and training and trainer.world_size == 1:
            trainer.save_checkpoint(self._path)


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
