"""Estimator training under Lightning: within a time limit, resumable."""

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, Timer, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import CONFIG_NAME, new_folder, open_run, to_plain
from opendactyl.datasets.format.manifest import MANIFEST_NAME
from opendactyl.datasets.loading.datamodule import PoseDataModule
from opendactyl.models.precision import cpu_multiplies_bf16
from opendactyl.models.weights import save_checkpoint
from opendactyl.vision.training.calibration import calibrate
from opendactyl.vision.training.callbacks import (
    Averaging,
    Interrupted,
    LearningCurve,
    Pictures,
    Progress,
)
from opendactyl.vision.training.checkpoints import (
    AtomicCheckpoints,
    best_checkpoint,
    last_checkpoint,
    load_module,
    resume_point,
    start_from,
)
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.provenance import (
    SEEDS_FILE,
    content_of_data,
    refuse_learned,
    seeds_of_training,
)

if TYPE_CHECKING:
    from opendactyl.vision.training.hard_examples import FindSource

VALIDATIONS = 24
"""How often a run looks at the validation data."""
CHECKPOINT_MINUTES = 5.0
PASSING = (
    "out", "resume", "max_minutes", "max_epochs", "max_steps", "workers", "accelerator",
)  # fmt: skip
"""Settings in which a run may differ when it is resumed."""


def train(config: VisionConfig, find_source: "FindSource | None" = None) -> Path:
    """Trains an estimator and returns its run folder.

    Args:
        config: the settings.
        find_source: gives the source of the states for `mine`, which this room does not know.

    Raises:
        InputError: bad settings or data, or a folder that holds something else.
    """
    config.check()
    _refuse_absent(*config.data, config.val_data)
    if not (config.out / SEEDS_FILE).exists():
        refuse_learned(config)
    if config.mine is not None:
        config = _with_mined(config, find_source)
    # The folder comes last: a mistake in anything else must not leave a run with its settings.
    data = make_data(config)
    L.seed_everything(config.seed, verbose=False)
    module = build_module(config, data)
    if not last_checkpoint(config.out).exists():
        start_from(config, module)
    run = _open(config) if leads() else config.out
    trainer, best = build_trainer(config, run)
    # Only tensors and plain values are read back: checkpoints may come from strangers.
    try:
        trainer.fit(module, data, ckpt_path=resume_point(run, module), weights_only=True)
        (final,) = trainer.validate(module, data, verbose=False)
    except SystemExit as stop:  # Lightning's answer to Ctrl-C.
        raise KeyboardInterrupt from stop
    if best.best_model_score is None or final["val/score"] <= best.best_model_score:
        trainer.save_checkpoint(best_checkpoint(run))
    trainer.strategy.barrier()
    if leads():
        _calibrate(run, data)
    return run


def _refuse_absent(*folders: Path) -> None:
    for folder in folders:
        if not folder.exists():
            raise InputError(
                f"there is no dataset in {folder}; make one first with `make dataset` "
                "or name another with --data and --val-data"
            )


def _with_mined(config: VisionConfig, find_source: "FindSource | None") -> VisionConfig:
    """Renders what `config.mine` gets wrong, and adds it to the training data.

    A resumed run that has its samples asks no more for the bundle, which may be another by now.
    """
    # Only this needs MuJoCo and GL.
    from opendactyl.vision.training.hard_examples import mine

    assert config.mine is not None and find_source is not None
    mined = config.out.with_name(config.out.name + "-mined")
    if leads():
        new_folder(config.out, resume=config.resume)
        if not (last_checkpoint(config.out).exists() and (mined / MANIFEST_NAME).exists()):
            mine(config.data[0], config.mine, config.mine_samples, mined, find_source)
    return dataclasses.replace(config, data=(*config.data, mined))


def _open(config: VisionConfig) -> Path:
    """The run folder, with the settings and the seeds of all data the weights have seen."""
    plain = to_plain(config)
    for name in PASSING:
        del plain[name]
    plain["devices"] = count_devices(config)
    known = (config.out / SEEDS_FILE).exists()
    seeds = {} if known else seeds_of_training(config)
    plain["data_hashes"] = content_of_data(config)
    path = config.out / CONFIG_NAME
    if config.resume and path.exists() and "data_hashes" not in read_json(path):
        del plain["data_hashes"]  # The run is older than they are.
    run = open_run(config.out, plain, resume=config.resume)
    if not known:
        write_json(run / SEEDS_FILE, seeds)
    return run


def leads() -> bool:
    """Whether this process is the first of those that share a training."""
    return rank_zero_only.rank == 0


def _calibrate(run: Path, data: PoseDataModule) -> None:
    """Writes into a run's best checkpoint how its uncertainties are to be scaled."""
    module, path = load_module(run), best_checkpoint(run)
    calibrate(module, data.val, data.limit_val)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["log_std_shift"] = module.log_std_shift
    save_checkpoint(checkpoint, path)


def make_data(config: VisionConfig) -> PoseDataModule:
    """The datasets a configuration names, opened and checked."""
    data = PoseDataModule(
        config.data,
        config.val_data,
        image_size=config.image_size,
        views=config.views,
        batch_size=config.batch_size,
        workers=config.workers,
        seed=config.seed,
        augment=config.augment,
    )
    data.setup()
    return data


def build_module(config: VisionConfig, data: PoseDataModule) -> PoseModule:
    """A fresh network for the rig and the object of the data."""
    return PoseModule(
        model=config.model,
        head=config.head,
        rig=data.rig,
        points=data.val.manifest.keypoints,
        image_size=config.image_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        balance=config.balance,
    )


def build_trainer(config: VisionConfig, run: Path) -> tuple[L.Trainer, ModelCheckpoint]:
    """The trainer of a run, and the keeper of its best checkpoint."""
    folder = run / "checkpoints"
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
        plugins=[AtomicCheckpoints()],
        callbacks=[
            timer,
            Progress(timer, config),
            # Before the averaging, which takes the average out again once a validation is over.
            Pictures(),
            Averaging(config.average, folder / "last.ckpt"),
            LearningCurve(run / "metrics.csv", timer),
            Interrupted(folder / "last.ckpt"),
            best,
            ModelCheckpoint(
                folder, "last", train_time_interval=interval, enable_version_counter=False
            ),
            TQDMProgressBar(refresh_rate=10),
        ],
        **_validations(config, devices),
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
        enable_model_summary=False,
        log_every_n_steps=20,
    )
    return trainer, best


def count_devices(config: VisionConfig) -> int:
    """The processes that are to share the work.

    Raises:
        InputError: there is no GPU, or there are fewer than asked for.
    """
    if config.accelerator == "gpu" and not torch.accelerator.is_available():
        raise InputError(
            "--accelerator is gpu; torch finds none on this machine (`opendactyl doctor` says what "
            "it finds): use auto or cpu"
        )
    gpus = torch.cuda.device_count() if config.accelerator != "cpu" else 0
    if gpus and config.devices > gpus:
        raise InputError(f"--devices is {config.devices}; this machine has {gpus} GPUs")
    return config.devices or max(gpus, 1)


def _validations(config: VisionConfig, devices: int) -> dict[str, Any]:
    """When to validate: `VALIDATIONS` times in a run; several processes do so each epoch."""
    if config.max_steps:
        return {
            "val_check_interval": max(1, config.max_steps // VALIDATIONS),
            "check_val_every_n_epoch": None,
        }
    if devices > 1:  # Their clocks differ: they would not validate together.
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
