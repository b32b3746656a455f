"""What happens beside the steps of training."""

import math
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Timer, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from opendactyl.core.csv_log import append_row, trim
from opendactyl.datasets.loading.datamodule import PoseDataModule
from opendactyl.vision.measures.gallery import draw_samples
from opendactyl.vision.measures.predictions import Predictions
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.module import PoseModule

COLUMNS = (
    "minutes",
    "samples",
    "train/total",
    "train/places",
    "val/loss",
    "val/rotation_error_deg",
    "val/position_error_mm",
    "val/score",
)
"""The columns of a run's `metrics.csv`."""
SHOWN = 4
"""Validation samples drawn for TensorBoard."""


class Progress(L.Callback):
    """Tells the module how much of the time has passed."""

    def __init__(self, timer: Timer, config: VisionConfig) -> None:
        """Reads the time off `timer`; limits of epochs and of steps count like one of time."""
        self._timer = timer
        self._config = config

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Called before each step."""
        assert isinstance(pl_module, PoseModule)
        config = self._config
        done = trainer.current_epoch + batch_idx / max(int(trainer.num_training_batches), 1)
        progress = max(
            self._timer.time_elapsed() / (60.0 * config.max_minutes),
            done / config.max_epochs,
            trainer.global_step / (config.max_steps or math.inf),
        )
        # Networks that are to stay equal need equal step sizes, whatever their clocks say.
        pl_module.progress = trainer.strategy.broadcast(progress)


class Averaging(WeightAveraging):
    """A moving average of the weights whose memory grows with the run.

    With a constant decay a short run would end on an average over weights that knew nothing.
    """

    def __init__(self, decay: float, last: Path) -> None:
        """Forgets at most `1 - decay` a step.

        Args:
            decay: share of the old average that a step keeps, at most.
            last: where the finished run is saved, to be gone on with.
        """
        self._last = last
        self._swapped = False

        def average(old: list[Tensor], new: list[Tensor], count: Tensor | int) -> None:
            keep = min(decay, (1.0 + int(count)) / (10.0 + int(count)))
            counts = not old[0].is_floating_point()
            get_ema_multi_avg_fn(0.0 if counts else keep)(old, new, count)

        super().__init__(multi_avg_fn=average)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Called when training ends: the average takes the place of the weights it was made of.

        They are saved before, for a resumed run goes on from them.
        """
        trainer.save_checkpoint(self._last)
        super().on_train_end(trainer, pl_module)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Called before anything is saved; a validation may have been going on."""
        if self._swapped:
            self._swap_models(pl_module)

    def _swap_models(self, pl_module: L.LightningModule) -> None:
        super()._swap_models(pl_module)
        self._swapped = not self._swapped


class Pictures(L.Callback):
    """Draws a few validation samples with true and estimated axes into TensorBoard."""

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Called at the end of a validation, with the averaged weights in place."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        logger = trainer.logger
        if not isinstance(data, PoseDataModule) or not isinstance(logger, TensorBoardLogger):
            return
        assert isinstance(pl_module, PoseModule)
        if not trainer.is_global_zero:
            return
        count = min(SHOWN, len(data.val))
        arrays = pl_module.estimate_batch(np.array(data.val.images[:count]))
        predictions = Predictions.of(data.val, *arrays)
        picture = draw_samples(predictions, data.val, range(count))
        logger.experiment.add_image(
            "val/estimates", picture, trainer.global_step, dataformats="HWC"
        )


class Interrupted(L.Callback):
    """Saves what was learned when a run is interrupted or told to end."""

    def __init__(self, path: Path) -> None:
        """Saves to `path`."""
        self._path = path

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Called before the trainer is torn down.

        Processes that share a training cannot save together once one of them has stopped; they
        have the checkpoint of a few minutes ago.
        """
        stopped = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        # Validation after the training has the average in place, and `last.ckpt` is written.
        training = trainer.state.fn == TrainerFn.FITTING
        if stopped and training and trainer.world_size == 1:
            trainer.save_checkpoint(self._path)


class LearningCurve(L.Callback):
    """Appends a row to `metrics.csv` at each validation; a resumed run goes on in the same file."""

    def __init__(self, path: Path, timer: Timer) -> None:
        """Writes to `path`."""
        self._path = path
        self._timer = timer

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Drops what a killed run wrote after its last checkpoint."""
        if trainer.is_global_zero:
            trim(self._path, "samples", _samples(trainer))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Called when the averages of a validation are known."""
        row = {key: float(value) for key, value in trainer.callback_metrics.items()}
        row["minutes"] = round(self._timer.time_elapsed() / 60, 2)
        row["samples"] = _samples(trainer)
        if trainer.is_global_zero:
            append_row(self._path, COLUMNS, row)


def _samples(trainer: L.Trainer) -> int:
    """How many samples a run has trained on."""
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    return trainer.global_step * data.batch_size * trainer.world_size
