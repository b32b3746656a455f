"""An untrained network for any cameras, and a dataset of ours that is exported in BOP's format."""

import shutil

import lightning as L
import pytest

from opendactyl.core.atomic_files import write_json
from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.models.weights import save_checkpoint
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.module import CALIBRATED
from opendactyl.vision.training.train import build_module, make_data


@pytest.fixture(scope="package")
def keypoint_run(dataset, val_dataset, tmp_path_factory):
    """A run of the network `keypoint` with random weights."""
    run = tmp_path_factory.mktemp("run")
    config = VisionConfig(
        data=(dataset,), val_data=val_dataset, out=run, model="keypoint", image_size=64,
        from_scratch=True,
    )  # fmt: skip
    L.seed_everything(3, verbose=False)
    module = build_module(config, make_data(config))
    (run / "checkpoints").mkdir()
    checkpoint = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams),
                  "pytorch-lightning_version": L.__version__}  # fmt: skip
    save_checkpoint(checkpoint | CALIBRATED, run / "checkpoints" / "best.ckpt")
    write_json(run / "seeds.json", {"train": [0], "val": [1]})
    return run


@pytest.fixture(scope="package")
def own_data(tmp_path_factory):
    """Two shards without jitter of the cameras, so that their true cameras are the nominal ones."""
    return generate(
        DatasetConfig(
            out=tmp_path_factory.mktemp("data") / "own", num_samples=3, seed=5, shard_size=2,
            image_size=64, workers=1, appearance="calibrated",
        )
    )  # fmt: skip


@pytest.fixture(scope="package")
def exported(own_data, tmp_path_factory):
    return export_bop(own_data, tmp_path_factory.mktemp("bop") / "out")


@pytest.fixture
def bop(exported, tmp_path):
    """A copy of the export, to be changed."""
    return shutil.copytree(exported, tmp_path / "bop")
