"""Loading policy checkpoints and initial weights."""

from pathlib import Path
from typing import Any

import torch

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError, file_error
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.models.weights import load_weights
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.training.config import PolicyConfig


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Loads a policy checkpoint with `weights_only`: files may come from untrusted sources.

    Raises:
        InputError: the file is missing or is not a checkpoint of train-policy.
        EnvironmentFailure: the file cannot be read because of an I/O error.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist; train a policy first with `opendactyl train-policy`"
        )
    try:
        value = torch.load(path, weights_only=True)
    except OSError as error:
        raise file_error(f"cannot read {path}", error) from error
    except Exception as error:
        raise InputError(f"{path} is not a policy checkpoint ({error})") from error
    if not isinstance(value, dict) or "student" not in value:
        raise InputError(f"{path} is not a checkpoint of train-policy")
    return value


def start_from(config: PolicyConfig, student: Agent, teacher: Agent) -> float | None:
    """Loads the weights of `--warm-start` and `--teacher` into the agents.

    Returns:
        The curriculum's angle in radians of a warm start from a run of the same task, else None.

    Raises:
        InputError: the weights are missing or have other shapes.
    """
    reached = None
    if config.warm_start is not None:
        if config.warm_start.is_dir():
            value = _best(config.warm_start)
            if config.teacher is None:
                _assign(teacher, _teacher(value, config.warm_start), config.warm_start)
            if read_json(config.warm_start / CONFIG_NAME)["task"] == config.task:
                reached = float(value["max_angle"])
        else:
            value = {"student": load_weights(config.warm_start)}
        _assign(student, value["student"], config.warm_start)
    if config.teacher is not None:
        if config.taught_by_policy:
            _assign(teacher, load_weights(config.teacher), config.teacher, "--layout and --hidden")
        else:
            weights = _teacher(_best(config.teacher), config.teacher)
            _assign(teacher, weights, config.teacher, "--hidden")
    return reached


def _best(run: Path) -> dict[str, Any]:
    return load_checkpoint(run / "checkpoints" / "best.ckpt")


def _teacher(value: dict[str, Any], run: Path) -> dict[str, torch.Tensor]:
    if "teacher" not in value:
        raise InputError(f"{run} contains no teacher")
    return value["teacher"]


def _assign(
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
