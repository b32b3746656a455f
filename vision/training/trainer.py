"""Construction of the Lightning trainer, and how its data-parallel processes are started."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.models.accelerator import check_accelerator, training_device
from opendactyl.models.precision import cpu_multiplies_bf16
from opendactyl.vision.training.callbacks import (
    Averaging,
    Expectation,
    LearningCurve,
    Pictures,
    Progress,
    RunProgressBar,
)
from opendactyl.vision.training.checkpoints import AtomicCheckpoints, Interrupted
from opendactyl.vision.training.config import VisionConfig

VALIDATIONS = 24
"""Number of validations in a run."""
CHECKPOINT_MINUTES = 5.0
_STEP, _STEP_TASKS, _TASKS = "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"


def build_trainer(
    config: VisionConfig, environment: ClusterEnvironment | None
) -> tuple[L.Trainer, ModelCheckpoint]:
    """The trainer of a run, and the callback that keeps its best checkpoint."""
    run, folder = config.out, config.out / "checkpoints"
    minutes = config.max_minutes
    timer = Timer(timedelta(minutes=minutes), verbose=False)
    interval = timedelta(minutes=min(CHECKPOINT_MINUTES, minutes / 2))
    best = ModelCheckpoint(folder, "best", monitor="val/score", enable_version_counter=False)
    devices = count_devices(config)
    trainer = L.Trainer(
        accelerator=config.accelerator,
        devices=devices,
        precision=_precision(config),  # pyright: ignore[reportArgumentType]
        max_epochs=config.max_epochs,
        max_steps=config.max_steps or -1,
        logger=TensorBoardLogger(run.parent, name=run.name, version=""),
        plugins=[AtomicCheckpoints(), *([environment] if environment else [])],
        callbacks=[
            timer,
            Progress(timer, config),
            Expectation(config),
            # First of those at a validation, as it ends a run that diverged.
            LearningCurve(run / "metrics.csv", timer, config.batch_size),
            # Before the averaging, which restores the weights at the end of a validation.
            Pictures(),
            Averaging(config.average, folder / "last.ckpt"),
            Interrupted(folder / "last.ckpt"),
            best,
            ModelCheckpoint(
                folder, "last", train_time_interval=interval, enable_version_counter=False
            ),
            RunProgressBar(config.batch_size),
        ],
        **_validations(config, devices),
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
        enable_model_summary=False,
        log_every_n_steps=20,
    )
    return trainer, best


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises torch's and Lightning's errors under the types that the command line reports."""
    try:
        yield
    except SystemExit as stop:  # Lightning's reaction to Ctrl-C.
        raise KeyboardInterrupt from stop
    except torch.OutOfMemoryError as error:
        raise EnvironmentFailure(f"{error}; use a smaller --batch-size") from error
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        raise _loader_failure(error) from error
    # A process that dies after it announced a batch, before the memory of it was handed over.
    except (ConnectionResetError, ConnectionRefusedError, EOFError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not any("multiprocessing" in frame.filename for frame in frames):
            raise
        raise _loader_failure(error) from error


def _loader_failure(error: Exception) -> EnvironmentFailure:
    reason = str(error) or type(error).__name__
    return EnvironmentFailure(
        f"a process of the data loader died or stopped ({reason}), often for lack of memory or of "
        "shared memory (/dev/shm); try again, with --resume if there is a checkpoint, and with "
        "fewer --workers"
    )


def augments_on_device(config: VisionConfig) -> bool:
    """Whether batches are augmented on the device that trains, not samples in the loader."""
    if config.augment_on == "auto":
        return training_device(config.accelerator).type == "cuda"
    return config.augment_on == "device"


def count_devices(config: VisionConfig) -> int:
    """The number of data-parallel processes.

    Raises:
        InputError: there are fewer GPUs than requested, or none.
    """
    check_accelerator(config.accelerator)
    gpus = torch.cuda.device_count() if config.accelerator != "cpu" else 0
    if gpus and config.devices > gpus:
        raise InputError(f"--devices is {config.devices}; this machine has {gpus} GPUs")
    return config.devices or max(gpus, 1)


def _validations(config: VisionConfig, devices: int) -> dict[str, Any]:
    """When to validate: `VALIDATIONS` times in a run; each epoch with several processes."""
    if config.max_steps:
        return {
            "val_check_interval": max(1, config.max_steps // VALIDATIONS),
            "check_val_every_n_epoch": None,
        }
    if devices > 1:  # Their clocks differ, and all must validate together.
        return {"check_val_every_n_epoch": 1}
    return {
        "val_check_interval": timedelta(minutes=config.max_minutes / VALIDATIONS),
        "check_val_every_n_epoch": None,
    }


def _precision(config: VisionConfig) -> str:
    if config.precision != "auto":
        return config.precision
    if config.accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if cpu_multiplies_bf16() else "32-true"


def launch_environment(devices: int) -> ClusterEnvironment | None:
    """The environment for Lightning's trainer; None lets Lightning take that of torchrun.

    Lightning takes any variable of a scheduler for a job of its own. Such variables remain in
    shells, batch scripts and containers that srun did not start, so only a step of srun counts.

    Args:
        devices: the number of data-parallel processes.

    Raises:
        InputError: srun started another number of processes.
    """
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        return None
    tasks = os.environ.get(_STEP_TASKS) or os.environ.get(_TASKS, "")
    if _STEP in os.environ and tasks not in ("", "1"):
        if tasks != str(devices):
            raise InputError(
                f"srun started {tasks} processes ({_TASKS}), and --devices is {devices}; both must "
                f"be equal: use srun --ntasks={devices}, or --devices {tasks}"
            )
        return SLURMEnvironment()
    # Lightning has read the rank from the same variables; its own processes have LOCAL_RANK.
    rank_zero_only.rank = int(os.environ.get("LOCAL_RANK", "0"))
    return LightningEnvironment()
