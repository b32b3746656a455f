"""Who starts the processes of a training: stray variables of a scheduler start none."""

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_only

from opendactyl.core.errors import InputError
from opendactyl.vision.training.train import train
from opendactyl.vision.training.trainer import launch_environment


@pytest.fixture(autouse=True)
def rank(monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning read it from SLURM_PROCID


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "7", "SLURM_PROCID": "1"},
        {"SLURM_NTASKS": "2"},
        {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "1"},
        {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "2"},
        {"RANK": "1", "WORLD_SIZE": "2"},
    ],
)
def test_stray_variables_are_ignored(variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert isinstance(launch_environment(1), LightningEnvironment)
    assert rank_zero_only.rank == 0


def test_a_step_of_srun_with_as_many_tasks_is_used(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    assert isinstance(launch_environment(2), SLURMEnvironment)


@pytest.mark.parametrize("tasks", ["2", "many"])
def test_a_step_with_other_tasks_is_refused_and_leaves_no_folder(
    tasks, monkeypatch, tiny, tmp_path
):
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_NTASKS", tasks)
    with pytest.raises(InputError, match=f"srun started {tasks} .*--devices is 1"):
        train(tiny(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_training_that_fails_leaves_no_folder(monkeypatch, tiny, tmp_path):
    def fail(*_, **__):
        raise InputError("no")

    monkeypatch.setattr("lightning.Trainer.fit", fail)
    with pytest.raises(InputError, match="no"):
        train(tiny(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
