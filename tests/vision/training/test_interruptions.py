"""Interrupted and resumed training."""

import dataclasses
import signal

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from tqdm import tqdm

from opendactyl.vision.training.callbacks import Progress
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.train import train


@pytest.fixture
def interrupted(monkeypatch):
    """Trains until a replaced method ends the run; returns the last checkpoint."""

    def run(config, owner, name, method):
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, method)
            with pytest.raises(KeyboardInterrupt):
                train(config)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for bar in list(getattr(tqdm, "_instances", ())):  # As at the end of the process.
            bar.close()
        return torch.load(config.out / "checkpoints" / "last.ckpt", weights_only=True)

    return run


def exit_at_once(number, frame):
    """As the handler that Ray installs, and leaves."""
    raise SystemExit(number)


@pytest.mark.parametrize(
    ("how", "handler", "steps"),
    [
        (signal.SIGINT, signal.default_int_handler, 2),
        (signal.SIGTERM, signal.SIG_DFL, 3),  # Lightning handles it after the batch.
        (signal.SIGTERM, exit_at_once, 2),
    ],
)
def test_an_interrupted_run_is_saved_and_resumed(tiny, tmp_path, interrupted, how, handler, steps):
    def interrupt(self, trainer, module, batch, number):
        if number == 2:
            signal.raise_signal(how)

    config = tiny(tmp_path / "run", max_epochs=2)
    before = signal.signal(how, handler)
    try:
        last = interrupted(config, Progress, "on_train_batch_start", interrupt)
    finally:
        signal.signal(how, before)
    assert last["global_step"] == steps
    run = train(dataclasses.replace(config, resume=True))
    assert (run / "checkpoints" / "best.ckpt").exists()


def test_an_interrupted_validation_saves_weights_and_average_correctly(tiny, tmp_path, interrupted):
    in_use, validate = {}, PoseModule.validation_step

    def interrupt(self, batch, number):
        if self.global_step < 3:  # Weights and average are still equal.
            return validate(self, batch, number)
        in_use.update({name: value.clone() for name, value in self.state_dict().items()})
        raise KeyboardInterrupt

    config = tiny(tmp_path / "run", max_epochs=2, max_steps=6)
    last = interrupted(config, PoseModule, "validation_step", interrupt)
    for name, value in last["state_dict"].items():
        torch.testing.assert_close(value, in_use[name], msg=name)
    changed = [n for n, v in last["current_model_state"].items() if not torch.equal(v, in_use[n])]
    assert changed


def test_a_validation_interrupted_after_training_leaves_a_checkpoint_to_resume(
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
