"""A bundle: estimator, policy and the manifest that says how to use them.

Loading and running one needs numpy and onnxruntime only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from opendactyl.files.atomic import read_json, sha256
from opendactyl.files.errors import InputError
from opendactyl.geometry.rig import Rig
from opendactyl.policy.interface import FIELD_SIZES, ActionDecoder
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
    """The hidden state of B policies."""

    h: NDArray[np.float32]
    """(B, H)."""
    c: NDArray[np.float32]
    """(B, H)."""


class PolicySession:
    """An exported policy on onnxruntime."""

    def __init__(self, path: Path, hidden: int, threads: int = 0) -> None:
        """Loads a `policy.onnx` with `hidden` units of memory."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._hidden = hidden

    def initial_memory(self, batch: int = 1) -> PolicyMemory:
        """The memory at the start of B episodes."""
        zeros = np.zeros((batch, self._hidden), dtype=np.float32)
        return PolicyMemory(zeros, zeros.copy())

    def act(
        self, observation: NDArray[np.float32], memory: PolicyMemory
    ) -> tuple[NDArray[np.int64], PolicyMemory]:
        """The likeliest bins (B, 20) for observations (B, n), and the memory after them.

        Raises:
            FloatingPointError: the policy gave something that is not a number.
        """
        logits, h, c = (
            np.asarray(value)
            for value in self._session.run(
                ["logits", "h_out", "c_out"],
                {"observation": observation, "h": memory.h, "c": memory.c},
            )
        )
        if not np.isfinite(logits).all():
            raise FloatingPointError("the policy's output is not finite")
        return logits.argmax(axis=-1), PolicyMemory(h, c)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded bundle."""

    path: Path
    manifest: dict[str, Any]
    estimator: PoseEstimator
    policy: PolicySession
    rig: Rig
    """The nominal cameras at the estimator's image size."""
    layout: tuple[str, ...]
    """What the policy sees, in order: keys of `policy.interface.FIELD_SIZES`."""

    @property
    def task(self) -> str:
        """The task the policy was trained for."""
        return self.manifest["policy"]["task"]

    @property
    def object_name(self) -> str:
        """The object both were trained with."""
        return self.manifest["policy"]["object"]

    def decoder(self) -> ActionDecoder:
        """A fresh decoder of the policy's actions."""
        return ActionDecoder.from_dict(self.manifest["policy"]["action"])


def load_bundle(path: str | Path, threads: int = 0) -> Bundle:
    """Loads a bundle after checking its schema version and every checksum.

    Raises:
        InputError: there is no bundle, it is of another version, or a file was changed.
    """
    path = Path(path)
    if not (path / MANIFEST_FILE).exists():
        raise InputError(
            f"{path} is no bundle ({MANIFEST_FILE} is missing); make one with `make export`"
        )
    manifest = read_json(path / MANIFEST_FILE)
    version = manifest.get("schema") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} is a bundle of schema {version}, this version reads {SCHEMA_VERSION}; "
            "export it again"
        )
    try:
        for name, checksum in manifest["sha256"].items():
            if sha256(path / Path(name).name) != checksum:
                raise InputError(
                    f"the checksum of {path / name} is wrong: the file was changed or damaged"
                )
        policy = manifest["policy"]
        layout = tuple(field["name"] for field in policy["observation"])
        wrong = [f for f in policy["observation"] if FIELD_SIZES.get(f["name"]) != f["size"]]
        if wrong:
            raise InputError(f"{path} was made for another observation layout: {wrong}")
        hidden = int(policy["inputs"]["h"][1])
        rig = Rig.from_dict(manifest["rig"])
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{path / MANIFEST_FILE} is no bundle manifest ({error!r})") from error
    return Bundle(
        path=path,
        manifest=manifest,
        estimator=PoseEstimator(path / POSE_FILE, threads),
        policy=PolicySession(path / POLICY_FILE, hidden, threads),
        rig=rig,
        layout=layout,
    )
