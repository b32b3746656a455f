"""Export of a policy to ONNX: one step with explicit memory, including the normaliser."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from opendactyl.core.atomic_files import read_json
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.models.onnx_file import save_onnx
from opendactyl.models.policy.actor_critic import ExportedActor
from opendactyl.policy.interface.actions import ActionDecoder
from opendactyl.policy.loading import action_config, environment_of, hand_of, load_actor
from opendactyl.policy.msat.train import is_msat, load_driver
from opendactyl.policy.training.provenance import known_seeds
from opendactyl.sim.assets.storage import stored_reference
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.scene import load_scene

OPSET = 20


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
    fields = environment_of(run, config).observation_fields
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
        "action": ActionDecoder(action_config(config), np.array(low), np.array(high)).to_dict(),
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
