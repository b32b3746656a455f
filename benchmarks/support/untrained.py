"""Untrained networks: the student of `train-policy`, and a bundle for timing."""

from pathlib import Path

import torch

from opendactyl.control.bundle.load import MANIFEST_FILE, POLICY_FILE, POSE_FILE, SCHEMA_VERSION
from opendactyl.core.atomic_files import sha256, write_json
from opendactyl.core.run_dir import to_plain
from opendactyl.geometry.rig import load_rig
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.export import export_policy
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.timing import CONTROL_PERIOD
from opendactyl.vision.export import export_pose
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.data_sizes import FRAME_SIZE
from opendactyl.vision.training.module import PoseModule

CROP_SIZE = 96
"""The size of crops that `train-vision` chooses for the block in rig dactyl."""


def untrained_bundle(folder: Path) -> Path:
    """Writes a bundle with the default networks of `train-vision` and `train-policy`."""
    folder.mkdir(parents=True)
    vision = VisionConfig()
    rig = load_rig("dactyl-200").views(FRAME_SIZE)
    obj = object_spec("block")
    module = PoseModule(
        model=vision.model,
        head=vision.head,
        rig=rig,
        points=obj.keypoints.tolist(),
        image_size=FRAME_SIZE,
        crop_size=CROP_SIZE,
    )
    manifest = {
        "schema": SCHEMA_VERSION,
        "pose": export_pose(module.eval(), rig, folder / POSE_FILE),
        "policy": export_policy(_policy_run(folder / "run"), folder / POLICY_FILE),
        "rig": rig.to_dict(),
        "control_period_s": CONTROL_PERIOD,
        "joints": list(hand_spec().joints),
        "sha256": {name: sha256(folder / name) for name in (POSE_FILE, POLICY_FILE)},
    }
    write_json(folder / MANIFEST_FILE, manifest)
    return folder


def untrained_agent(config: PolicyConfig, precision: str = "32-true") -> Agent:
    """The student of `train-policy` with initial weights."""
    return Agent(
        sum(config.environment().observation_fields.values()),
        hand=config.hand,
        hidden=config.hidden,
        memory=config.memory,
        critic_memory=config.critic_memory,
        privileged=False,
        precision=precision,
    )


def _policy_run(run: Path) -> Path:
    """A run folder like that of `train-policy`, with untrained weights."""
    config = PolicyConfig()
    agent = untrained_agent(config)
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"student": agent.state_dict()}, run / "checkpoints" / "best.ckpt")
    write_json(run / "config.json", to_plain(config))
    return run
