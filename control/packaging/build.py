"""Builds a bundle from an estimator and a policy, each of a run or of another bundle."""

import math
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.control.bundle.load import (
    CARD_FILE,
    IMITATION_FILE,
    MANIFEST_FILE,
    NETWORKS,
    POLICY_FILE,
    POSE_FILE,
    SCHEMA_VERSION,
    load_bundle,
)
from opendactyl.control.bundle.model_card import model_card
from opendactyl.control.packaging.config import NO_POLICY, ExportConfig
from opendactyl.control.packaging.estimator import (
    bundled_estimator,
    finished_estimator,
    is_bundle,
    trained_estimator,
)
from opendactyl.control.packaging.hands import add_hand, common_hand, interface_of
from opendactyl.control.packaging.imitation import write_imitation
from opendactyl.control.packaging.objects import add_object
from opendactyl.core.atomic_files import read_json, replace_folder, sha256, write_json, write_text
from opendactyl.core.errors import InputError, file_errors
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import new_folder
from opendactyl.models.weights import save_weights
from opendactyl.policy.export import export_policy, training_record
from opendactyl.policy.interface.actions import ActionDecoder
from opendactyl.policy.interface.tasks import TASKS, check_task
from opendactyl.policy.loading import load_student
from opendactyl.policy.msat.train import is_msat
from opendactyl.sim.assets.storage import KINDS
from opendactyl.sim.timing import CONTROL_PERIOD
from opendactyl.vision.training.checkpoints import load_module
from opendactyl.vision.training.provenance import known_seeds

DESCRIPTION = (
    "task", "layout", "action", "smoothing", "object", "object_identity", "hand", "hand_identity",
    "seeds", "seeds_complete",
)  # fmt: skip
"""What the weights of a policy record of its training."""
CONVENTIONS = {
    "frames": {
        "hand": "origin over the palm, fixed to the mount; x to the fingertips, z up",
        "camera": "OpenCV: x right, y down, z forward; pixel centres at +0.5",
        "pose": "of the object in the hand frame; covariance of position, then of a rotation "
        "vector in the hand frame",
        "object": "as in the object's description, in which pose.keypoints are given",
    },
    "units": "metres, radians, seconds; quaternions w, x, y, z with w >= 0",
}
"""Entries that are the same in every manifest."""


def default_policy_run() -> Path:
    """Returns the run of the hardest task in runs/ that has a policy."""
    for task in reversed(TASKS):
        run = Path("runs") / f"policy-{task}"
        if exists(run / "checkpoints" / "best.ckpt"):
            return run
    raise InputError(
        "there is no trained policy in runs/; train one first with `make train-policy`"
    )


