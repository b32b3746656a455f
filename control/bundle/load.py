"""Loads bundles: estimator, policy, and the manifest that describes them.

Loading and running one needs the base install only.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from opendactyl.control.bundle.manifest import check_manifest, check_ports, describe
from opendactyl.core.atomic_files import read_json, sha256
from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.actions import ActionDecoder, decide
from opendactyl.vision.estimator import PoseEstimator

SCHEMA_VERSION = 1
POSE_FILE, POLICY_FILE, MANIFEST_FILE, CARD_FILE = (
    "pose.onnx",
    "policy.onnx",
    "manifest.json",
    "README.md",
)


@dataclass
class PolicyMemory:
    """The recurrent state of B policies."""

    h: NDArray[np.float32]
    """(B, H)."""
    c: NDArray[np.float32]
    """(B, H)."""


class PolicySession:
    """Runs an exported policy on onnxruntime."""

    def __init__(self, path: Path, hidden: int, threads: int = 0, decision: str = "mean") -> None:
        """Loads a `policy.onnx`.

        Args:
            path: the file.
            hidden: size H of the recurrent state.
            threads: number of threads; 0 is one per core.
            decision: how logits become bins, see `policy.interface.actions.decide`.

        Raises:
            InputError: the file is not an ONNX model.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()  # onnxruntime ignores CPU quotas
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise InputError(f"{path} is not an ONNX model ({error})") from error
        self._hidden, self._decision = hidden, decision

    @property
    def ports(self) -> dict[str, list[Any]]:
        """Names and shapes of inputs and outputs; dynamic dimensions are strings."""
        both = (*self._session.get_inputs(), *self._session.get_outputs())
        return {port.name: list(port.shape) for port in both}

    def initial_memory(self, batch: int = 1) -> PolicyMemory:
        """The state at the start of B episodes."""
        zeros = np.zeros((batch, self._hidden), dtype=np.float32)
        return PolicyMemory(zeros, zeros.copy())

    def act(
        self, observation: NDArray[np.float32], memory: PolicyMemory
    ) -> tuple[Array, PolicyMemory, NDArray[np.bool_]]:
        """Computes one action of B policies.

        Args:
            observation: observations (B, n).
            memory: recurrent state before the action.

        Returns:
            The bins (B, 20), the recurrent state after the action, and whether the network's
            outputs are finite (B,); where they are not, neither may be used.
        """
        logits, h, c = (
            np.asarray(value)
            for value in self._session.run(
                ["logits", "h_out", "c_out"],
                {"observation": observation, "h": memory.h, "c": memory.c},
            )
        )
        outputs = [logits.reshape(len(h), -1), h, c]
        finite = np.isfinite(np.concatenate(outputs, axis=1)).all(axis=1)
        return decide(logits, self._decision), PolicyMemory(h, c), np.asarray(finite)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded bundle."""

    path: Path
    manifest: dict[str, Any]
    estimator: PoseEstimator
    policy: PolicySession
    rig: Rig
    """Nominal cameras at the estimator's image size."""
    layout: tuple[str, ...]
    """Fields of the observation in order: keys of `policy.interface.observations.FIELD_SIZES`."""
    period: float
    """Control period in seconds."""

    @property
    def task(self) -> str:
        """The task the policy was trained for."""
        return self.manifest["policy"]["task"]

    @property
    def object_name(self) -> str:
        """The object that estimator and policy were trained with."""
        return self.manifest["policy"]["object"]

    @property
    def identity(self) -> str:
        """Checksum of everything that determines its behaviour, without metrics and provenance."""
        behaviour = {k: v for k, v in self.manifest.items() if k not in ("metrics", "training")}
        behaviour["pose"] = {k: v for k, v in behaviour["pose"].items() if k != "agreement"}
        return hashlib.sha256(json.dumps(behaviour, sort_keys=True).encode()).hexdigest()

    def decoder(self) -> ActionDecoder:
        """Makes a decoder of the policy's actions."""
        return ActionDecoder.from_dict(self.manifest["policy"]["action"])


def load_bundle(path: str | Path, threads: int = 0) -> Bundle:
    """Loads a bundle after checking its schema version, checksums and manifest.

    Args:
        path: folder of the bundle; files may be symbolic links.
        threads: threads of onnxruntime; 0 is one per core.

    Raises:
        InputError: the folder is not a bundle of this version, or a file was changed.
        EnvironmentFailure: the disk failed.
    """
    path = Path(path)
    manifest = _verified_manifest(path)
    rig = check_manifest(manifest, path / MANIFEST_FILE)
    policy = manifest["policy"]
    bundle = Bundle(
        path=path,
        manifest=manifest,
        estimator=PoseEstimator(path / POSE_FILE, threads),
        policy=PolicySession(
            path / POLICY_FILE,
            int(policy["inputs"]["h"][1]),
            threads,
            ActionDecoder.from_dict(policy["action"]).config.decision,
        ),
        rig=rig,
        layout=tuple(field["name"] for field in policy["observation"]),
        period=float(manifest["control_period_s"]),
    )
    check_ports(manifest, bundle.estimator.shape, bundle.policy.ports, path)
    return bundle


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
    for name in (POSE_FILE, POLICY_FILE):
        checksums = manifest.get("sha256")
        if not isinstance(checksums, dict) or name not in checksums:
            raise InputError(f"{path / MANIFEST_FILE} has no checksum of {name}; export it again")
        if sha256(path / name) != checksums[name]:
            raise InputError(
                f"the checksum of {path / name} is wrong: the file was changed or damaged"
            )
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
    """Loads a bundle, runs both networks once, and returns a description of its contract.

    Raises:
        InputError: the bundle cannot be used.
    """
    bundle = load_bundle(path)
    images = np.zeros((1, *bundle.estimator.shape), dtype=np.uint8)
    inputs = bundle.manifest["policy"]["inputs"]
    observation = np.zeros((1, inputs["observation"][1]), dtype=np.float32)
    try:
        position, quaternion, covariance = bundle.estimator.estimate_batch(images)
        bins, _, finite = bundle.policy.act(observation, bundle.policy.initial_memory())
    except Exception as error:
        raise InputError(f"{path}: cannot run a network ({error})") from error
    shapes = [position.shape, quaternion.shape, covariance.shape, bins.shape]
    if shapes != [(1, 3), (1, 4), (1, 6, 6), (1, len(bundle.decoder().low))]:
        raise InputError(f"{path}: the networks' outputs have the shapes {shapes}")
    if not finite.all():
        raise InputError(f"{path}: the policy's output is not finite")
    return f"{path} is valid\n{describe(bundle.manifest)}"
