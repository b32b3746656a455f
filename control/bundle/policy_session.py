"""The exported policy on onnxruntime."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.actions import BINS, decide
from opendactyl.vision.estimator import open_session

LOGITS, ACTION_BINS = "logits", "bins"
"""The output that gives the action: a distribution over bins, or bins, which may be fractional."""
TOKENS = "tokens"
"""Input of policies that observe the estimator's tokens."""


@dataclass(frozen=True, eq=False)
class PolicyMemory:
    """What B policies carry from one action to the next; all zeros at the start of an episode."""

    arrays: dict[str, NDArray[np.float32]]
    """By name, arrays (B, …)."""

    def __getitem__(self, key: str) -> NDArray[np.float32]:
        """The array (B, …) of this name."""
        return self.arrays[key]

    def of(self, rows: NDArray[np.intp]) -> "PolicyMemory":
        """A copy of the memory of some policies."""
        return PolicyMemory({name: values[rows] for name, values in self.arrays.items()})

    def update(self, rows: NDArray[np.intp], new: "PolicyMemory") -> None:
        """Replaces the memory of some policies."""
        for name, values in new.arrays.items():
            self.arrays[name][rows] = values

    def clear(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> None:
        """Starts new episodes of some policies."""
        for values in self.arrays.values():
            values[rows] = 0.0


def memory_shapes(policy: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a policy's memory, without the batch, from its entry in a manifest.

    Earlier bundles do not list them: their policies have h and c.
    """
    if isinstance(policy.get("memory"), list):
        return {str(m["name"]): tuple(map(int, m["shape"])) for m in policy["memory"]}
    return {name: (int(policy["inputs"][name][1]),) for name in ("h", "c")}


def token_shape(policy: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Shape (V, T) of the tokens that a policy takes from the estimator; None: it takes none.

    Args:
        policy: its entry in a manifest.
    """
    shape = policy["inputs"].get(TOKENS)
    return None if shape is None else tuple(map(int, shape[1:]))


class PolicySession:
    """Runs an exported policy on onnxruntime."""

    def __init__(
        self,
        path: Path,
        memory: Mapping[str, tuple[int, ...]],
        threads: int = 0,
        decision: str = "mean",
    ) -> None:
        """Loads a `policy.onnx`.

        Args:
            path: the file.
            memory: names and shapes of its memory, see `memory_shapes`.
            threads: number of threads; 0 is one per core.
            decision: how logits become bins, see `policy.interface.actions.decide`.

        Raises:
            InputError: the file is not an ONNX model.
        """
        self._session = open_session(path, threads)
        self._memory, self._decision = dict(memory), decision
        both = (*self._session.get_inputs(), *self._session.get_outputs())
        self.ports: dict[str, list[Any]] = {port.name: list(port.shape) for port in both}
        """Names and shapes of inputs and outputs; dynamic dimensions are strings."""
        self._action = LOGITS if LOGITS in self.ports else ACTION_BINS

    def initial_memory(self, batch: int = 1) -> PolicyMemory:
        """The memory at the start of B episodes."""
        return PolicyMemory(
            {n: np.zeros((batch, *shape), np.float32) for n, shape in self._memory.items()}
        )

    def act(
        self,
        observation: NDArray[np.float32],
        memory: PolicyMemory,
        tokens: NDArray[np.float32] | None = None,
    ) -> tuple[Array, PolicyMemory, NDArray[np.bool_]]:
        """Computes one action of B policies.

        Args:
            observation: observations (B, n).
            memory: memory before the action.
            tokens: the estimator's tokens (B, V, T), NaN where there are none; policies without
                this input ignore them.

        Returns:
            The bins (B, A), the memory after the action, and whether the network's outputs are
            finite (B,); where they are not, neither may be used.
        """
        inputs = {"observation": observation, **memory.arrays}
        if TOKENS in self.ports:
            absent = np.full((len(observation), *self.ports[TOKENS][1:]), np.nan, np.float32)
            inputs[TOKENS] = absent if tokens is None else tokens
        names = [f"{name}_out" for name in self._memory]
        action, *after = (
            np.asarray(value) for value in self._session.run([self._action, *names], inputs)
        )
        outputs = [value.reshape(len(observation), -1) for value in (action, *after)]
        finite = np.isfinite(np.concatenate(outputs, axis=1)).all(axis=1)
        if self._action == LOGITS:
            bins = decide(action, self._decision)
        else:
            bins = np.clip(action.astype(np.float64), 0.0, BINS - 1)
        return bins, PolicyMemory(dict(zip(self._memory, after, strict=True))), np.asarray(finite)