def export_bundle(config: ExportConfig) -> Path:
    """Writes a bundle atomically and returns its folder.

    Raises:
        InputError: a run is missing or unfinished, or `out` holds files that are not a bundle's.
        EnvironmentFailure: the disk failed.
    """
    if config.task:
        check_task(config.task)
    for name in ("task", "max_joint_speed"):
        if config.policy == NO_POLICY and getattr(config, name) not in ("", None):
            option = name.replace("_", "-")
            raise InputError(f"--{option} is of the policy; leave it out with --policy none")
    _refuse_what_needs_runs(config)
    out = config.out.resolve() if config.out.is_symlink() else config.out
    new_folder(out.parent, resume=True)
    _refuse_other_files(out)
    folder = _temporary_folder(out.parent)
    try:
        write_json(folder / MANIFEST_FILE, manifest := _write_networks(config, folder))
        write_text(folder / CARD_FILE, model_card(manifest))
        if config.weights is not None:
            _save_weights(config.weights, config, manifest)
        _refuse_other_files(out)
        replace_folder(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _write_networks(config: ExportConfig, folder: Path) -> dict[str, Any]:
    """Writes the networks; returns the manifest."""
    # Everything that can be refused comes before the export, which takes half a minute.
    module = None if is_bundle(config.vision) else finished_estimator(config)
    policies = [] if config.policy == NO_POLICY else [_policy_of(config)]
    if config.weights is not None and any(is_msat(p) for p in policies if not is_bundle(p)):
        raise InputError(
            f"{policies[0]} holds an action transformer, whose weights no command starts from; "
            "leave --weights out"
        )
    hand = common_hand([config.vision, *policies])
    manifest: dict[str, Any] = {"schema": SCHEMA_VERSION} | CONVENTIONS
    policy, manipulated = {}, None
    if config.policy != NO_POLICY:
        about, trained = _write_policy(_policy_of(config), folder / POLICY_FILE)
        manipulated = about["object"]
        manifest |= {"control_period_s": CONTROL_PERIOD} | interface_of(_policy_of(config))
        manifest["policy"] = about | ({"task": config.task} if config.task else {})
        manifest["max_joint_speed"] = _max_joint_speed(config, about["action"])
        policy = {"policy": trained}
    if module is None:
        manifest |= bundled_estimator(config, folder / POSE_FILE, manipulated)
    else:
        manifest |= trained_estimator(config, module, folder / POSE_FILE, manipulated)
    manifest["training"] |= policy
    if config.imitation is not None:
        manifest["imitation"] = write_imitation(config.imitation, folder / IMITATION_FILE)
    add_object(manifest, [config.vision, *policies], folder)
    add_hand(manifest, hand, folder)
    names = [name for name in NETWORKS if (folder / name).exists()]
    return manifest | {"sha256": {name: sha256(folder / name) for name in names}}


def _max_joint_speed(config: ExportConfig, action: dict[str, Any]) -> list[float]:
    """Limits of the speed of the joint targets in rad/s, one per actuator."""
    decoder = ActionDecoder.from_dict(action)
    if config.max_joint_speed is not None:
        if not 0 < config.max_joint_speed < math.inf:
            raise InputError(
                f"--max-joint-speed is {config.max_joint_speed}; it must be positive, in rad/s"
            )
        return [config.max_joint_speed] * len(decoder.low)
    if is_bundle(source := _policy_of(config)):
        stated = read_json(source / MANIFEST_FILE).get("max_joint_speed")
        if stated is not None:
            return stated
    step = (1 - decoder.config.smoothing) * (decoder.high - decoder.low)
    # Rounded up: a limit must not change what smoothing does.
    return (np.ceil(step / CONTROL_PERIOD * 1000) / 1000).tolist()


def _policy_of(config: ExportConfig) -> Path:
    return config.policy or default_policy_run()


def _temporary_folder(parent: Path) -> Path:
    folder = parent / f".bundle-{uuid.uuid4().hex}"
    with file_errors(f"cannot write to {parent}", "name another --out"):
        folder.mkdir()  # mkdtemp would ignore the umask
    return folder


def _save_weights(folder: Path, config: ExportConfig, manifest: dict[str, Any]) -> None:
    if not is_bundle(config.vision):
        estimator = load_module(config.vision).network.state_dict()
        about = {"seeds": known_seeds(config.vision)}
        save_weights(estimator, folder / "pose.safetensors", about)
    if "policy" in manifest and not is_bundle(policy := _policy_of(config)):
        record = training_record(policy)
        about = {name: record[name] for name in DESCRIPTION if name in record}
        path = folder / f"policy-{record['task']}.safetensors"
        save_weights(load_student(policy), path, about)


def _refuse_other_files(out: Path) -> None:
    """Checks that replacing the folder removes nothing but a bundle."""
    if not exists(out):
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file; name a folder with --out")
    names = {path.name for path in out.iterdir()}
    others = names - {*NETWORKS, MANIFEST_FILE, CARD_FILE, *KINDS}
    if others or (names and not is_bundle(out)):
        also = f"also holds {', '.join(sorted(others))}" if is_bundle(out) else "is not a bundle"
        raise InputError(
            f"{out} {also}, and export replaces the whole folder; move the other files elsewhere, "
            "or name another folder with --out"
        )


def _refuse_what_needs_runs(config: ExportConfig) -> None:
    """Checks that no option needs the trained weights of a bundle, which holds ONNX files only."""
    needed: dict[str, Path] = dict.fromkeys(("rig", "quantize", "coarse"), config.vision)
    if config.policy is not None and (config.policy == NO_POLICY or is_bundle(config.policy)):
        needed["weights"] = config.vision
    for option, source in needed.items():
        if getattr(config, option) not in (None, False) and is_bundle(source):
            raise InputError(
                f"--{option} needs a run of training; {source} is a bundle, which holds no trained "
                "weights"
            )


def _write_policy(source: Path, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes `policy.onnx`; returns its entry of the manifest, and the record of its training."""
    if not is_bundle(source):
        return export_policy(source, path), training_record(source)
    manifest = load_bundle(source).manifest
    shutil.copyfile(source / POLICY_FILE, path)
    return manifest["policy"], manifest.get("training", {}).get("policy", {})
