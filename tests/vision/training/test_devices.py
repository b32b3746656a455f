"""Data-parallel training in two processes, as on several GPUs."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from opendactyl.core import cpu
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.vision.training.checkpoints import load_module
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.train import train


def test_training_uses_no_more_threads_than_the_quota_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(cpu, "cgroup_quota", lambda *_: 2.5)
    before = torch.get_num_threads()
    try:
        for threads, expected in ((8, 3), (2, 2)):
            torch.set_num_threads(threads)
            with pytest.raises(InputError, match="no dataset"):
                train(VisionConfig(data=(tmp_path / "absent",), out=tmp_path / "run"))
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_two_processes_train_one_network(dataset, val_dataset, tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "opendactyl.cli.main", "train-vision", "--data", str(dataset),
        "--val-data", str(val_dataset), "--out", str(out), "--image-size", "64",
        "--batch-size", "2", "--workers", "0", "--accelerator", "cpu", "--devices", "2",
        "--max-epochs", "2",
    ]  # fmt: skip
    environment = os.environ | {"TQDM_DISABLE": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    # One process prints and writes: one report, one row per validation.
    assert result.stdout.count("report in") == 1
    rows = (out / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("minutes,samples")
    samples = [int(float(row.split(",")[1])) for row in rows[1:]]
    assert samples == sorted(samples) and len(samples) <= 4
    # Each process trains on half of an epoch.
    assert samples[-1] == 2 * len(np.load(next(dataset.glob(".cache/64-*/labels.npz")))["position"])
    assert read_json(out / "report" / "metrics.json")["n"] > 0
    assert (load_module(out).log_std_shift != 0).all()
    last = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] * 2 * 2 == samples[-1]
    # A resumed run has nothing left to train.
    again = subprocess.run(
        [*command, "--resume"], capture_output=True, text=True, timeout=300, env=environment,
        check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr[-2000:]
