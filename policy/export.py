"""Export of a policy to ONNX: one step with explicit memory, including the normaliser."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.models.onnx_file import save_onnx
from opendactyl.models.policy.actor_critic import Actor, ExportedActor
from opendactyl.models.weights import about_weights, load_weights
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import ActionConfig, ActionDecoder
from opendactyl.policy.interface.policy import Policy
from opendactyl.policy.msat.driver import ChunkDriver
from opendactyl.policy.msat.teacher import ActorPolicy
from opendactyl.policy.msat.train import is_msat, load_driver
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.provenance import known_seeds
from opendactyl.sim.assets.storage import stored_reference
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND, HandSpec
from opendactyl.sim.scene import load_scene

OPSET = 20


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
    size = sum(_environment(run, config).observation_fields.values())
    try:
        actor = make_actor(
            load_student(run), size, config["hidden"], config["memory"], len(hand.actuators)
        )
    except RuntimeError as error:
        raise InputError(
            f"the policy in {run} has another shape than its config.json says"
        ) from error
    return actor, config


def _environment(run: Path, config: dict[str, Any], task: str = "") -> EnvConfig:
    """The environment of a run, of its task or another."""
    return EnvConfig(
        task=task or config["task"],
        object=stored_reference(run, "object", config["object"]),
        hand=hand_of(run, config).reference,
        layout=config["layout"],
        action=_action_config(config),
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
        InputError: there is no policy, or it has another shape.
    """
    if path.suffix != ".safetensors":
        actor, config = load_actor(path)
        return actor, _environment(path, config, task)
    about = about_weights(path)
    environment = EnvConfig(
        task=task or about.get("task", "spin"), layout=layout or about.get("layout", "default")
    )
    try:
        actor = make_actor(load_weights(path), sum(environment.observation_fields.values()))
    except RuntimeError as error:
        raise InputError(
            f"{path} is no LSTM policy of 256 units with layout {environment.layout}"
        ) from error
    return actor, environment


def load_policy_run(path: Path, task: str = "", layout: str = "") -> tuple[Policy, EnvConfig]:
    """The policy of a run or of a .safetensors file, and its environment without randomization.

    Arguments and errors are those of `load_with_environment`.
    """
    if not is_msat(path):
        actor, environment = load_with_environment(path, task, layout)
        return ActorPolicy(actor), environment
    driver, config = load_driver(path, hand_of(path, read_json(path / CONFIG_NAME)))
    return ChunkDriver(driver), _environment(path, config, task)


def _action_config(config: dict[str, Any]) -> ActionConfig:
    """The actions of a run, whose settings may be older than the options."""
    keys = {"mode": "action", "smoothing": "smoothing"}
    return ActionConfig(**{name: config[key] for name, key in keys.items() if key in config})


def training_record(run: Path) -> dict[str, Any]:
    """The settings of a run and the seeds it was trained on, for `training.policy` of a manifest.

    `seeds` lists the seeds of the run and of its known ancestors; `seeds_complete` is False if an
    ancestor has no record.
    """
    return read_json(run / CONFIG_NAME) | known_seeds(run)


class _Exported(NamedTuple):
    """A policy as it is exported: one step with explicit memory."""

    module: nn.Module
    config: dict[str, Any]
    memory: dict[str, tuple[int, ...]]
    """Names and shapes of its memory, without the batch."""
    output: dict[str, list[int]]
    """Name and shape of its action, without the batch."""
    about: dict[str, Any]
    """Further entries of the manifest."""
    inputs: dict[str, tuple[int, ...]]
    """Names and shapes of inputs besides observation and memory."""


def _exported(run: Path, hand: HandSpec) -> _Exported:
    """The policy of a run."""
    if not is_msat(run):
        actor, config = load_actor(run)
        memory: dict[str, tuple[int, ...]] = {name: (actor.hidden,) for name in ("h", "c")}
        output = {"logits": list(actor.shape)}
        return _Exported(ExportedActor(actor), config, memory, output, {"driver": "recurrent"}, {})
    policy, config = load_driver(run, hand)
    names = ("chunk", "execute", "euler_steps")
    about = {"driver": "msat"} | {name: config[name] for name in names}
    inputs = {"tokens": tuple(config["tokens"])} if config["tokens"] else {}
    return _Exported(policy, config, policy.memory, {"bins": [len(hand.actuators)]}, about, inputs)


def export_policy(run: Path, path: Path) -> dict[str, Any]:
    """Writes `policy.onnx` and returns its description for the manifest."""
    hand = hand_of(run, read_json(run / CONFIG_NAME))
    exported = _exported(run, hand)
    config, memory = exported.config, exported.memory
    fields = _environment(run, config).observation_fields
    shapes = {"observation": (sum(fields.values()),), **memory, **exported.inputs}
    outputs = exported.output | {f"{name}_out": list(shape) for name, shape in memory.items()}
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            exported.module,
            tuple(torch.zeros(2, *shape) for shape in shapes.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(shapes),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in shapes),
            optimize=False,
            verbose=False,
        )
    save_onnx(program, path)
    scene = load_scene(stored_reference(run, "object", config["object"]), hand.reference)
    low, high = scene.actuator_range.T
    return exported.about | {
        "inputs": {name: ["batch", *shape] for name, shape in shapes.items()},
        "outputs": {name: ["batch", *shape] for name, shape in outputs.items()},
        "observation": [{"name": name, "size": size} for name, size in fields.items()],
        "normaliser": "inside the network",
        "action": ActionDecoder(_action_config(config), np.array(low), np.array(high)).to_dict(),
        "memory": [{"name": name, "shape": list(shape)} for name, shape in memory.items()],
        "task": config["task"],
        "object": config["object"],
    }


def describe_hand(run: Path) -> dict[str, Any]:
    """Entries of a bundle's manifest: the hand's joints, and what else the control loop needs."""
    hand = hand_of(run, read_json(run / CONFIG_NAME))
    transmission = load_scene(hand=hand.reference).transmission
    return {
        "joints": list(hand.joints),
        "hand": {
            "name": hand.name,
            "files": hand.checksums.identity["files"],
            # A list, since the keys of JSON objects have no order.
            "actuators": [
                {"name": name, "joints": joints}
                for name, joints in transmission.to_dict(hand).items()
            ],
            "fingertips": [tip.name for tip in hand.fingertips],
        },
    }
