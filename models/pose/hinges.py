"""Keypoints that hinges move: their positions and derivatives, in operations that ONNX has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from opendactyl.geometry.articulation import Articulation, Hinge


class Hinges(nn.Module):
    """The hinges of an object (`Articulation`): H of them, none of a rigid object."""

    sine: Tensor
    versine: Tensor
    on_body: Tensor

    def __init__(
        self, points: Sequence[Sequence[float]], hinges: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Takes keypoints (K, 3) at angle zero and the form of `Hinge.to_dict`."""
        super().__init__()
        articulation = Articulation(np.array(points), tuple(map(Hinge.from_dict, hinges)))
        self.count = len(hinges)
        # Not persistent: weights of a rigid object have no hinges.
        for name, values in zip(("sine", "versine"), articulation.basis, strict=True):
            tensor = torch.tensor(values, dtype=torch.float32)
            self.register_buffer(name, tensor, persistent=False)
        on_body = torch.ones(len(points))
        for hinge in articulation.hinges:
            on_body[slice(*hinge.keypoints)] = 0
        self.register_buffer("on_body", on_body, persistent=False)

    def forward(self, points: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (B, K, 3) at angles (B, H), and their derivatives (B, H, K, 3)."""
        sin, cos = torch.sin(angles), torch.cos(angles)
        moved = torch.einsum("bh,hki->bki", sin, self.sine)
        moved = moved + torch.einsum("bh,hki->bki", 1 - cos, self.versine)
        derivative = cos[..., None, None] * self.sine + sin[..., None, None] * self.versine
        return points + moved, derivative

    def fit(self, points: Tensor, observed: Tensor, weight: Tensor) -> Tensor:
        """Angles (B, H) that minimise weighted squared distances of the keypoints.

        Args:
            points: keypoints (K, 3) at angle zero, object frame.
            observed: where they are (B, K, 3), object frame.
            weight: weights (B, K).
        """
        moved = weight[..., None] * (observed - points)
        sin = torch.einsum("bki,hki->bh", moved, self.sine)
        squares = torch.einsum("bk,hk->bh", weight, self.sine.square().sum(dim=-1))
        cos = squares - torch.einsum("bki,hki->bh", moved, self.versine)
        return torch.atan2(sin, cos)


def wrap_angle(angle: Tensor) -> Tensor:
    """Angles in [−π, π]."""
    return torch.atan2(torch.sin(angle), torch.cos(angle))
