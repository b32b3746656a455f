"""Estimator training under Lightning: time-limited and resumable."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import (
    CONFIG_NAME,
    announce,
    new_folder,
    open_run,
    removed_on_failure,
    to_plain,
)  # fmt: skip
from opendactyl.datasets.format.compatibility import check_together, copy_described
from opendactyl.datasets.format.manifest import MANIFEST_NAME
from opendactyl.datasets.loading.datamodule import PoseDataModule
from opendactyl.models.allocator import keep_freed_memory
from opendactyl.models.weights import save_checkpoint
from opendactyl.vision.training.calibration import calibrate
from opendactyl.vision.training.checkpoints import (
    best_checkpoint,
    last_checkpoint,
    load_module,
    resume_point,
)
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.data_sizes import (
    crop_size,
    priors_of,
    view_size,
    window_size,
    with_image_size,
)
from opendactyl.vision.training.module import CALIBRATED, PoseModule
from opendactyl.vision.training.provenance import (
    SEEDS_FILE,
    check_validation_seed,
    content_of_data,
    seeds_of_training,
)
from opendactyl.vision.training.trainer import (
    augments_on_device,
    build_trainer,
    count_devices,
    launch_environment,
    translated_errors,
)
from opendactyl.vision.training.warm_start import start_from

if TYPE_CHECKING:
    from opendactyl.vision.training.hard_examples import FindSource

MAY_CHANGE = (
    "out", "resume", "max_minutes", "max_epochs", "max_steps", "workers", "accelerator", "cache",
    "augment_on",
)  # fmt: skip
"""Settings that may change when a run is resumed."""
WRITTEN = 12
"""Sizes of the weights that a run writes: two checkpoints, and a third while one is replaced, with
weights, their average and the two moments of Adam."""
REPORT_BYTES = 10e6
"""Size of the report and TensorBoard's events."""


def train(config: VisionConfig, find_source: "FindSource | None" = None) -> Path:
    """Trains an estimator and returns its run folder.

    Args:
        config: the settings.
        find_source: returns the source of the states for `config.mine`.

    Raises:
        InputError: invalid settings or data, or the folder is in use.
        EnvironmentFailure: the training diverged, a loader worker died, or the disk is full.
    """
    config.check()
    environment = launch_environment(count_devices(config))
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    keep_freed_memory()
    _check_present(*config.data, config.val_data)
    config = with_image_size(config)
    if not exists(config.out / SEEDS_FILE):
        check_validation_seed(config)
    if config.mine is not None:
        config = _with_mined(config, find_source)
    # The folder is created last: an error in the input must not leave a run behind.
    data = make_data(config)
    L.seed_everything(config.seed, verbose=False)
    module = build_module(config, data)
    if not exists(last_checkpoint(config.out)):
        start_from(config, module)
    trainer, best = build_trainer(config, environment)
    if not is_rank_zero():
        return _fit(config, trainer, best, module, data)
    weights = sum(parameter.nbytes for parameter in module.parameters())
    with removed_on_failure(config.out, lambda: _has_results(config.out)):
        _open(config)
        announce(config.out, 60 * config.max_minutes, WRITTEN * weights + REPORT_BYTES, limit=True)
        run = _fit(config, trainer, best, module, data)
    _calibrate(run, data)
    return run


def _has_results(run: Path) -> bool:
    """Whether a run is worth keeping: --resume continues it, or its curve shows what failed."""
    return exists(last_checkpoint(run)) or exists(run / "metrics.csv")


def _fit(
    config: VisionConfig,
    trainer: L.Trainer,
    best: ModelCheckpoint,
    module: PoseModule,
    data: PoseDataModule,
) -> Path:
    """Trains from the last checkpoint, if there is one, to the end, and keeps the best weights."""
    run = config.out
    with translated_errors():
        trainer.fit(module, data, ckpt_path=resume_point(run, module), weights_only=True)
        (final,) = trainer.validate(module, data, verbose=False)
    if best.best_model_score is None or final["val/score"] <= best.best_model_score:
        trainer.save_checkpoint(best_checkpoint(run))
    trainer.strategy.barrier()
    return run


