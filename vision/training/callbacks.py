"""Callbacks of estimator training."""

import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer, TQDMProgressBar, WeightAveraging
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from opendactyl.core.csv_log import append_row, trim
from opendactyl.core.errors import EnvironmentFailure
from opendactyl.datasets.loading.datamodule import PoseDataModule
from opendactyl.vision.measures.gallery import draw_samples
from opendactyl.vision.measures.measured_runs import expectation
from opendactyl.vision.measures.predictions import predict
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
SHOWN_IN_BAR = (
    "deg", "mm", "val/rotation_error_deg", "val/position_error_mm", "val/hinge_error_deg",
)  # fmt: skip
"""Metrics in the progress bar."""
SHOWN = 4
"""Validation samples in TensorBoard's picture."""


class Progress(L.Callback):
    """Sets the module's `progress`, the fraction of the training that is done."""

    def __init__(self, timer: Timer, config: VisionConfig) -> None:
        """Uses the time of `timer` and the limits of `config`, the nearest of which counts."""
        self._timer = timer
        self._config = config

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Updates the progress before each step."""
        assert isinstance(pl_module, PoseModule)
        config = self._config
        done = trainer.current_epoch + batch_idx / max(int(trainer.num_training_batches), 1)
        progress = max(
            self._timer.time_elapsed() / (60.0 * config.max_minutes),
            done / config.max_epochs,
            trainer.global_step / (config.max_steps or math.inf),
        )
        # The learning rate must be equal in all processes; their clocks differ.
        pl_module.progress = trainer.strategy.broadcast(progress)


class Expectation(L.Callback):
    """Says, after the first steps of a run, how many samples it will see and what that gives."""

    SKIPPED, SECONDS = 3, 10.0
    """Steps before the measurement, which are slower, and its duration."""

    def __init__(self, config: VisionConfig) -> None:
        """Describes a run with these settings."""
        self._config = config
        self._first: tuple[float, int, float] | None = None
        self._steps = 0
        self._announced = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Announces once."""
        assert isinstance(pl_module, PoseModule)
        self._steps += 1
        if self._announced or self._steps < self.SKIPPED or not trainer.is_global_zero:
            return
        now, step, done = time.monotonic(), trainer.global_step, pl_module.progress
        if self._first is None:
            self._first = now, step, done
            return
        began, first, before = self._first
        if now - began < self.SECONDS or done <= before:
            return
        self._announced = True
        batch = self._config.batch_size * trainer.world_size
        # The progress is that at the start of a step.
        steps = step - 1 + (step - first) * max(1 - done, 0) / (done - before)
        config, speed = self._config, (step - first) * batch / (now - began)
        line = expectation(speed, round(steps * batch), (config.model, pl_module.two_stages),
                           trained=config.warm_start is not None,
                           shipped_towers=config.starts_from_shipped_tower)  # fmt: skip
        tqdm.write(f"expected: {line}", file=sys.stderr)


class RunProgressBar(TQDMProgressBar):
    """Shows how much of the run is done, not of the epoch, and the time until its end."""

    def __init__(self, batch_size: int) -> None:
        """Also shows the samples per second; a step trains on `batch_size`."""
        super().__init__(refresh_rate=10)
        self._batch_size = batch_size
        self._first: tuple[float, int] | None = None

    def init_train_tqdm(self) -> Tqdm:
        """A bar in percent; tqdm computes the remaining time from it."""
        return Tqdm(
            total=100.0,
            desc="training",
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            smoothing=0,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
        )

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Keeps the bar, which Lightning resets."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Updates the bar, at intervals."""
        assert isinstance(pl_module, PoseModule)
        bar, now = self.train_progress_bar, time.monotonic()
        done = 100 * min(pl_module.progress, 1.0)
        if self._first is None:  # Also of a resumed run, whose earlier part took no time here.
            self._first = now, trainer.global_step
            bar.initial = bar.n = done
        if trainer.global_step % self.refresh_rate:
            return
        began, step = self._first
        shown = {key: f"{float(trainer.progress_bar_metrics[key]):.3g}" for key in SHOWN_IN_BAR
                 if key in trainer.progress_bar_metrics}  # fmt: skip
        speed = (trainer.global_step - step) * self._batch_size / max(now - began, 1e-9)
        bar.n = done
        bar.set_postfix(shown | {"samples/s": f"{speed:.0f}"})

    def on_train_end(self, *_: Any) -> None:
        """Completes the bar."""
        self.train_progress_bar.n = self.train_progress_bar.total
        super().on_train_end()


class Averaging(WeightAveraging):
    """A moving average of the weights whose decay grows to its limit.

    With a constant decay, the average of a short run would contain its random initial weights.
    """

    def __init__(self, decay: float, last: Path) -> None:
        """Creates the average.

        Args:
            decay: largest weight of the old average in a step.
            last: path of the checkpoint of the finished run, for resuming.
        """
        self._last = last
        self._swapped = False

        def average(old: list[Tensor], new: list[Tensor], count: Tensor | int) -> None:
            current = min(decay, (1.0 + int(count)) / (10.0 + int(count)))
            integers = not old[0].is_floating_point()
            get_ema_multi_avg_fn(0.0 if integers else current)(old, new, count)

        super().__init__(multi_avg_fn=average)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the weights, from which a run resumes, and replaces them by their average."""
        trainer.save_checkpoint(self._last)
        super().on_train_end(trainer, pl_module)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Restores the weights if a validation was interrupted, before anything is saved."""
        if self._swapped:
            self._swap_models(pl_module)

    def _swap_models(self, pl_module: L.LightningModule) -> None:
        super()._swap_models(pl_module)
        self._swapped = not self._swapped


class Pictures(L.Callback):
    """Adds validation samples with true and estimated axes to TensorBoard."""

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the samples, with the averaged weights in place."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        logger = trainer.logger
        if not isinstance(data, PoseDataModule) or not isinstance(logger, TensorBoardLogger):
            return
        assert isinstance(pl_module, PoseModule)
        if not trainer.is_global_zero:
            return
        count = min(SHOWN, len(data.val))
        predictions = predict(pl_module, data.val, count)
        picture = draw_samples(predictions, data.val, range(count))
        logger.experiment.add_image(
            "val/estimates", picture, trainer.global_step, dataformats="HWC"
        )


class LearningCurve(L.Callback):
    """Appends a row to `metrics.csv` at each validation; a resumed run continues the file."""

    def __init__(self, path: Path, timer: Timer, batch_size: int) -> None:
        """Writes to `path`; each process trains on `batch_size` samples per step."""
        self._path = path
        self._timer = timer
        self._batch_size = batch_size

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Drops rows that a killed run wrote after its last checkpoint."""
        if trainer.is_global_zero:
            trim(self._path, "samples", self._samples(trainer))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Appends a row.

        Raises:
            EnvironmentFailure: the validation loss is not finite.
        """
        row = {key: float(value) for key, value in trainer.callback_metrics.items()}
        row["minutes"] = round(self._timer.time_elapsed() / 60, 2)
        row["samples"] = self._samples(trainer)
        if trainer.is_global_zero:
            append_row(self._path, COLUMNS, row)
        if not math.isfinite(row.get("val/loss", 0.0)):
            raise EnvironmentFailure(
                f"the training diverged: the validation loss is {row['val/loss']} after "
                f"{row['samples']} samples; train again with a smaller --learning-rate"
            )

    def _samples(self, trainer: L.Trainer) -> int:
        """Number of samples that the run has trained on."""
        return trainer.global_step * self._batch_size * trainer.world_size
