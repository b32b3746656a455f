"""A policy that acts in batches of simulations."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array


class Policy(Protocol):
    """A policy with a memory, acting in B simulations."""

    def begin(self, batch: int) -> None:
        """Starts with an empty memory in `batch` simulations."""
        ...

    def act(self, observation: NDArray[np.float32], start: NDArray[np.bool_]) -> Array:
        """Bins (B, A) from observations (B, n); the memory is reset first where `start` (B,)."""
        ...
