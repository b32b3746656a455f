"""Policy training: a privileged teacher, distillation, then PPO; time-limited and resumable."""

from pathlib import Path
from typing import Any, Protocol

import torch

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.cpu import cores
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME, announce, open_run, removed_on_failure
from opendactyl.core.signals import sigterm_interrupts
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.metrics_log import METRICS_FILE
from opendactyl.policy.training.provenance import SEEDS_FILE
from opendactyl.policy.training.report import write_report
from opendactyl.policy.training.trainer import Trainer
from opendactyl.sim.assets.storage import store_copy
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec

WRITTEN_BYTES = 100e6
"""Size of a run, largely that of its checkpoints."""


class Trainable(Protocol):
    """What `train_in` needs of a trainer."""

    @property
    def state(self) -> Any:
        """The state that checkpoints hold, with `path` and `seeds`."""
        ...

    def load(self) -> None:
        """Continues from the last checkpoint."""
        ...

    def run(self) -> None:
        """Trains until the time is up."""
        ...

    def save(self, name: str) -> None:
        """Writes a checkpoint."""
        ...

    def close(self) -> None:
        """Frees what the trainer holds."""
        ...


def train(config: PolicyConfig) -> Path:
    """Trains a policy and returns its run folder.

    Raises:
        InputError: invalid settings, or the folder holds something else.
        EnvironmentFailure: the training diverged, or the Ray cluster failed.
    """
    config.check()
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    if config.ray:
        from opendactyl.policy.collection.ray_collector import connect

        connect(config.ray)
    # Before the folder is created: unusable initial weights leave no run behind.
    trainer = Trainer(config, config.folder)
    return train_in(
        config.folder, trainer, _settings(config), config.environment(),
        resume=config.resume, max_minutes=config.max_minutes,
    )  # fmt: skip


def train_in(
    folder: Path,
    trainer: Trainable,
    settings: dict[str, Any],
    environment: EnvConfig,
    *,
    resume: bool,
    max_minutes: float,
) -> Path:
    """Opens a run folder, trains, and reports; continues from the last checkpoint, if any.

    Args:
        folder: the run folder.
        trainer: what trains; it is closed in the end.
        settings: those that a resumed run must share.
        environment: the environment, whose object and hand are copied into the folder.
        resume: whether to continue an interrupted run.
        max_minutes: training time in total.
    """
    try:
        with removed_on_failure(folder, lambda: exists(trainer.state.path("last"))):
            open_run(folder, settings, resume=resume)
            announce(folder, 60 * max_minutes, WRITTEN_BYTES, limit=True)
            store_copy(object_spec(environment.object), folder)
            store_copy(hand_spec(environment.hand), folder)
            write_json(folder / SEEDS_FILE, trainer.state.seeds)
            _run(folder, trainer)
    finally:
        trainer.close()
    write_report(folder)
    return folder


def _run(folder: Path, trainer: Trainable) -> None:
    if exists(trainer.state.path("last")):
        trainer.load()
    else:  # A run that was killed before its first checkpoint starts over.
        (folder / METRICS_FILE).unlink(missing_ok=True)
    try:
        with sigterm_interrupts():
            trainer.run()
    except KeyboardInterrupt:
        trainer.save("last")
        raise


def _settings(config: PolicyConfig) -> dict[str, Any]:
    """The settings to compare with those of the run.

    Settings that did not exist when the run began are left out where they have their default.
    """
    lasting, path = config.lasting(), config.folder / CONFIG_NAME
    if not (config.resume and exists(path)):
        return lasting
    known, defaults = read_json(path), PolicyConfig().lasting()
    return {k: v for k, v in lasting.items() if k in known or v != defaults.get(k)}
