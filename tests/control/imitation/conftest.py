"""Fixtures: a toy imitation run on demonstrations of the shipped policy, and a bundle with it."""

import dataclasses
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.imitation.demonstrator import estimator_noise, random_demonstrations
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.core.errors import InputError
from opendactyl.policy.imitation.checkpoint import load_checkpoint
from opendactyl.policy.imitation.config import ImitationConfig
from opendactyl.policy.imitation.tracks import Demonstrator
from opendactyl.policy.imitation.training import train

SHIPPED = Path(__file__).parents[3] / "pretrained" / "reorient"


@pytest.fixture(scope="session")
def reorient():
    return load_bundle(SHIPPED, threads=1)


@pytest.fixture(scope="session")
def imitation_run(home, once, reorient):
    def make(out):
        demonstrate = partial(random_demonstrations, reorient, threads=1)
        teacher = Demonstrator(demonstrate, estimator_noise(reorient), reorient.identity)
        config = ImitationConfig(out=out, tracks=10, batch_size=8, max_minutes=0.02)
        with suppress(InputError):  # Recording may take longer.
            train(config, teacher)
        minutes = load_checkpoint(out)["seconds"] / 60 + 0.03
        train(dataclasses.replace(config, max_minutes=minutes, resume=True), teacher)

    return once(home / "imitation", make)


@pytest.fixture(scope="session")
def imitation_bundle(home, once, imitation_run):
    def make(out):
        config = ExportConfig(vision=SHIPPED, policy=SHIPPED, imitation=imitation_run, out=out)
        export_bundle(config)

    return once(home / "imitation-bundle", make)


@pytest.fixture
def write_recording(tmp_path):
    """Writes a recording's poses.csv, with times unless the period is None."""

    def write(quaternions, period=0.08, program=None):
        folder = tmp_path / "recording"
        folder.mkdir(exist_ok=True)
        times = ["" if period is None else i * period for i in range(len(quaternions))]
        lines = ["frame,seconds," + ",".join(f"quaternion_{axis}" for axis in "wxyz")]
        lines += [
            f"{i},{time}," + ",".join(map(str, q))
            for i, (time, q) in enumerate(zip(times, np.asarray(quaternions), strict=True))
        ]
        (folder / "poses.csv").write_text("\n".join(lines) + "\n")
        if program:
            (folder / "program.toml").write_text(program)
        return folder

    return write
