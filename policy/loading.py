"""Trained policies of runs and of weights files, with their environments."""

from pathlib import Path
from typing import Any

import torch

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.models.policy.actor_critic import Actor
from opendactyl.models.weights import about_weights, load_weights
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import ActionConfig
from opendactyl.policy.interface.policy import Policy
from opendactyl.policy.msat.driver import ChunkDriver
from opendactyl.policy.msat.teacher import ActorPolicy
from opendactyl.policy.msat.train import is_msat, load_driver
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.sim.assets.storage import stored_reference
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND, HandSpec
from opendactyl.sim.objects.shipped import object_spec


def load_student(run: Path) -> dict[str, torch.Tensor]:
    """The weights of the best actor of a run, and of its critic."""
    return load_checkpoint(run / "checkpoints" / "best.ckpt")["student"]


def load_actor(run: Path) -> tuple[Actor, dict[str, Any]]:
    """The best actor of a run, and the run's settings.

    Raises:
        InputError: the run contains no finished policy.
    """
    config = read_json(run / CONFIG_NAME)
    if config.get("driver") == "msat":
        raise InputError(f"the policy in {run} is an action transformer, not a recurrent policy")
    if config.get("privileged"):
        raise InputError(
            f"the policy in {run} observes what a robot cannot measure; give it to train-policy as "
            "--teacher, and export the run that imitates it"
        )
    hand = hand_of(run, config)
    size = sum(environment_of(run, config).observation_fields.values())
    try:
        actor = make_actor(
            load_student(run), size, config["hidden"], config["memory"], len(hand.actuators)
        )
    except RuntimeError as error:
        raise InputError(
            f"the policy in {run} has another shape than its config.json says"
        ) from error
    return actor, config


def environment_of(run: Path, config: dict[str, Any], task: str = "") -> EnvConfig:
    """The environment of a run, of its task or another."""
    return EnvConfig(
        task=task or config["task"],
        object=stored_reference(run, "object", config["object"]),
        hand=hand_of(run, config).reference,
        layout=config["layout"],
        action=action_config(config),
    )


def hand_of(run: Path, config: dict[str, Any]) -> HandSpec:
    """The hand of a run; its settings name none if it is the default."""
    return hand_spec(stored_reference(run, "hand", config.get("hand", DEFAULT_HAND)))


def make_actor(
    weights: dict[str, torch.Tensor],
    size: int,
    hidden: int = 256,
    memory: str = "lstm",
    actuators: int = 20,
) -> Actor:
    """The actor among the weights of an agent.

    Args:
        weights: of an `Agent`.
        size: length of the observation.
        hidden: units per layer.
        memory: one of `MEMORIES`.
        actuators: number of the hand's actuators.

    Raises:
        RuntimeError: the weights have other shapes.
    """
    actor = Actor(size, actuators=actuators, hidden=hidden, memory=memory)
    actor.load_state_dict(
        {k.removeprefix("actor."): v for k, v in weights.items() if k.startswith("actor.")}
    )
    return actor.eval()


def load_with_environment(path: Path, task: str = "", layout: str = "") -> tuple[Actor, EnvConfig]:
    """The actor of a run or of a .safetensors file, and its environment without randomization.

    Args:
        path: a run of train-policy, or the .safetensors file of an LSTM policy.
        task: the task; empty for that of its training.
        layout: the policy's observation, for a .safetensors file; empty for that of its training.

    Raises:
        InputError: there is no policy, it has another shape, or was trained with an object or a
            hand whose files are elsewhere.
    """
    if path.suffix != ".safetensors":
        actor, config = load_actor(path)
        return actor, environment_of(path, config, task)
    environment = _environment_of_weights(path, task, layout)
    size = sum(environment.observation_fields.values())
    try:
        actor = make_actor(
            load_weights(path), size, actuators=len(hand_spec(environment.hand).actuators)
        )
    except RuntimeError as error:
        raise InputError(
            f"{path} is no LSTM policy of 256 units with layout {environment.layout}"
        ) from error
    return actor, environment


def _environment_of_weights(path: Path, task: str, layout: str) -> EnvConfig:
    """The environment that weights record; older ones record less, and have the defaults."""
    about = about_weights(path)
    found = {name: about[name] for name in ("object", "hand") if name in about}
    try:
        for name, describe in (("object", object_spec), ("hand", hand_spec)):
            if name in found:
                describe(found[name])
    except InputError as error:
        raise InputError(
            f"{path} cannot be used alone ({error}); name the run that it was exported from"
        ) from error
    return EnvConfig(
        task=task or about.get("task", "spin"),
        layout=layout or about.get("layout", "default"),
        action=action_config(about),
        **found,
    )


def load_policy_run(path: Path, task: str = "", layout: str = "") -> tuple[Policy, EnvConfig]:
    """The policy of a run or of a .safetensors file, and its environment without randomization.

    Arguments and errors are those of `load_with_environment`.
    """
    if not is_msat(path):
        actor, environment = load_with_environment(path, task, layout)
        return ActorPolicy(actor), environment
    driver, config = load_driver(path, hand_of(path, read_json(path / CONFIG_NAME)))
    return ChunkDriver(driver), environment_of(path, config, task)


def action_config(config: dict[str, Any]) -> ActionConfig:
    """The actions of a run, whose settings may be older than the options."""
    keys = {"mode": "action", "smoothing": "smoothing"}
    return ActionConfig(**{name: config[key] for name, key in keys.items() if key in config})
