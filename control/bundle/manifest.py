"""The contract of a bundle: validation and description of its manifest."""

from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.control.bundle.hand import HandInterface, hand_name
from opendactyl.control.bundle.policy_session import ACTION_BINS, memory_shapes
from opendactyl.core.errors import InputError
from opendactyl.geometry.articulation import Articulation, Hinge
from opendactyl.geometry.rig import Rig
from opendactyl.policy.interface.actions import BINS, ActionDecoder
from opendactyl.policy.interface.observations import HandSize, field_sizes
from opendactyl.policy.interface.tasks import check_task

_UNUSABLE = (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError)
"""Exceptions of reading a malformed manifest."""


def check_manifest(
    manifest: dict[str, Any], path: Path, *, policy: bool = True
) -> tuple[Rig, Rig | None]:
    """Checks everything that estimator and loop depend on.

    Args:
        manifest: the contents of `manifest.json`.
        path: its path, for messages.
        policy: whether it must describe a policy.

    Returns:
        The cameras of the network's images, and those of the raw frames if they are stated.

    Raises:
        InputError: a value is missing or invalid.
    """
    try:
        if policy:
            _check_policy(manifest)
        rig = Rig.from_dict(manifest["rig"])
        raw_rig = Rig.from_dict(manifest["raw_rig"]) if "raw_rig" in manifest else None
        _check_declared(manifest)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _UNUSABLE as error:
        raise InputError(
            f"{path} is not a valid manifest of a bundle ({error!r}); export it again"
        ) from error
    return rig, raw_rig


def articulation_of(manifest: dict[str, Any]) -> Articulation | None:
    """The object's keypoints and hinges; None if a manifest does not state the keypoints."""
    keypoints = manifest["pose"].get("keypoints")
    if keypoints is None:
        return None
    hinges = tuple(map(Hinge.from_dict, manifest["pose"].get("hinges", ())))
    if any(hinge.keypoints[1] > len(keypoints) for hinge in hinges):
        raise InputError("a hinge moves more keypoints than there are")
    return Articulation(np.array(keypoints, dtype=np.float64), hinges)


def _check_policy(manifest: dict[str, Any]) -> None:
    policy = manifest["policy"]
    hinges = len(manifest["pose"].get("hinges", ()))
    size = HandSize.of(HandInterface.from_manifest(manifest), hinges)
    _check_observation(policy, size)
    decoder = ActionDecoder.from_dict(policy["action"])
    check_task(policy["task"])
    str(policy["object"])
    _check_action(policy["action"], decoder, size.actuators)
    period = float(manifest["control_period_s"])
    if not 0 < period < 10:
        raise InputError(f"the control period is {period} s")
    _check_speed(manifest, size.actuators)


def _check_speed(manifest: dict[str, Any], actuators: int) -> None:
    if "max_joint_speed" not in manifest:
        return
    speed = np.array(manifest["max_joint_speed"], dtype=np.float64)
    if speed.shape != (actuators,) or not (speed > 0).all():
        raise InputError(
            f"max_joint_speed must be {actuators} positive numbers in rad/s, one per actuator"
        )


def _check_action(action: dict[str, Any], decoder: ActionDecoder, actuators: int) -> None:
    limits = (decoder.low, decoder.high)
    if any(x.shape != (actuators,) or not (np.abs(x) <= np.pi).all() for x in limits):
        raise InputError(
            f"the action must have {actuators} lower and upper limits in radians, from -pi to pi"
        )
    if not (decoder.low < decoder.high).all():
        raise InputError("an actuator's lower limit is not below its upper limit")
    if action.get("bins") != BINS:
        raise InputError(f"actions have {action.get('bins')} bins, expected {BINS}")


def _check_declared(manifest: dict[str, Any]) -> None:
    """Reads what `check_ports`, `describe` and estimates need."""
    articulation_of(manifest)
    names = ("pose", "policy") if "policy" in manifest else ("pose",)
    for network in (manifest[name] for name in names):
        for ports in (network["inputs"], network["outputs"]):
            for shape in ports.values():
                list(shape)
    if "policy" in manifest:
        inputs = manifest["policy"]["inputs"]
        for name, shape in memory_shapes(manifest["policy"]).items():
            if inputs[name] != ["batch", *shape]:
                raise InputError(
                    f"the policy's {name} is {inputs[name]} among its inputs, its memory {shape}"
                )
    dict(manifest.get("frames", {}))


