"""The exported policy on onnxruntime."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.actions import decide


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
