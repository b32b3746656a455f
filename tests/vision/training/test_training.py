"""Training: what it leaves behind, and how it goes on."""

import csv
import dataclasses
import shutil
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from tqdm import tqdm

from opendactyl.core.csv_log import append_row
from opendactyl.core.errors import InputError
from opendactyl.vision.training.callbacks import Averaging, Progress
from opendactyl.vision.training.checkpoints import AtomicCheckpoints, load_module
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.train import train


def test_training_leaves_what_the_contract_says(vision_run):
    for name in ("config.json", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (vision_run / name).exists(), name
    assert list(vision_run.glob("events.out.tfevents.*"))
    header = (vision_run / "metrics.csv").read_text().splitlines()[0]
    assert "val/rotation_error_deg" in header


def test_resuming_goes_on_and_other_settings_are_refused(vision_run, tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    before = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    # The number of epochs limits a run like its minutes do, and may grow.
    train(tiny(run, max_epochs=3, resume=True))
    after = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert after == before * 3 // 2
    with pytest.raises(InputError, match="head: '9d' there, '6d' now"):
        train(tiny(run, head="6d", resume=True))
    with pytest.raises(InputError, match="not empty"):
        train(tiny(run))


def test_a_resumed_curve_has_no_row_from_after_the_checkpoint(vision_run, tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    curve = run / "metrics.csv"
    rows = list(csv.DictReader(curve.read_text().splitlines()))
    # A run that is killed leaves such rows: validations come oftener than checkpoints.
    lost = rows[-1] | {"samples": str(int(rows[-1]["samples"]) + 1)}
    append_row(curve, tuple(lost), lost)
    train(tiny(run, max_epochs=3, resume=True))
    resumed = list(csv.DictReader(curve.read_text().splitlines()))
    assert resumed[: len(rows)] == rows
    assert len(resumed) > len(rows) and lost not in resumed


def test_a_finished_run_goes_on_from_its_weights_not_from_their_average(vision_run):
    last = torch.load(vision_run / "checkpoints/last.ckpt", weights_only=True)
    name = "network.maps.weight" if "network.maps.weight" in last["state_dict"] else (
        "network.tower.maps.weight"
    )  # fmt: skip
    assert not torch.equal(last["state_dict"][name], last["current_model_state"][name])
    averaged = load_module(vision_run).state_dict()[name]
    assert torch.equal(last["state_dict"][name], averaged)


@pytest.mark.parametrize("content", ["nonsense", "another network's"])
def test_a_checkpoint_that_cannot_be_gone_on_from_is_named(vision_run, tiny, tmp_path, content):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    last = run / "checkpoints" / "last.ckpt"
    if content == "nonsense":
        last.write_bytes(b"dear")
    else:
        checkpoint = torch.load(last, weights_only=True)
        checkpoint["hyper_parameters"]["image_size"] = 96
        torch.save(checkpoint, last)
    with pytest.raises(InputError, match=r"last\.ckpt is"):
        train(tiny(run, max_epochs=3, resume=True))


def test_training_too_early_says_what_comes_first(tmp_path):
    with pytest.raises(InputError, match="make dataset"):
        train(VisionConfig(data=(tmp_path / "absent",), out=tmp_path / "run"))


def test_strangers_checkpoints_are_loaded_with_weights_only(tmp_path):
    class Poison:
        def __reduce__(self):
            return (exec, ("raise SystemExit('poisoned')",))

    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": Poison()}, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="no estimator checkpoint"):
        load_module(tmp_path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    AtomicCheckpoints().save_checkpoint({"step": 1}, tmp_path / "last.ckpt")

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        AtomicCheckpoints().save_checkpoint({"step": 2}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_short_run_averages_what_it_learned_not_where_it_began():
    average = Averaging(0.999, Path("last.ckpt"))._kwargs["multi_avg_fn"]
    value, steps = [torch.zeros(1), torch.zeros(2)], [torch.tensor(0)]
    for count in range(1, 60):
        average(value, [torch.ones(1), torch.ones(2)], count)
        average(steps, [torch.tensor(count)], count)
    assert min(map(torch.min, value)) > 0.99
    assert steps[0] == 59


@pytest.fixture
def interrupted(monkeypatch):
    """Trains until a method, replaced by another, ends it; returns the last checkpoint."""

    def run(config, owner, name, method):
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, method)
            with pytest.raises(KeyboardInterrupt):
                train(config)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for bar in list(getattr(tqdm, "_instances", ())):  # The process would have ended.
            bar.close()
        return torch.load(config.out / "checkpoints" / "last.ckpt", weights_only=True)

    return run


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_learned(tiny, tmp_path, interrupted, how):
    def interrupt(self, trainer, module, batch, number):
        if number == 2:
            signal.raise_signal(how)

    config = tiny(tmp_path / "run", max_epochs=2)
    last = interrupted(config, Progress, "on_train_batch_start", interrupt)
    # A polite request is heard once the batch is done.
    assert last["global_step"] == (2 if how == signal.SIGINT else 3)
    run = train(dataclasses.replace(config, resume=True))
    assert (run / "checkpoints" / "best.ckpt").exists()


def test_an_interrupted_validation_does_not_confuse_weights_and_average(
    tiny, tmp_path, interrupted
):
    judged, validate = {}, PoseModule.validation_step

    def interrupt(self, batch, number):
        if self.global_step < 3:  # The average of one is that one.
            return validate(self, batch, number)
        judged.update({name: value.clone() for name, value in self.state_dict().items()})
        raise KeyboardInterrupt

    config = tiny(tmp_path / "run", max_epochs=2, max_steps=6)
    last = interrupted(config, PoseModule, "validation_step", interrupt)
    for name, value in last["state_dict"].items():
        torch.testing.assert_close(value, judged[name], msg=name)
    changed = [n for n, v in last["current_model_state"].items() if not torch.equal(v, judged[n])]
    assert changed


def test_a_validation_interrupted_after_the_training_leaves_a_checkpoint_to_go_on_from(
    tiny, tmp_path, interrupted
):
    validate = PoseModule.validation_step

    def interrupt(self, batch, number):
        if self.trainer.state.fn == TrainerFn.FITTING:
            return validate(self, batch, number)
        raise KeyboardInterrupt

    config = tiny(tmp_path / "run", max_epochs=2)
    last = interrupted(config, PoseModule, "validation_step", interrupt)
    assert any(
        not torch.equal(value, last["state_dict"][name])
        for name, value in last["current_model_state"].items()
    )
    run = train(dataclasses.replace(config, resume=True))
    after = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert after["global_step"] == last["global_step"]
    assert (run / "checkpoints" / "best.ckpt").exists()
