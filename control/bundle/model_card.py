"""The model card of a bundle, filled from its manifest."""

from pathlib import Path
from typing import Any

from opendactyl.control.bundle.hand import DEFAULT_NAME, hand_name
from opendactyl.control.bundle.manifest import source_name
from opendactyl.control.bundle.policy_session import ACTION_BINS
from opendactyl.policy.interface.actions import ActionDecoder


def model_card(manifest: dict[str, Any]) -> str:
    """Returns the card as Markdown: purpose, contract, measurements and limits."""
    policy = manifest.get("policy")
    trained = "rig, object and hand" if policy else "rig and object"
    if "scene" in manifest:
        trained = f"rig and object in the scene {manifest['scene']['name']}"
    return f"""# OpenDactyl bundle: {_purpose(manifest)}

## Files

{_files(manifest)}

Images are uint8 RGB of the cameras {_names(manifest)}, in this order. {_raw(manifest)}
Normalisation is inside the files.
{_action(policy) if policy else _frame(manifest)}

{_agreement(manifest["pose"].get("agreement"))}{_observation(policy) if policy else ""}## Measured

{_measured(manifest["metrics"])}

## Limits

Trained in simulation only, for this {trained}. Not tested on a robot.
"""


def _purpose(manifest: dict[str, Any]) -> str:
    policy = manifest.get("policy")
    if policy is None:
        name = manifest["pose"].get("object") or "object"
        return f"""pose of the {name}

Estimates the pose of the {name} from camera images, and has no policy: `opendactyl estimate` runs
it. `manifest.json` holds the complete contract; running it needs numpy and onnxruntime."""
    return f"""{policy["task"]} with the {policy["object"]}

Rotates the {policy["object"]} in {_hand(manifest)} from camera images, one action every
{manifest["control_period_s"] * 1000:.0f} ms. `manifest.json` holds the complete contract; running
it needs numpy and onnxruntime."""


def _hand(manifest: dict[str, Any]) -> str:
    name = hand_name(manifest)
    return "a Shadow hand" if name == DEFAULT_NAME else f"the hand {name}"


def _files(manifest: dict[str, Any]) -> str:
    pose, policy = manifest["pose"], manifest.get("policy")
    eight = " (8 bits)" if pose.get("quantized") else ""
    rows = [("`pose.onnx`" + eight, pose), *([("`policy.onnx`", policy)] if policy else [])]
    if "imitation" in manifest:
        rows.append(("`imitation.onnx`", manifest["imitation"]))
    lines = [f"| {name} | {_ports(n['inputs'])} | {_ports(n['outputs'])} |" for name, n in rows]
    return "\n".join(["| file | inputs | outputs |", "|---|---|---|", *lines])


def _names(manifest: dict[str, Any]) -> str:
    return ", ".join(camera["name"] for camera in manifest["rig"]["cameras"])


def _raw(manifest: dict[str, Any]) -> str:
    if "raw_rig" not in manifest:
        return "Raw frames of these views\nare resized."
    sizes = ", ".join(f"{c['width']}×{c['height']}" for c in manifest["raw_rig"]["cameras"])
    return f"Raw frames ({sizes}) are\nundistorted, cropped and resized."


def _frame(manifest: dict[str, Any]) -> str:
    frames = {"pose": "not stated", "object": "not stated"} | manifest.get("frames", {})
    return f"Pose: {frames['pose']}.\nAxes of the object: {frames['object']}."


def _action(policy: dict[str, Any]) -> str:
    decision = _DECISIONS[ActionDecoder.from_dict(policy["action"]).config.decision]
    if ACTION_BINS in policy["outputs"]:
        decision = f"bin, which may be fractional (plans of {policy['chunk']} actions),"
    return f"""The policy's action is the {decision} of each actuator;
`manifest.json` gives range, scaling ({policy["action"]["mode"]} targets) and smoothing
({policy["action"]["smoothing"]})."""


def _observation(policy: dict[str, Any]) -> str:
    fields = "\n".join(f"| {f['name']} | {f['size']} |" for f in policy["observation"])
    return f"## Observation of the policy, in order\n\n| field | size |\n|---|---|\n{fields}\n\n"


_DECISIONS = {"mean": "mean of the distribution over bins", "likeliest": "likeliest bin"}


def _ports(ports: dict[str, Any]) -> str:
    return "; ".join(f"`{name}` {tuple(shape)}" for name, shape in sorted(ports.items()))


