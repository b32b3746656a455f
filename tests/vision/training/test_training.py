"""Training: output files, resuming, failures."""

import csv
import errno
import multiprocessing
import re
import shutil
from pathlib import Path

import pytest
import torch

from opendactyl.core.csv_log import append_row
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.models.weights import load_weights
from opendactyl.vision.training.callbacks import Averaging, Expectation, Progress
from opendactyl.vision.training.checkpoints import AtomicCheckpoints, load_module
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.train import train
from opendactyl.vision.training.trainer import translated_errors


def test_output_files_of_a_training(vision_run):
    for name in ("config.json", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (vision_run / name).exists(), name
    assert list(vision_run.glob("events.out.tfevents.*"))
    header = (vision_run / "metrics.csv").read_text().splitlines()[0]
    assert "val/rotation_error_deg" in header


def test_a_resumed_run_continues_and_refuses_other_settings(vision_run, tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    before = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    # The upper limit of epochs may change.
    train(tiny(run, max_epochs=3, resume=True))
    after = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert after == before * 3 // 2
    with pytest.raises(InputError, match="head: '9d' there, '6d' now"):
        train(tiny(run, head="6d", resume=True))
    with pytest.raises(InputError, match="not empty"):
        train(tiny(run))


def test_a_finished_run_is_calibrated_again_by_resuming_it(vision_run, tiny, tmp_path):
    run = shutil.copytree(vision_run, tmp_path / "run")
    best = run / "checkpoints/best.ckpt"
    calibrated = load_module(run)
    checkpoint = torch.load(best, weights_only=True)
    del checkpoint["covariance"]
    checkpoint["state_dict"]["log_std_shift"] += 1
    torch.save(checkpoint, best)
    assert calibrated.calibrated and not load_module(run).calibrated
    train(tiny(run, max_epochs=2, resume=True))
    assert load_module(run).calibrated
    for name, value in load_module(run).state_dict().items():
        torch.testing.assert_close(value, calibrated.state_dict()[name], msg=name)


def test_a_resumed_run_drops_rows_after_its_checkpoint(vision_run, tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    curve = run / "metrics.csv"
    rows = list(csv.DictReader(curve.read_text().splitlines()))
    # A killed run leaves such rows, as validations are more frequent than checkpoints.
    lost = rows[-1] | {"samples": str(int(rows[-1]["samples"]) + 1)}
    append_row(curve, tuple(lost), lost)
    train(tiny(run, max_epochs=3, resume=True))
    resumed = list(csv.DictReader(curve.read_text().splitlines()))
    assert resumed[: len(rows)] == rows
    assert len(resumed) > len(rows) and lost not in resumed


def test_the_last_checkpoint_has_the_weights_and_their_average(vision_run):
    last = torch.load(vision_run / "checkpoints/last.ckpt", weights_only=True)
    name = "network.maps.weight" if "network.maps.weight" in last["state_dict"] else (
        "network.tower.maps.weight"
    )  # fmt: skip
    assert not torch.equal(last["state_dict"][name], last["current_model_state"][name])
    averaged = load_module(vision_run).state_dict()[name]
    assert torch.equal(last["state_dict"][name], averaged)


@pytest.mark.parametrize("content", ["nonsense", "another network's"])
def test_a_checkpoint_that_cannot_be_resumed_is_refused(vision_run, tiny, tmp_path, content):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    last = run / "checkpoints" / "last.ckpt"
    if content == "nonsense":
        last.write_bytes(b"nonsense")
    else:
        checkpoint = torch.load(last, weights_only=True)
        checkpoint["hyper_parameters"]["image_size"] = 96
        torch.save(checkpoint, last)
    with pytest.raises(InputError, match=r"last\.ckpt is"):
        train(tiny(run, max_epochs=3, resume=True))


def test_a_missing_dataset_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(InputError, match="make dataset"):
        train(VisionConfig(data=(tmp_path / "absent",), out=tmp_path / "run"))


def test_checkpoints_are_loaded_without_executing_code(tmp_path):
    class Poison:
        def __reduce__(self):
            return (exec, ("raise SystemExit('poisoned')",))

    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": Poison()}, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="not an estimator checkpoint"):
        load_module(tmp_path)


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    AtomicCheckpoints().save_checkpoint({"step": 1}, tmp_path / "last.ckpt")

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentFailure, match="No space left"):
        AtomicCheckpoints().save_checkpoint({"step": 2}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_the_average_of_a_short_run_forgets_the_initial_weights():
    average = Averaging(0.999, Path("last.ckpt"))._kwargs["multi_avg_fn"]
    value, steps = [torch.zeros(1), torch.zeros(2)], [torch.tensor(0)]
    for count in range(1, 60):
        average(value, [torch.ones(1), torch.ones(2)], count)
        average(steps, [torch.tensor(count)], count)
    assert min(map(torch.min, value)) > 0.99
    assert steps[0] == 59


def test_a_diverged_training_is_an_environment_failure(tiny, tmp_path, monkeypatch):
    step = PoseModule.training_step

    def diverge(self, batch, number):
        return step(self, batch, number) * torch.nan

    monkeypatch.setattr(PoseModule, "training_step", diverge)
    with pytest.raises(EnvironmentFailure, match=r"diverged.*--learning-rate"):
        train(tiny(tmp_path / "run", max_epochs=50, max_steps=150))
    # It ends at the first validation, not at the end of the training time.
    (row,) = csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines())
    assert int(row["samples"]) < 100


def test_a_dead_loader_process_is_an_environment_failure(tiny, tmp_path, monkeypatch):
    def kill(*_):
        for process in multiprocessing.active_children():
            process.kill()

    monkeypatch.setattr(Progress, "on_train_batch_start", kill)
    with pytest.raises(EnvironmentFailure, match=r"loader died.*fewer --workers"):
        train(tiny(tmp_path / "run", workers=1, max_epochs=3))


def test_a_loader_that_dies_while_it_hands_over_a_batch_is_one_too():
    expected = pytest.raises(EnvironmentFailure, match=r"loader died.*fewer --workers")
    ours, other = multiprocessing.Pipe()
    other.close()
    with expected, translated_errors():
        ours.recv()
    with pytest.raises(ConnectionRefusedError), translated_errors():
        raise ConnectionRefusedError("of a logger")


def test_an_unreadable_checkpoint_is_not_a_wrong_one(vision_run, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("torch.load", fail)
    with pytest.raises(EnvironmentFailure, match="Input/output error"):
        load_module(vision_run)
    with pytest.raises(EnvironmentFailure, match="Input/output error"):
        load_weights(vision_run / "checkpoints" / "last.ckpt")


def test_the_progress_bar_and_the_expectation_are_those_of_the_run(
    tiny, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(Expectation, "SECONDS", 0.0)
    train(tiny(tmp_path / "run", max_epochs=8))
    shown = capsys.readouterr().err.replace("\r", "\n").splitlines()
    # Bars that failed trainings left move the cursor before the line.
    (expected,) = (line for line in shown if "expected: " in line)
    # 24 steps of 4 samples.
    assert re.search(
        r" samples/s, 96 samples by the end: probably too few .* after 51,200", expected
    )
    bars = [line for line in shown if line.startswith("training: ")]
    percent = [int(line.split("%")[0].rsplit(" ", 1)[-1]) for line in bars]
    assert percent == sorted(percent) and percent[0] == 0 and percent[-1] == 100
    assert not any(", -" in line for line in bars)  # a negative time left
    # After 20 of 24 steps; the progress is that of the step's beginning.
    assert any(
        value == 79 and "samples/s=" in line for value, line in zip(percent, bars, strict=True)
    )
