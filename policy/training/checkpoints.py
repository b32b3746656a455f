"""Weights of earlier runs: checkpoints from strangers are read as tensors and plain values only."""

from pathlib import Path
from typing import Any

import torch

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.models.weights import load_weights
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.training.config import PolicyConfig


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a policy checkpoint; only tensors and plain values are accepted.

    Raises:
        InputError: there is none, or it is not one of ours.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist; train a policy first with `opendactyl train-policy`"
        )
    try:
        value = torch.load(path, weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is no policy checkpoint ({error})") from error
    if not isinstance(value, dict) or "student" not in value:
        raise InputError(f"{path} is no checkpoint of train-policy")
    return value


def start_from(config: PolicyConfig, student: Agent, teacher: Agent) -> float | None:
    """Gives the agents the weights that the settings name, if they name any.

    Returns:
        How far the curriculum of the run they come from had got, if they come from a run.

    Raises:
        InputError: there are none, or they are those of other networks.
    """
    reached = None
    if config.warm_start is not None:
        if config.warm_start.is_dir():
            value = _best(config.warm_start)
            if config.teacher is None:
                _take(teacher, _teacher(value, config.warm_start), config.warm_start)
            if read_json(config.warm_start / "config.json")["task"] == config.task:
                reached = float(value["max_angle"])
        else:
            value = {"student": load_weights(config.warm_start)}
        _take(student, value["student"], config.warm_start)
    if config.teacher is not None:
        if config.taught_by_policy:
            _take(teacher, load_weights(config.teacher), config.teacher, "--layout and --hidden")
        else:
            weights = _teacher(_best(config.teacher), config.teacher)
            _take(teacher, weights, config.teacher, "--hidden")
    return reached


def _best(run: Path) -> dict[str, Any]:
    return load_checkpoint(run / "checkpoints" / "best.ckpt")


def _teacher(value: dict[str, Any], run: Path) -> dict[str, torch.Tensor]:
    if "teacher" not in value:
        raise InputError(f"{run} holds no teacher")
    return value["teacher"]


def _take(
    agent: Agent,
    weights: dict[str, torch.Tensor],
    source: Path,
    equal: str = "--memory, --layout, --hidden and the kind of teacher",
) -> None:
    try:
        agent.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{source} has networks of another shape; {equal} must be equal"
        ) from error
