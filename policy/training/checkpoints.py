"""Loading policy checkpoints and initial weights."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError, file_error
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME, to_plain
from opendactyl.models.weights import about_weights, load_weights
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.env.episode_types import Difficulty
from opendactyl.policy.interface.observations import LAYOUTS, layout_fields
from opendactyl.policy.randomization.adr import ADR_PRESETS
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.sim.hands.spec import DEFAULT_HAND

_log = logging.getLogger(__name__)


class Start(NamedTuple):
    """What a run takes from its ancestors besides weights."""

    difficulty: Difficulty | None = None
    """Where the curricula of a warm start from a run of the same task and physics go on."""
    fresh_critic: bool = False
    """Whether the critic is new beside a trained actor."""
    teacher_values: bool = True
    """Whether the teacher's critic can be imitated, too."""


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Loads a policy checkpoint with `weights_only`: files may come from untrusted sources.

    Raises:
        InputError: the file is missing or is not a checkpoint of train-policy.
        EnvironmentFailure: the file cannot be read because of an I/O error.
    """
    if not exists(path):
        raise InputError(
            f"{path} does not exist; train a policy first with `opendactyl train-policy`"
        )
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise file_error(f"cannot read {path}", error) from error
    except Exception as error:
        raise InputError(f"{path} is not a policy checkpoint ({error})") from error
    if not isinstance(value, dict) or "student" not in value:
        raise InputError(f"{path} is not a checkpoint of train-policy")
    return value


def start_from(config: PolicyConfig, student: Agent, teacher: Agent) -> Start:
    """Loads the weights of `--warm-start` and `--teacher` into the agents.

    Raises:
        InputError: the weights are missing, have other shapes, or were trained with another hand or
            driver, or a teacher with other actions or another layout.
    """
    start = Start()
    check_ancestors(config)
    if config.warm_start is not None:
        if config.warm_start.is_dir():
            value = _best(config.warm_start)
            if config.teacher is None and config.uses_teacher:
                _assign(teacher, _teacher(value, config.warm_start), config.warm_start)
            start = Start(_reached(config, value, config.warm_start))
        else:
            value = {"student": load_weights(config.warm_start)}
        weights, fits = _with_fitting_critic(student, value["student"])
        if not fits:
            _log.warning(
                "the critic of %s observes other values; a new one is trained", config.warm_start
            )
        start = start._replace(fresh_critic=not fits)
        layout = str(_settings_of(config.warm_start).get("layout", "default"))
        weights = _with_more_inputs(weights, layout, config)
        _assign(student, weights, config.warm_start)
    if config.teacher is not None:
        if config.taught_by_policy:
            weights, fits = _with_fitting_critic(teacher, load_weights(config.teacher))
            _assign(teacher, weights, config.teacher, "--layout and --hidden")
            start = start._replace(teacher_values=fits)
        else:
            value = _best(config.teacher)
            privileged = read_json(config.teacher / CONFIG_NAME).get("privileged", False)
            weights = value["student"] if privileged else _teacher(value, config.teacher)
            _assign(teacher, weights, config.teacher, "--hidden")
    return start


def _settings_of(source: Path) -> dict[str, Any]:
    """What a run, or the metadata of weights, records of its settings; old files lack some."""
    return read_json(source / CONFIG_NAME) if source.is_dir() else about_weights(source)


def check_ancestors(config: PolicyConfig) -> None:
    """Raises an `InputError` if `--warm-start` or `--teacher` is missing or of another kind."""
    for source in (config.warm_start, config.teacher):
        if source is None:
            continue
        theirs = _settings_of(source)
        if not exists(source):
            raise InputError(
                f"{source} does not exist; name a run of train-policy, or the .safetensors file of "
                "a policy"
            )
        if theirs.get("driver", "recurrent") != "recurrent":
            raise InputError(
                f"{source} holds an action transformer; --driver recurrent starts from and is "
                "taught by recurrent and feed-forward policies"
            )
        mine = config.lasting()
        recorded = source.is_dir() or "action" in theirs  # Older weights record no hand.
        if recorded and any(mine.get(key) != theirs.get(key) for key in ("hand", "hand_identity")):
            raise InputError(
                f"{source} was trained with the hand {theirs.get('hand', DEFAULT_HAND)} or other "
                f"files of it, --hand is {config.hand}; use the same"
            )
        _check_meaning(config, source, theirs)


def _check_meaning(config: PolicyConfig, source: Path, theirs: dict[str, Any]) -> None:
    """Refuses a teacher whose observations or actions mean something else; warns at a warm start.

    The teacher of a run observes what its critic does, which of all layouts only `cube` changes.
    """
    names = ["action", "smoothing"]
    by_policy = source == config.teacher and config.taught_by_policy
    if by_policy or "cube" in (config.layout, theirs.get("layout")):
        names.append("layout")
    for name in names:
        mine = getattr(config, name)
        if theirs.get(name, mine) == mine:
            continue
        message = f"{source} was trained with --{name} {theirs[name]}, --{name} is {mine}"
        if source == config.teacher:
            raise InputError(f"{message}; use the same")
        _log.warning("%s: what it has learned may not apply", message)


def _reached(config: PolicyConfig, value: dict[str, Any], run: Path) -> Difficulty | None:
    """Where the curricula of `run` were, if it had the same task and the same physics.

    Automatic domain randomization has bounds instead of a strength.
    """
    settings = read_json(run / CONFIG_NAME)
    if settings["task"] != config.task:
        return None
    automatic = settings.get("randomization") in ADR_PRESETS
    same = not automatic and settings.get("distributions") == to_plain(config.ranges)
    return Difficulty(float(value["max_angle"]), float(value.get("strength", 0)) if same else 0.0)


def _with_fitting_critic(
    agent: Agent, weights: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], bool]:
    """Weights for an agent whose critic may differ, and whether their critic is kept."""
    own = agent.critic.state_dict(prefix="critic.")
    if all(k in weights and weights[k].shape == value.shape for k, value in own.items()):
        return weights, True
    return {k: v for k, v in weights.items() if not k.startswith("critic.")} | own, False


def _with_more_inputs(
    weights: dict[str, torch.Tensor], layout: str, config: PolicyConfig
) -> dict[str, torch.Tensor]:
    """Weights for a layout with the fields of another and more, which they do not use yet."""
    environment = config.environment()
    fields = environment.observation_fields
    known = layout_fields(layout, environment.hand_size) if layout in LAYOUTS else ()
    if config.privileged or config.memory == "frames" or not set(known) < set(fields):
        return weights
    columns, offset = [], 0
    for name, size in fields.items():
        if name in known:
            columns += range(offset, offset + size)
        offset += size
    fresh = {"normalizer.mean": torch.zeros(offset), "normalizer.var": torch.ones(offset)}
    fresh["dense.weight"] = torch.zeros(config.hidden, offset)
    for name, value in fresh.items():
        old = weights.get(f"actor.{name}")
        if old is None or old.shape != value[..., columns].shape:
            return weights  # Of other networks, or of a layout that they do not record.
        value[..., columns] = old
    return weights | {f"actor.{name}": value for name, value in fresh.items()}


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
            f"{source} has networks of another shape; {equal} must be equal, and a teacher must "
            f"observe the {agent.critic.inputs} values of this version"
        ) from error
