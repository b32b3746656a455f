"""The loss of the imitation network, and what of its answers is right."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from opendactyl.geometry.torch_ops.rotation import geodesic_angle
from opendactyl.models.imitation.network import ImitationNetwork
from opendactyl.policy.imitation import codes
from opendactyl.policy.imitation.dataset import Examples

GOOD_ANGLE = 0.2
"""Largest error of a goal in radians that counts as right: half the tolerance of success."""
UNCLEAR = 0.4
"""Errors below this cost their square. Where two actions could be meant whose goals are as close,
such as `yaw -90` and `back` after `yaw 90`, a goal between them serves both."""
YAW_WEIGHT = 0.3
"""Weight of the whole angle for `up`, where any yaw will do."""


class Answers(NamedTuple):
    """What the network answers, and the loss."""

    loss: Tensor
    error: Tensor
    """Error of each goal in radians (B, Q): of the upper face for `up`; 0 at the end."""
    right: Tensor
    """Whether each query was answered well (B, Q); True where nothing was asked."""


def answer(network: ImitationNetwork, examples: Examples) -> Answers:
    """Runs the network on examples."""
    encoded = network.encode(torch.from_numpy(examples.demonstration))
    present, waypoints, truth = map(
        torch.from_numpy, (examples.present, examples.waypoints, examples.goal)
    )
    found = network.answer(encoded, present, waypoints)
    code, asked = torch.from_numpy(examples.code), torch.from_numpy(examples.asked)
    at_end = code == codes.END
    error, cost = _goal_error(found.goal, truth, examples.code)
    error, cost = error * ~at_end, cost * ~at_end
    cost = cost + functional.binary_cross_entropy_with_logits(
        found.done, at_end.float(), reduction="none"
    )
    cost = cost + _entropy(found.action, code)
    of_keyframes, valid = _entropy(encoded.rest, torch.from_numpy(examples.rest)), encoded.valid
    loss = (cost * asked).sum() / asked.sum() + (of_keyframes * valid).sum() / valid.sum()
    right = ((found.done > 0) == at_end) & (error < GOOD_ANGLE) | ~asked
    return Answers(loss, error, right)


def _entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy (B, N) of logits (B, N, C)."""
    return functional.cross_entropy(logits.transpose(1, 2), truth, reduction="none")


def _goal_error(goal: Tensor, truth: Tensor, code: np.ndarray) -> tuple[Tensor, Tensor]:
    """Errors in radians, and their cost (B, Q)."""
    whole = geodesic_angle(goal, truth)
    normals, up = codes.upward(code)
    face = goal @ torch.from_numpy(normals.astype(np.float32))[..., None]
    # Half the chord between the face's normal and the vertical is the sine of half the tilt.
    chord = torch.linalg.vector_norm(face[..., 0] - torch.tensor([0.0, 0.0, 1.0]) + 1e-6, dim=-1)
    tilt = 2 * torch.asin((chord / 2).clamp(max=1 - 1e-6))
    is_up = torch.from_numpy(up)
    cost = torch.where(is_up, _huber(tilt) + YAW_WEIGHT * _huber(whole), _huber(whole))
    return torch.where(is_up, tilt, whole), cost


def _huber(error: Tensor) -> Tensor:
    """Cost of errors in radians."""
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=UNCLEAR)
