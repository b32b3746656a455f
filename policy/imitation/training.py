"""Trains the imitation network: records tracks, then composes demonstrations of programs."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from opendactyl.core.csv_log import append_row, trim
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import announce, open_run, removed_on_failure
from opendactyl.core.signals import sigterm_interrupts
from opendactyl.geometry.rotation import Array
from opendactyl.models.supervised_step import take_step
from opendactyl.models.weights import save_checkpoint
from opendactyl.policy.imitation.checkpoint import (
    CHECKPOINT,
    load_checkpoint,
    make_network,
    module_of,
)
from opendactyl.policy.imitation.codes import encode_programs
from opendactyl.policy.imitation.config import ImitationConfig
from opendactyl.policy.imitation.dataset import Composer, Examples
from opendactyl.policy.imitation.forms import TrainingForms, validation_programs
from opendactyl.policy.imitation.losses import answer
from opendactyl.policy.imitation.segments import Motions
from opendactyl.policy.imitation.tracks import SHARD, Demonstrate, Demonstrator, Track, TrackStore

CHECKPOINT_SECONDS = 60.0
CHECKPOINT_BYTES, TRACK_BYTES = 5e6, 1e4
"""Sizes of a checkpoint and of a track, generously."""
VALIDATION_MOTIONS = 10
"""Of the tracks, one in this many is kept for validation."""
VALIDATION = 256
EMA = 0.995
STEPS = 4
"""Steps with examples that are composed together."""
COLUMNS = ("step", "seconds", "loss", "validation_right", "validation_error_rad")


def train(
    config: ImitationConfig, demonstrator: Demonstrator, recorded: Sequence[Track] = ()
) -> Path:
    """Trains until the time is over; returns the run folder.

    Args:
        config: the settings.
        demonstrator: makes tracks in batched physics.
        recorded: further tracks, whose programs are learned too, even if they are held out.

    Raises:
        InputError: the settings, or an existing run, cannot be used.
        EnvironmentFailure: the disk failed, or the training diverged.
    """
    run = config.out
    with removed_on_failure(run, lambda: exists(run / CHECKPOINT)), sigterm_interrupts():
        settings = config.lasting() | {"bundle_sha256": demonstrator.identity}
        open_run(run, settings, resume=config.resume)
        written = CHECKPOINT_BYTES + TRACK_BYTES * config.tracks
        announce(run, 60 * config.max_minutes, written, limit=True)
        trainer = Trainer(config, run)
        tracks = trainer.record(demonstrator.demonstrate)
        try:
            trainer.fit(tracks, demonstrator.noise, recorded)
        except KeyboardInterrupt:
            trainer.save()
            raise
    return run


class Trainer:
    """A training run."""

    def __init__(self, config: ImitationConfig, run: Path) -> None:
        """Makes the network, or continues with that of the last checkpoint."""
        self._config, self._run = config, run
        torch.manual_seed(config.seed)
        self.network = make_network()
        self.averaged = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(EMA), use_buffers=True
        )
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=0.01
        )
        self._step, self._seconds, self._loss = 0, 0.0, math.nan
        self._validated = 0
        """The step of the last validation."""
        self._began: float | None = None
        """Seconds of the run at which the training began, after the tracks."""
        if exists(run / CHECKPOINT):
            self._restore(load_checkpoint(run))
            trim(run / "metrics.csv", "step", self._step)
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of all sessions of this run."""
        return self._seconds + time.monotonic() - self._since

    @property
    def _limit(self) -> float:
        return 60.0 * self._config.max_minutes

    def record(self, demonstrate: Demonstrate) -> list[Track]:
        """Records the tracks that are missing; returns all.

        Raises:
            InputError: they leave no time for the training, or cannot be used.
            EnvironmentFailure: the disk failed.
        """
        tracks = self._config.tracks
        store = TrackStore(self._run / "tracks", self._config.seed)
        missing, shards = store.missing(tracks), math.ceil(tracks / SHARD)
        for number in tqdm(missing, "tracks", shards, initial=shards - len(missing), unit="shard"):
            self._check_time()
            store.add(demonstrate, number, min(SHARD, tracks - SHARD * number))
            self.save()
        if not self._step:
            self._check_time()
        return store.load()

    def _check_time(self) -> None:
        if self.seconds >= self._limit:
            raise InputError(
                f"--max-minutes {self._config.max_minutes:g} are over before the training begins: "
                f"recording {self._config.tracks} --tracks takes longer; --resume with more "
                "minutes keeps those that are recorded"
            )

    def fit(self, tracks: Sequence[Track], noise: Array, recorded: Sequence[Track] = ()) -> None:
        """Trains on motions of tracks until the time is over; a finished run stays as it is."""
        last_only = self._config.keyframes == "last"
        kept = [t for i, t in enumerate(tracks) if i % VALIDATION_MOTIONS]
        if not kept:
            raise InputError(f"{self._run} has {len(tracks)} track; 2 are needed, raise --tracks")
        train, test = (
            Composer(Motions(some), noise, last_only=last_only)
            for some in ([*kept, *recorded], tracks[::VALIDATION_MOTIONS])
        )
        forms = TrainingForms(self._config.seed, [track.program for track in recorded])
        if self._began is None:
            self._began = self.seconds
        elif self.seconds >= self._limit and self._validated == self._step:
            return
        began, saved = self._began, time.monotonic()
        with tqdm(total=round(self._limit - began), unit="s", desc="training") as bar:
            while True:
                self._epoch(train, forms, began)
                bar.n = round(self.seconds - began)
                bar.set_postfix(step=self._step, loss=f"{self._loss:.3f}", refresh=False)
                bar.update(0)
                if self.seconds >= self._limit:
                    break
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self._validate(test)
                    saved = time.monotonic()
        self._validate(test)

    def _epoch(self, composer: Composer, forms: TrainingForms, began: float) -> None:
        """Some steps."""
        rng = np.random.default_rng([self._config.seed, self._step])
        examples = composer.examples(forms.at(self._step), STEPS * self._config.batch_size, rng)
        batches = examples.by_length(STEPS)
        for number in rng.permutation(STEPS):
            left = 1 - (self.seconds - began) / max(self._limit - began, 1e-9)
            loss = self._learn(batches[number], left)
            self._loss = loss if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * loss

    def _learn(self, batch: Examples, left: float) -> float:
        """One step, with a fraction of the time left; returns the loss."""
        loss = answer(self.network, batch).loss
        take_step(
            loss,
            self.network,
            self._optimizer,
            learning_rate=self._config.learning_rate,
            left=left,
            steps=self._step,
        )
        self.averaged.update_parameters(self.network)
        self._step += 1
        return float(loss.detach())

    def _validate(self, composer: Composer) -> None:
        """Measures the averaged network on motions and programs not trained on, and saves."""
        rng = np.random.default_rng(self._config.seed)
        forms = encode_programs(validation_programs(rng, VALIDATION))
        examples = composer.examples(forms, VALIDATION, rng)
        with torch.no_grad():
            found = answer(module_of(self.averaged), examples)
        asked = torch.from_numpy(examples.asked)
        row = {
            "step": self._step,
            "seconds": round(self.seconds, 1),
            "loss": self._loss,
            "validation_right": float(found.right[asked].float().mean()),
            "validation_error_rad": float(found.error[asked].median()),
        }
        append_row(self._run / "metrics.csv", COLUMNS, row)
        self._validated = self._step
        self.save()

    def save(self) -> None:
        """Writes the checkpoint, atomically."""
        (self._run / CHECKPOINT).parent.mkdir(exist_ok=True)
        value = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "seconds": self.seconds,
            "began": self._began,
            "validated": self._validated,
        }
        save_checkpoint(value, self._run / CHECKPOINT)

    def _restore(self, value: dict[str, Any]) -> None:
        self.network.load_state_dict(value["network"])
        self.averaged.load_state_dict(value["averaged"])
        self._optimizer.load_state_dict(value["optimizer"])
        self._step, self._seconds = value["step"], value["seconds"]
        self._began, self._validated = value.get("began"), value.get("validated", self._step)
