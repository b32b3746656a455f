"""Real parts, made once: a dataset, an estimator run, a policy run and a bundle, all tiny."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LP_NUM_THREADS", "0")

from opendactyl.render.backend import choose

choose()  # Before anything imports MuJoCo.

from pathlib import Path

import pytest
import torch

from opendactyl.control.package import ExportConfig, export_bundle
from opendactyl.datasets.generate import DatasetConfig, generate
from opendactyl.policy.config import PolicyConfig
from opendactyl.policy.train import train as train_policy
from opendactyl.sim.scene import Scene, load_scene
from opendactyl.vision.config import VisionConfig
from opendactyl.vision.train import train as train_vision

torch.set_num_threads(1)

SAMPLES = 12


@pytest.fixture(scope="session")
def scene() -> Scene:
    return load_scene()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def _small(out: Path, seed: int) -> Path:
    return generate(
        DatasetConfig(
            out=out, num_samples=SAMPLES, seed=seed, shard_size=4, image_size=64, workers=1
        )
    )


@pytest.fixture(scope="session")
def dataset(home: Path) -> Path:
    return _small(home / "train", 0)


@pytest.fixture(scope="session")
def val_dataset(home: Path) -> Path:
    return _small(home / "val", 1)


@pytest.fixture(scope="session")
def vision_run(home: Path, dataset: Path, val_dataset: Path) -> Path:
    return train_vision(
        VisionConfig(
            data=dataset,
            val_data=val_dataset,
            out=home / "vision",
            image_size=64,
            batch_size=4,
            max_epochs=2,
            max_minutes=5,
            workers=0,
            accelerator="cpu",
        )
    )


@pytest.fixture(scope="session")
def policy_run(home: Path) -> Path:
    return train_policy(
        PolicyConfig(
            out=home / "policy", num_envs=8, horizon=4, minibatches=2, epochs=1, max_actions=640
        )
    )


@pytest.fixture(scope="session")
def bundle(home: Path, vision_run: Path, policy_run: Path) -> Path:
    return export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=home / "bundle"))
