"""Policy training: a privileged teacher, cloning, then PPO, within a time limit and resumable."""

from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json
from opendactyl.core.run_dir import CONFIG_NAME, open_run
from opendactyl.core.signals import sigterm_interrupts
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.report import write_report
from opendactyl.policy.training.trainer import Trainer


def train(config: PolicyConfig) -> Path:
    """Trains a policy and returns its run folder.

    Raises:
        InputError: bad settings, or a folder that holds something else.
    """
    config.check()
    if config.ray:
        from opendactyl.policy.collection.ray_collector import connect

        connect(config.ray)
    # Weights that cannot be begun with must leave no run behind.
    trainer = Trainer(config, config.folder)
    folder = open_run(config.folder, _settings(config), resume=config.resume)
    if (folder / "checkpoints" / "last.ckpt").exists():
        trainer.load(folder / "checkpoints" / "last.ckpt")
    else:  # A run that was killed before its first checkpoint begins anew.
        (folder / "metrics.csv").unlink(missing_ok=True)
    try:
        with sigterm_interrupts():
            trainer.run()
    except KeyboardInterrupt:
        trainer.save("last")
        raise
    finally:
        trainer.close()
    write_report(folder)
    return folder


def _settings(config: PolicyConfig) -> dict[str, Any]:
    """The settings a run is compared by; at their defaults, those younger than the run are left."""
    lasting, path = config.lasting(), config.folder / CONFIG_NAME
    if not (config.resume and path.exists()):
        return lasting
    known, defaults = read_json(path), PolicyConfig().lasting()
    return {k: v for k, v in lasting.items() if k in known or v != defaults.get(k)}