def _check_observation(policy: dict[str, Any], hand: HandSize) -> None:
    fields, sizes = policy["observation"], field_sizes(hand)
    wrong = [f for f in fields if sizes.get(f["name"]) != f["size"]]
    if wrong:
        raise InputError(f"the policy was made for another observation layout: {wrong}")
    total = sum(f["size"] for f in fields)
    if policy["inputs"]["observation"] != ["batch", total]:
        raise InputError(
            f"the sizes of the observation's fields add up to {total}, the policy's input is "
            f"{policy['inputs']['observation']}"
        )


def check_ports(manifest: dict[str, Any], ports: dict[str, list[Any]], path: Path) -> None:
    """Checks the inputs and outputs of the policy against the manifest.

    Args:
        manifest: a manifest that passed `check_manifest`.
        ports: names and shapes of the policy's inputs and outputs.
        path: the bundle's folder, for messages.

    Raises:
        InputError: they differ.
    """
    declared = manifest["policy"]["inputs"] | manifest["policy"]["outputs"]
    for name, shape in declared.items():
        if name not in ports or ports[name][1:] != shape[1:]:
            raise InputError(
                f"{path}: the policy's {name} is {ports.get(name, 'absent')}, expected {shape}"
            )


def describe(manifest: dict[str, Any]) -> str:
    """Describes the contract of a valid manifest, one line per entry."""
    pose = manifest["pose"]
    rows = {
        "schema": manifest["schema"],
        "hand": hand_name(manifest),
        "object": pose.get("object") or "not stated",
        "cameras": _sizes(manifest["rig"]),
        "raw frames": _sizes(manifest["raw_rig"]) if "raw_rig" in manifest else "not stated",
        "pose.onnx": f"{_ports(pose['inputs'])} -> {_ports(pose['outputs'])}",
        "units": manifest.get("units", "not stated"),
    }
    if "scene" in manifest:
        rows["scene"] = manifest["scene"]["name"]
    if "policy" in manifest:
        rows |= _describe_policy(manifest)
    rows |= {f"{name} frame": text for name, text in manifest.get("frames", {}).items()}
    rows |= {f"sha256 {name}": value for name, value in manifest["sha256"].items()}
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in rows.items())


def _sizes(rig: dict[str, Any]) -> str:
    return ", ".join(f"{c['name']} {c['width']}×{c['height']}" for c in rig["cameras"])


def _describe_policy(manifest: dict[str, Any]) -> dict[str, str]:
    policy = manifest["policy"]
    action = policy["action"]
    decision = ActionDecoder.from_dict(action).config.decision
    by = "" if ACTION_BINS in policy["outputs"] else f" by the {decision}"
    return {
        "object": policy["object"],
        "task": f"{policy['task']} with the {policy['object']}",
        "driver": policy.get("driver", "recurrent"),
        "period": f"{float(manifest['control_period_s']) * 1000:.0f} ms",
        "policy.onnx": f"{_ports(policy['inputs'])} -> {_ports(policy['outputs'])}",
        "observation": ", ".join(f"{f['name']} ({f['size']})" for f in policy["observation"]),
        "action": f"{len(action['low'])} actuators × {action['bins']} bins, {action['mode']} "
        f"targets{by}, smoothing {action['smoothing']}",
        "max speed": _speeds(manifest),
        "normaliser": policy.get("normaliser", "not stated"),
        "joints": ", ".join(manifest["joints"]),
    }


def _speeds(manifest: dict[str, Any]) -> str:
    if "max_joint_speed" not in manifest:
        return "not stated"
    return ", ".join(f"{speed:g}" for speed in manifest["max_joint_speed"]) + " rad/s of targets"


def _ports(ports: dict[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(shape)}" for name, shape in ports.items())


def source_name(config: dict[str, Any]) -> str:
    """Describes the pose source in the settings of an evaluation."""
    words = [config["pose"]]
    if config["pose"] == "vision":
        words += [config["renderer"], config["appearance"]]
    delay = config.get("action_delay", 0)
    words += [f"actions {delay} late"] if delay else []
    return ", ".join([*words, *(["fused"] if config["fuse"] else [])])


def training_seeds(manifest: dict[str, Any]) -> tuple[list[int], bool]:
    """The training seeds of a bundle's policy and its ancestors, and whether all are known.

    Earlier manifests have the seed of the policy's last run only.
    """
    about = manifest.get("training", {}).get("policy", {})
    seeds = about.get("seeds", [about["seed"]] if "seed" in about else [])
    return list(seeds), bool(about.get("seeds_complete", False))