def _agreement(measured: dict[str, float] | None) -> str:
    if measured is None:
        return ""
    return (
        f"On {measured['n']} samples onnxruntime's poses differed from torch's by at most "
        f"{measured['rotation_rad']:.1e} rad and\n{measured['position_m'] * 1000:.1e} mm.\n\n"
    )


def _measured(metrics: dict[str, Any]) -> str:
    paragraphs = [_validation(metrics.get("vision")), *_vision(metrics), *_loop(metrics)]
    return "\n\n".join(paragraphs)


def _vision(metrics: dict[str, Any]) -> list[str]:
    """A table of the estimator's errors on test data."""
    if not metrics.get("sight"):
        return []
    rows = [
        "Pose estimation on samples of other seeds (`opendactyl eval-vision`):\n",
        "| states | renderer | seed | n | rotation, mean (°) | median | position, mean (mm) "
        "| median | coverage of 90 % regions (rotation, position) |",
        "|---" * 9 + "|",
    ]
    for row in metrics["sight"]:
        rotation, position = row["rotation_error_deg"], row["position_error_mm"]
        # Data of other software has neither renderer nor seed.
        renderer, seed = ("–" if row[k] is None else row[k] for k in ("renderer", "seed"))
        rows.append(
            f"| {_states(row['states'])} | {renderer} | {seed} | {row['n']} "
            f"| {rotation['mean']:.2f} | {rotation['median']:.2f} | {position['mean']:.2f} "
            f"| {position['median']:.2f} | {_coverage(row, 'rotation')}, "
            f"{_coverage(row, 'position')} |"
        )
    return ["\n".join(rows)]


def _coverage(row: dict[str, Any], quantity: str) -> str:
    """Coverage of the 90 % region; that of each axis's 90 % interval too, if it was recorded."""
    region = f"{row[f'coverage_90_{quantity}']:.1%}"
    if "coverage_90_axes" not in row:
        return region
    first = {"position": 0, "rotation": 3}[quantity]
    axes = ", ".join(f"{axis:.1%}" for axis in row["coverage_90_axes"][first : first + 3])
    return f"{region} (x, y, z: {axes})"


def _states(source: str) -> str:
    """Describes a source of states; bundles by their folder's name."""
    kind, _, bundle = source.partition(":")
    return f"{kind} of {Path(bundle).name}" if bundle else kind


def _loop(metrics: dict[str, Any]) -> list[str]:
    """A table of consecutive goals in the closed loop."""
    if not metrics.get("loop"):
        return []
    rows = [
        "Consecutive goals in simulation, at most 50, until a drop or a time-out "
        "(`opendactyl evaluate`):\n",
        "| task | pose | physics | time-out (s) | seed | n | mean | 95 % interval | median "
        "| drops | time-outs | seconds per goal |",
        "|---" * 12 + "|",
    ]
    for row in metrics["loop"]:
        low, high = row["mean_interval_95"]
        seconds = row["seconds_per_success"]
        rows.append(
            f"| {row['task']} | {source_name(row)} | {row['randomization']} "
            f"| {row['seconds_per_goal']:.0f} | {row['seed']} | {row['n']} | {row['mean']:.1f} "
            f"| {low:.1f} to {high:.1f} | {row['median']:g} | {row['drops']} | {row['timeouts']} "
            f"| {'' if seconds is None else f'{seconds:.2f}'} |"
        )
    return ["\n".join(rows)]


def _validation(vision: dict[str, Any] | None) -> str:
    if vision is None:
        return (
            "There are no validation metrics: the run had no report, or the export changed cameras "
            "or precision. `eval-vision` measures this bundle."
        )
    rotation, position = vision["rotation_error_deg"], vision["position_error_mm"]
    return (
        f"Pose estimation on the n = {vision['n']} validation samples that selected the "
        f"checkpoint: rotation error mean {rotation['mean']:.2f}°, median "
        f"{rotation['median']:.2f}°; position error mean {position['mean']:.2f} mm, median "
        f"{position['median']:.2f} mm{_hinges(vision)}."
    )


def _hinges(vision: dict[str, Any]) -> str:
    """The errors of the hinges of an articulated object."""
    errors = vision.get("hinge_error_deg", {})
    return "".join(f"; angle of the {name} {e['mean']:.2f}°" for name, e in errors.items())
