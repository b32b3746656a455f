"""Training of the action transformer: opens the run, trains, reports; and loads what it left."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from opendactyl.core.atomic_files import read_json
from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME, to_plain
from opendactyl.models.policy.chunks import ChunkPolicy
from opendactyl.policy.msat.collector import MakeObserver
from opendactyl.policy.msat.config import MsatConfig
from opendactyl.policy.msat.driver import make_network
from opendactyl.policy.msat.teacher import LAYOUT, Teacher, check_teacher
from opendactyl.policy.msat.trainer import Trainer
from opendactyl.policy.randomization.config import load_randomization
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.provenance import SeedRecord
from opendactyl.policy.training.train import train_in
from opendactyl.sim.assets.storage import hand_settings, identity_settings
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.objects.shipped import object_spec


def train(config: MsatConfig, teacher: Teacher, make_observer: MakeObserver | None = None) -> Path:
    """Trains a driver and returns its run folder.

    Args:
        config: the settings.
        teacher: the policy that `config.teacher` names.
        make_observer: makes the estimator of an environment's images, for `--vision`.

    Raises:
        InputError: invalid settings, or the folder holds something else.
        EnvironmentFailure: the training diverged, or the renderer failed.
    """
    config.check()
    check_teacher(config, teacher)
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    folder = config.out or Path("runs") / f"policy-{teacher.environment.task}-msat"
    trainer = Trainer(config, teacher, folder, _seeds(config, teacher), make_observer)
    return train_in(
        folder, trainer, _settings(config, trainer), teacher.environment,
        resume=config.resume, max_minutes=config.max_minutes,
    )  # fmt: skip


def _seeds(config: MsatConfig, teacher: Teacher) -> SeedRecord:
    """The record of a run: its own seed, and those of its teacher."""
    return teacher.seeds | {"seeds": sorted({*teacher.seeds["seeds"], config.seed})}


def _settings(config: MsatConfig, trainer: Trainer) -> dict[str, Any]:
    """The settings of the run, with those of the teacher's environment under the usual keys."""
    environment = trainer.teacher.environment
    action = environment.action_config()
    hand = hand_spec(environment.hand)
    plain = {key: value for key, value in config.lasting().items() if key != "hand"}
    return (
        plain
        | identity_settings(object_spec(environment.object))
        | hand_settings(hand)
        | {"task": environment.task, "layout": LAYOUT, "action": action.mode}
        | {"smoothing": action.smoothing, "tokens": to_plain(trainer.tokens)}
        | {"distributions": to_plain(load_randomization(config.randomization))}
    )


def is_msat(run: Path) -> bool:
    """Whether a folder is a run of `--driver msat`."""
    return exists(run / CONFIG_NAME) and read_json(run / CONFIG_NAME).get("driver") == "msat"


def load_driver(run: Path, hand: HandSpec) -> tuple[ChunkPolicy, dict[str, Any]]:
    """The best driver of a run, and the run's settings.

    Args:
        run: the run folder.
        hand: the hand of the run.

    Raises:
        InputError: the run contains no finished driver.
    """
    plain = read_json(run / CONFIG_NAME)
    names = ("network", "chunk", "execute", "euler_steps", "physics")
    config = dataclasses.replace(MsatConfig(), **{name: plain[name] for name in names})
    tokens = plain["tokens"] and (int(plain["tokens"][0]), int(plain["tokens"][1]))
    network = make_network(config, hand, tokens)
    try:
        network.load_state_dict(load_checkpoint(run / "checkpoints" / "best.ckpt")["student"])
    except RuntimeError as error:
        raise InputError(
            f"the policy in {run} has another shape than its config.json says"
        ) from error
    return ChunkPolicy(network.eval(), config.execute), plain
