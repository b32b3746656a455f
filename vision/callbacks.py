"""What happens beside the steps of training."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

from opendactyl.files.curve import append_row
from opendactyl.vision.module import PoseModule

COLUMNS = (
    "minutes",
    "samples",
    "train/total",
    "train/places",
    "val/loss",
    "val/rotation_error_deg",
    "val/rotation_error_deg_median",
    "val/position_error_mm",
    "val/score",
)
"""The columns of a run's `metrics.csv`."""


class Progress(L.Callback):
    """Tells the module how much of the time has passed."""

    def __init__(self, timer: Timer, minutes: float, epochs: int) -> None:
        """Reads the time off `timer`; a limit of epochs counts like one of time."""
        self._timer = timer
        self._seconds = 60.0 * minutes
        self._epochs = epochs

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Called before each step."""
        assert isinstance(pl_module, PoseModule)
        done = trainer.current_epoch + batch_idx / max(int(trainer.num_training_batches), 1)
        elapsed = self._timer.time_elapsed() / self._seconds
        pl_module.progress = max(elapsed, done / self._epochs)


class LearningCurve(L.Callback):
    """Appends a row to `metrics.csv` at each validation; a resumed run goes on in the same file."""

    def __init__(self, path: Path, timer: Timer) -> None:
        """Writes to `path`."""
        self._path = path
        self._timer = timer

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Called when the averages of a validation are known."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        row = {key: float(value) for key, value in trainer.callback_metrics.items()}
        row["minutes"] = round(self._timer.time_elapsed() / 60, 2)
        row["samples"] = trainer.global_step * data.batch_size
        append_row(self._path, COLUMNS, row)
