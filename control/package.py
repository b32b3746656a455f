"""Joins a vision run and a policy run into a bundle."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.control.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    POLICY_FILE,
    POSE_FILE,
    SCHEMA_VERSION,
)
from opendactyl.control.card import model_card
from opendactyl.datasets.cache import open_dataset
from opendactyl.files.atomic import read_json, sha256, write_json, write_text
from opendactyl.files.errors import InputError
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.models.weights import save_weights
from opendactyl.policy.export import export_policy, load_student
from opendactyl.policy.tasks import TASKS, check_task
from opendactyl.sim.names import CONTROL_PERIOD, JOINTS
from opendactyl.vision.checkpoints import load_module
from opendactyl.vision.evaluate import data_seeds, refuse_other_cameras
from opendactyl.vision.export import export_pose
from opendactyl.vision.module import PoseModule
from opendactyl.vision.quantize import quantize


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Settings of `export`."""

    vision: Path = Path("runs/vision")
    """A run of train-vision."""
    policy: Path | None = None
    """A run of train-policy; default the hardest task's in runs/."""
    task: str = ""
    """The task the bundle is for, where it is not the one the policy was trained on: one that
    reorients can spin, too."""
    out: Path = Path("exports/bundle")
    """Folder of the bundle; an older bundle there is replaced."""
    rig: str | None = None
    """A rig's name or TOML file, for cameras other than those of training: --model keypoint."""
    quantize: Path | None = None
    """A dataset of the rig: the estimator's convolutions then compute in 8 bits, with ranges found
    on its samples. Smaller and quicker, for a little accuracy."""
    weights: Path | None = None
    """Also write the networks' weights into this folder as safetensors, for --warm-start."""
    check: Path | None = None
    """Export nothing; check this bundle and print its contract."""
    record: tuple[Path, ...] = ()
    """Export nothing; write what these folders of evaluate and eval-vision say of the bundle in
    --out into its manifest and model card."""


def default_policy_run() -> Path:
    """The run of the hardest task that was trained."""
    for task in reversed(TASKS):
        run = Path("runs") / f"policy-{task}"
        if (run / "checkpoints" / "best.ckpt").exists():
            return run
    raise InputError(
        "there is no trained policy in runs/; train one first with `make train-policy`"
    )


def export_bundle(config: ExportConfig) -> Path:
    """Writes a bundle, complete or not at all, and returns its folder.

    Raises:
        InputError: a run is missing or unfinished, or `out` holds something that is no bundle.
    """
    if config.task:
        check_task(config.task)
    module = load_module(config.vision)
    if config.rig is not None:
        module.look_through(load_rig(config.rig))
    policy_run = config.policy or default_policy_run()
    out = config.out
    bundled = (out / MANIFEST_FILE).exists() and (out / POLICY_FILE).exists()
    if out.exists() and any(out.iterdir()) and not bundled:
        raise InputError(f"{out} exists and is no bundle; name another folder with --out")
    vision_config = read_json(config.vision / "config.json")
    rig = Rig.from_dict(module.hparams["rig"])
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".bundle-", dir=out.parent))
    try:
        manifest: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "pose": _export_pose(config, module, rig, folder / POSE_FILE),
            "policy": export_policy(policy_run, folder / POLICY_FILE)
            | ({"task": config.task} if config.task else {}),
            "rig": rig.to_dict(),
            "control_period_s": CONTROL_PERIOD,
            "joints": list(JOINTS),
            "frames": {
                "hand": "origin over the palm, fixed to the mount; x to the fingertips, z up",
                "camera": "OpenCV: x right, y down, z forward; pixel centres at +0.5",
            },
            "units": "metres, radians, seconds; quaternions w, x, y, z with w >= 0",
            "training": {
                "vision": vision_config,
                "policy": read_json(policy_run / "config.json"),
                "seeds": data_seeds(vision_config),
            },
            "metrics": _metrics(config),
        }
        manifest["sha256"] = {name: sha256(folder / name) for name in (POSE_FILE, POLICY_FILE)}
        write_json(folder / MANIFEST_FILE, manifest)
        write_text(folder / CARD_FILE, model_card(manifest))
        folder.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        os.replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if config.weights is not None:
        student = load_student(policy_run)
        task = manifest["training"]["policy"]["task"]
        save_weights(module.network.state_dict(), config.weights / "pose.safetensors")
        save_weights(student, config.weights / f"policy-{task}.safetensors")
    return out


def _export_pose(config: ExportConfig, module: PoseModule, rig: Rig, path: Path) -> dict[str, Any]:
    about = export_pose(module, rig, path)
    if config.quantize is not None:
        data = open_dataset(config.quantize, module.image_size, module.views)
        refuse_other_cameras(config.vision, rig, data)
        quantize(path, data)
    return about | {"quantized": config.quantize is not None}


def _metrics(config: ExportConfig) -> dict[str, Any]:
    """The measured figures that stand beside a run; of another rig or of 8 bits there are none."""
    path = config.vision / "report" / "metrics.json"
    measured = path.exists() and config.rig is None and config.quantize is None
    return {"vision": read_json(path)} if measured else {}
