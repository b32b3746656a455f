"""Loads bundles: estimator, policy, and the manifest that describes them.

Loading and running one needs the base install only. A pose-only bundle has no policy.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.control.bundle.hand import DEFAULT_NAME, HandInterface, hand_name
from opendactyl.control.bundle.manifest import check_manifest, check_ports, describe
from opendactyl.control.bundle.policy_session import PolicySession, memory_shapes
from opendactyl.core.atomic_files import read_json, sha256
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.policy.interface.actions import ActionDecoder
from opendactyl.sim.assets.storage import KINDS, check_stored, stored_reference
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.raw_frames import check_raw_rig

SCHEMA_VERSION = 1
NETWORKS = POSE_FILE, POLICY_FILE, IMITATION_FILE = "pose.onnx", "policy.onnx", "imitation.onnx"
MANIFEST_FILE, CARD_FILE = "manifest.json", "README.md"


@dataclass(frozen=True, eq=False)
class PoseBundle:
    """The estimator of a loaded bundle, with or without a policy."""

    path: Path
    manifest: dict[str, Any]
    estimator: PoseEstimator
    rig: Rig
    """Nominal cameras of the network's images."""
    raw_rig: Rig | None
    """Cameras of the raw frames, with their lenses; None if the bundle does not state them."""

    @property
    def object_name(self) -> str:
        """The object that the estimator was trained with; empty if the bundle does not name it."""
        policy = self.manifest.get("policy", {})
        return policy.get("object") or self.manifest["pose"].get("object") or ""

    @property
    def object(self) -> str:
        """The object as `object_spec` takes it: a shipped name, or the bundle's file."""
        return stored_reference(self.path, "object", self.object_name)

    @property
    def hand_name(self) -> str:
        """The hand that the bundle was made for."""
        return hand_name(self.manifest)

    @property
    def hand_reference(self) -> str:
        """The hand as `hand_spec` takes it: a shipped name, or the bundle's file."""
        return stored_reference(self.path, "hand", self.hand_name)

    @property
    def symmetry(self) -> SymmetryGroup:
        """The object's rotational symmetry."""
        return SymmetryGroup.from_dict(self.manifest.get("symmetry"))

    @property
    def identity(self) -> str:
        """Checksum of everything that determines its behaviour, without metrics and provenance."""
        behaviour = {k: v for k, v in self.manifest.items() if k not in ("metrics", "training")}
        behaviour["pose"] = {k: v for k, v in behaviour["pose"].items() if k != "agreement"}
        return hashlib.sha256(json.dumps(behaviour, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Bundle(PoseBundle):
    """A loaded bundle with a policy."""

    policy: PolicySession
    hand: HandInterface
    """Joints, actuators and fingertips of the hand."""
    layout: tuple[str, ...]
    """Fields of the observation in order: keys of `policy.interface.observations.field_sizes`."""
    period: float
    """Control period in seconds."""

    @property
    def task(self) -> str:
        """The task the policy was trained for."""
        return self.manifest["policy"]["task"]

    def decoder(self) -> ActionDecoder:
        """Makes a decoder of the policy's actions."""
        return ActionDecoder.from_dict(self.manifest["policy"]["action"])


def load_bundle(path: str | Path, threads: int = 0) -> Bundle:
    """Loads a bundle after checking its schema version, checksums and manifest.

    Args:
        path: folder of the bundle; files may be symbolic links.
        threads: threads of onnxruntime; 0 is one per core.

    Raises:
        InputError: the folder is not a bundle of this version, it has no policy, or a file was
            changed.
        EnvironmentFailure: the disk failed.
    """
    path = Path(path)
    manifest = _verified_manifest(path)
    if not _has_policy(manifest):
        raise InputError(
            f"{path} holds an estimator without a policy: `opendactyl estimate` runs it; "
            f"`opendactyl export --vision {path} --policy RUN` adds a policy"
        )
    pose = _pose_bundle(path, manifest, threads, None)
    policy = manifest["policy"]
    bundle = Bundle(
        **vars(pose),
        policy=PolicySession(
            path / POLICY_FILE,
            memory_shapes(policy),
            threads,
            ActionDecoder.from_dict(policy["action"]).config.decision,
        ),
        hand=HandInterface.from_manifest(manifest),
        layout=tuple(field["name"] for field in policy["observation"]),
        period=float(manifest["control_period_s"]),
    )
    check_ports(manifest, bundle.policy.ports, path)
    return bundle


def load_pose_bundle(path: str | Path, threads: int = 0, rig: Rig | None = None) -> PoseBundle:
    """Loads the estimator of a bundle, which needs no policy.

    Args:
        path: folder of the bundle; files may be symbolic links.
        threads: threads of onnxruntime; 0 is one per core.
        rig: the cameras of the raw frames, where they are not those of the bundle. A network that
            takes any cameras uses them; others need the cameras of their training, to which this
            adds the size and the lenses of raw frames.

    Raises:
        InputError: the folder is not a bundle of this version, a file was changed, or the
            estimator does not work with the rig.
        EnvironmentFailure: the disk failed.
    """
    path = Path(path)
    return _pose_bundle(path, _verified_manifest(path), threads, rig)


def _pose_bundle(
    path: Path, manifest: dict[str, Any], threads: int, given: Rig | None
) -> PoseBundle:
    views, raw_rig = check_manifest(manifest, path / MANIFEST_FILE, policy=_has_policy(manifest))
    raw_rig = given or raw_rig
    if given is not None and "intrinsics" in manifest["pose"]["inputs"]:
        views = given.regions().resized(views.cameras[0].width)
    elif raw_rig is not None:
        try:
            check_raw_rig(raw_rig, views)
        except InputError as error:
            raise InputError(
                f"{path} knows the cameras of its training only, and {error}; export a --model "
                "keypoint, which takes any cameras, or train on renders of this rig "
                "(`opendactyl dataset --rig`)"
            ) from error
    estimator = PoseEstimator(path / POSE_FILE, threads, rig=views, raw_rig=raw_rig)
    return PoseBundle(path, manifest, estimator, views, raw_rig)


def _has_policy(manifest: dict[str, Any]) -> bool:
    return "policy" in manifest or POLICY_FILE in manifest["sha256"]


def _verified_manifest(path: Path) -> dict[str, Any]:
    """Reads a manifest; checks its version and the checksums of the networks."""
    _refuse_dangling_links(path)
    if not exists(path / MANIFEST_FILE):
        raise InputError(
            f"{path} is not a bundle ({MANIFEST_FILE} is missing); make one with `make export`"
        )
    manifest = read_json(path / MANIFEST_FILE)
    version = manifest.get("schema") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} is a bundle of schema {version}, this version reads {SCHEMA_VERSION}; "
            "export it again"
        )
    checksums = manifest.get("sha256")
    if not isinstance(checksums, dict):
        raise InputError(f"{path / MANIFEST_FILE} has no checksum of {POSE_FILE}; export it again")
    required = (POSE_FILE, POLICY_FILE) if _has_policy(manifest) else (POSE_FILE,)
    for name in NETWORKS:
        if name in required and name not in checksums:
            raise InputError(f"{path / MANIFEST_FILE} has no checksum of {name}; export it again")
        if name in checksums and sha256(path / name) != checksums[name]:
            raise InputError(
                f"the checksum of {path / name} is wrong: the file was changed or damaged"
            )
    for kind in KINDS:
        if kind != "hand" or hand_name(manifest) != DEFAULT_NAME:  # which is installed
            check_stored(path, kind, manifest.get(kind), path / MANIFEST_FILE)
    return manifest


