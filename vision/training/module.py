"""The Lightning shell around a pose network: one shared step, errors people can read."""

import math
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array, matrix_to_quat
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.geometry.torch_rotation import geodesic_angle, quat_to_matrix
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.registry import build_pose_network
from opendactyl.vision.measures.metrics import GOOD_ANGLE_DEG, GOOD_MM
from opendactyl.vision.training.losses import FocalBalance, pose_loss

WARM_UP, WARM_UP_SHARE = 200, 0.05
"""Steps, or share of the time if that is shorter, over which the step size rises to its peak."""
HALVING = 20_000
"""Steps after which schedule `halving` halves the step size (D18 D.2)."""


class PoseModule(L.LightningModule):
    """Trains a pose network; everything needed to build it again is in its hyperparameters."""

    intrinsics: Tensor
    cam_from_hand: Tensor
    log_std_shift: Tensor

    def __init__(
        self,
        *,
        model: str,
        head: str,
        rig: Rig | dict[str, Any],
        points: list[list[float]],
        image_size: int,
        anchors: list[list[float]] | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        balance: str = "fixed",
    ) -> None:
        """Builds a network.

        Args:
            model: a key of `models.pose.POSE_NETWORKS`.
            head: its rotation head.
            rig: the nominal cameras at the network's image size.
            points: the object's keypoints (K, 3), in metres, object frame.
            image_size: width and height of the images.
            anchors: points (M, 3) that never move in the hand frame; default `STATIC_LANDMARKS`.
            learning_rate: peak step size.
            weight_decay: AdamW's.
            schedule: how the step size falls, `cosine` or `halving`.
            balance: weights of position and rotation, `fixed` or `focal`.
        """
        super().__init__()
        # As they are here, after the next two lines, the arguments go into checkpoints.
        rig = rig.to_dict() if isinstance(rig, Rig) else rig
        anchors = anchors or STATIC_LANDMARKS.tolist()
        self.save_hyperparameters()
        seen = Rig.from_dict(rig)
        self.network = build_pose_network(
            model, views=len(seen.cameras), head=head, points=points, anchors=anchors
        )
        self.network = self.network.to(memory_format=torch.channels_last)  # pyright: ignore
        # What a rig cannot know, the estimator may not use: only the nominal cameras are here.
        self.register_buffer("intrinsics", torch.tensor(seen.intrinsics, dtype=torch.float32))
        self.register_buffer("cam_from_hand", torch.tensor(seen.extrinsics, dtype=torch.float32))
        # What `calibrate` found that the network's log_std must be raised by.
        self.register_buffer("log_std_shift", torch.zeros(2))
        self.balance = FocalBalance() if balance == "focal" else None
        self.progress = 0.0
        """How much of the training time has passed, from 0 to 1."""

    def forward(self, batch: dict[str, Tensor]) -> PoseOutput:
        """Estimates for a batch."""
        output = self.network(batch["images"], self.intrinsics, self.cam_from_hand)
        output.log_std = output.log_std + self.log_std_shift
        return output

    @property
    def image_size(self) -> int:
        """Width and height of the images it takes."""
        return self.hparams["image_size"]

    @property
    def views(self) -> int:
        """How many cameras it takes."""
        return len(self.intrinsics)

    @property
    def calibrated(self) -> bool:
        """Whether its training was completed, which ends with the scaling of its uncertainty."""
        return bool(self.log_std_shift.any())

    @property
    def any_cameras(self) -> bool:
        """Whether the network reads its cameras from the rig instead of knowing them."""
        return getattr(self.network, "any_cameras", False)

    def look_through(self, rig: Rig) -> None:
        """Takes other nominal cameras than those of training.

        Args:
            rig: the cameras, of images of any size.

        Raises:
            InputError: the network knows its cameras.
        """
        if not self.any_cameras:
            raise InputError(
                f"model {self.hparams['model']!r} works with the cameras it was trained on only; "
                "train --model keypoint, or train with this rig"
            )
        rig = rig.resized(self.image_size)
        self.intrinsics = torch.tensor(rig.intrinsics, dtype=torch.float32, device=self.device)
        self.cam_from_hand = torch.tensor(rig.extrinsics, dtype=torch.float32, device=self.device)
        self.hparams["rig"] = rig.to_dict()

    @torch.inference_mode()
    def estimate_batch(self, images: NDArray[np.uint8]) -> tuple[Array, Array, Array]:
        """Positions (B, 3), quaternions (B, 4), covariances (B, 6, 6) of images (B, V, H, W, 3).

        Raises:
            InputError: images of another number of cameras.
        """
        if images.shape[1] != self.views:
            raise InputError(f"images of {images.shape[1]} cameras were given, not {self.views}")
        output = self({"images": torch.from_numpy(images).to(self.device)})
        variance = torch.exp(2 * output.log_std).repeat_interleave(3, dim=-1).cpu().numpy()
        quaternion = matrix_to_quat(output.rotation.double().cpu().numpy())
        return output.position.cpu().numpy(), quaternion, variance[:, :, None] * np.eye(6)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        losses, angle, millimetres = self._shared_step(batch)
        if self.balance is not None:
            losses = self.balance(losses, angle, millimetres)
        values = {f"train/{key}": value.detach() for key, value in losses.items()}
        self.log_dict(values)
        self.log("deg", angle.mean(), prog_bar=True)
        self.log("mm", millimetres.mean(), prog_bar=True)
        return losses["total"]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Logs mean errors; `val/score` joins them for choosing the best checkpoint."""
        losses, angle, millimetres = self._shared_step(batch)
        values = {
            "val/loss": losses["total"],
            "val/score": angle.mean() / GOOD_ANGLE_DEG + millimetres.mean() / GOOD_MM,
        }
        shown = {
            "val/rotation_error_deg": angle.mean(),
            "val/position_error_mm": millimetres.mean(),
        }
        self.log_dict(values, batch_size=len(angle), sync_dist=True)
        self.log_dict(shown, batch_size=len(angle), sync_dist=True, prog_bar=True)

    def _shared_step(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Losses, and the errors in degrees and millimetres; only the network runs in bf16."""
        output = self(batch)
        with torch.autocast(self.device.type, enabled=False):
            return pose_loss(output, batch), *pose_errors(output, batch)

    def configure_optimizers(self) -> Any:
        """AdamW; the step size follows the share of time that has passed."""
        hyper = self.hparams
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=hyper["learning_rate"], weight_decay=hyper["weight_decay"]
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        warm = min(1.0, max((step + 1) / WARM_UP, self.progress / WARM_UP_SHARE))
        if self.hparams["schedule"] == "halving":
            return warm * 0.5 ** (step // HALVING)
        return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0))))


@torch.no_grad()
def pose_errors(output: PoseOutput, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Rotation errors in degrees and position errors in millimetres, (B,) each."""
    angle = geodesic_angle(output.rotation, quat_to_matrix(batch["quaternion"]))
    distance = torch.linalg.vector_norm(output.position - batch["position"], dim=-1)
    return torch.rad2deg(angle), distance * 1000
