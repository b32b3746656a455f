"""Policy training: a privileged teacher, distillation, then PPO; time-limited and resumable."""

from pathlib import Path
from typing import Any

import torch

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.cpu import cores
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME, announce, open_run, removed_on_failure
from opendactyl.core.signals import sigterm_interrupts
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
    try:
        with removed_on_failure(config.folder, lambda: exists(trainer.state.path("last"))):
            _run(config, trainer)
    finally:
        trainer.close()
    write_report(config.folder)
    return config.folder


def _run(config: PolicyConfig, trainer: Trainer) -> None:
    """Opens the run folder, and trains."""
    folder = open_run(config.folder, _settings(config), resume=config.resume)
    announce(folder, 60 * config.max_minutes, WRITTEN_BYTES, limit=True)
    store_copy(object_spec(config.object), folder)
    store_copy(hand_spec(config.hand), folder)
    write_json(folder / SEEDS_FILE, trainer.state.seeds)
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