def _check_present(*folders: Path) -> None:
    for folder in folders:
        if not exists(folder):
            raise InputError(
                f"there is no dataset in {folder}; make one first with `make dataset` "
                "or name another with --data and --val-data"
            )


def _with_mined(config: VisionConfig, find_source: "FindSource | None") -> VisionConfig:
    """Renders hard examples for `config.mine`, and adds them to the training data.

    A resumed run that has them does not need the bundle, which may have changed.
    """
    # Needs MuJoCo and GL, unlike training.
    from opendactyl.vision.training.hard_examples import mine

    assert config.mine is not None and find_source is not None
    mined = config.out.with_name(config.out.name + "-mined")
    if not is_rank_zero() and not exists(mined / MANIFEST_NAME):
        raise InputError(
            f"--mine renders {mined} in one process before the training; begin the run without a "
            "launcher of several, and continue it there with --resume"
        )
    if is_rank_zero():
        new_folder(config.out, resume=config.resume)
        if not (exists(last_checkpoint(config.out)) and exists(mined / MANIFEST_NAME)):
            mine(config.data[0], config.mine, config.mine_samples, mined, find_source)
    return dataclasses.replace(config, data=(*config.data, mined))


def _open(config: VisionConfig) -> Path:
    """Opens the run folder, with the settings and the provenance of the weights."""
    plain = to_plain(config)
    for name in MAY_CHANGE:
        del plain[name]
    plain["devices"] = count_devices(config)
    recorded = exists(config.out / SEEDS_FILE)
    seeds = {} if recorded else seeds_of_training(config)
    plain["data_hashes"] = content_of_data(config)
    path = config.out / CONFIG_NAME
    if config.resume and exists(path):
        for name in {"data_hashes", "from_scratch", "coarse"} - set(read_json(path)):
            del plain[name]  # Older runs have none.
    run = open_run(config.out, plain, resume=config.resume)
    copy_described(config.val_data, run)
    if not recorded:
        write_json(run / SEEDS_FILE, seeds)
    return run


def is_rank_zero() -> bool:
    """Whether this is the first of the data-parallel processes."""
    return rank_zero_only.rank == 0


def _calibrate(run: Path, data: PoseDataModule) -> None:
    """Calibrates the covariance of a run's best checkpoint."""
    module, path = load_module(run), best_checkpoint(run)
    calibrate(module, data.val, data.limit_val)
    checkpoint = torch.load(path, weights_only=True)
    for name in ("log_std_shift", *(["first_log_std_shift"] if module.two_stages else [])):
        checkpoint["state_dict"][name] = getattr(module, name)
    save_checkpoint(checkpoint | CALIBRATED, path)


def make_data(config: VisionConfig) -> PoseDataModule:
    """Opens and checks the datasets of a configuration."""
    check_together(config.data, config.val_data)  # before sizes are derived from all of them
    data = PoseDataModule(
        config.data,
        config.val_data,
        image_size=view_size(config),
        views=config.views,
        batch_size=config.batch_size,
        workers=config.workers,
        seed=config.seed,
        augment=config.augment,
        cache=config.cache,
        windows=window_size(config),
        augment_on_device=augments_on_device(config),
    )
    data.setup()
    return data


def build_module(config: VisionConfig, data: PoseDataModule) -> PoseModule:
    """An untrained network for the rig and the object of the data."""
    raw = data.val.raw_rig
    manifests = [part.manifest for part in data.train]
    return PoseModule(
        model=config.model,
        head=config.head,
        rig=data.rig.resized(config.image_size),
        points=[list(point) for point in data.val.manifest.keypoints],
        anchors=data.val.manifest.load_static_landmarks().tolist(),
        priors=priors_of(manifests).to_dict(),
        image_size=config.image_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        balance=config.balance,
        symmetry=data.val.manifest.symmetry,
        hinges=data.val.manifest.hinges,
        raw_rig=raw and raw.to_dict(),
        crop_size=crop_size(config, manifests),
    )