def _refuse_dangling_links(path: Path) -> None:
    """Checks that links point to files: the shipped bundles share networks by relative links."""
    for file in (path / name for name in (MANIFEST_FILE, POSE_FILE, POLICY_FILE)):
        if not exists(file) and file.is_symlink():
            raise InputError(
                f"{file} is a link to {file.readlink()}, which does not exist; copy the bundle "
                "again with `cp -rL`, which copies what links point to"
            )


def check_bundle(path: Path) -> str:
    """Loads a bundle, runs its networks once, and returns a description of its contract.

    Raises:
        InputError: the bundle cannot be used.
    """
    bundle = load_bundle(path) if _has_policy(_verified_manifest(path)) else load_pose_bundle(path)
    images = np.zeros((1, *bundle.estimator.shape), dtype=np.uint8)
    try:
        shapes = [output.shape for output in bundle.estimator.estimate_batch(images)]
        if shapes[:3] != [(1, 3), (1, 4), (1, 6, 6)]:
            raise InputError(f"{path}: the estimator's outputs have the shapes {shapes}")
        if isinstance(bundle, Bundle):
            _run_policy(bundle)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot run a network ({error})") from error
    return f"{path} is valid\n{describe(bundle.manifest)}"


def _run_policy(bundle: Bundle) -> None:
    """Checks the policy's outputs for one observation."""
    size = bundle.manifest["policy"]["inputs"]["observation"][1]
    observation = np.zeros((1, size), dtype=np.float32)
    bins, _, finite = bundle.policy.act(observation, bundle.policy.initial_memory())
    if bins.shape != (1, len(bundle.decoder().low)):
        raise InputError(f"{bundle.path}: the policy's output has the shape {bins.shape}")
    if not finite.all():
        raise InputError(f"{bundle.path}: the policy's output is not finite")
