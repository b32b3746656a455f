"""How the data-parallel processes of a training are started: by Lightning, torchrun or srun."""

import os

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_only

from opendactyl.core.errors import InputError

_STEP, _STEP_TASKS, _TASKS = "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"


def launch_environment(devices: int) -> ClusterEnvironment | None:
    """The environment for Lightning's trainer; None lets Lightning take that of torchrun.

    Lightning takes any variable of a scheduler for a job of its own. Such variables remain in
    shells, batch scripts and containers that srun did not start, so only a step of srun counts.

    Args:
        devices: the number of data-parallel processes.

    Raises:
        InputError: srun started another number of processes.
    """
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        return None
    tasks = os.environ.get(_STEP_TASKS) or os.environ.get(_TASKS, "")
    if _STEP in os.environ and tasks not in ("", "1"):
        if tasks != str(devices):
            raise InputError(
                f"srun started {tasks} processes ({_TASKS}), and --devices is {devices}; both must "
                f"be equal: use srun --ntasks={devices}, or --devices {tasks}"
            )
        return SLURMEnvironment()
    # Lightning has read the rank from the same variables; its own processes have LOCAL_RANK.
    rank_zero_only.rank = int(os.environ.get("LOCAL_RANK", "0"))
    return LightningEnvironment()
