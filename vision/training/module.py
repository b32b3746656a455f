"""The LightningModule of pose estimation."""

import math
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera_faults import check_volume
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.geometry.torch_ops.rotation import quat_to_matrix
from opendactyl.geometry.working_volume import box_corners
from opendactyl.models.pose.close_up import Windows
from opendactyl.models.pose.networks.two_stage import Near
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.priors import PosePriors
from opendactyl.models.pose.registry import build_pose_network
from opendactyl.vision.measures.metrics import GOOD_ANGLE_DEG, GOOD_MM
from opendactyl.vision.training.equivalent_truth import EquivalentTruth
from opendactyl.vision.training.losses import FocalBalance, pose_errors, pose_loss

WARM_UP, WARM_UP_FRACTION = 200, 0.05
"""Warm-up of the learning rate: steps, or a fraction of the training if that is shorter."""
HALVING = 20_000
"""Steps after which schedule `halving` halves the learning rate (D18 D.2)."""
CALIBRATED = {"covariance": "full"}
"""Entry of calibrated checkpoints: the form of the covariance that `log_std_shift` is for. Without
it, the run was not finished, or calibrated by a version whose covariances were isotropic."""


class PoseModule(L.LightningModule):
    """Trains a pose network; its hyperparameters suffice to rebuild it."""

    intrinsics: Tensor
    cam_from_hand: Tensor
    log_std_shift: Tensor
    first_log_std_shift: Tensor

    def __init__(
        self,
        *,
        model: str,
        head: str,
        rig: Rig | dict[str, Any],
        points: list[list[float]],
        image_size: int,
        anchors: list[list[float]] | None = None,
        priors: dict[str, Any] | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        balance: str = "fixed",
        symmetry: dict[str, Any] | None = None,
        raw_rig: dict[str, Any] | None = None,
        hinges: list[dict[str, Any]] | None = None,
        crop_size: int = 0,
    ) -> None:
        """Builds the network.

        Args:
            model: one of `models.choices.POSE_NETWORKS`.
            head: one of `models.choices.HEADS`.
            rig: nominal cameras at the network's image size.
            points: keypoints of the object (K, 3), in metres, object frame.
            image_size: width and height of the images.
            anchors: points (M, 3) that do not move, perhaps none; default `STATIC_LANDMARKS`.
            priors: scale and centre of positions (`PosePriors.to_dict`); None: the constants of
                earlier versions.
            learning_rate: its peak.
            weight_decay: AdamW's.
            schedule: decay of the learning rate, `cosine` or `halving`.
            balance: weights of position and rotation, `fixed` or `focal`.
            symmetry: rotational symmetry of the object (`SymmetryGroup.to_dict`); None: none.
            raw_rig: cameras of raw frames, if `rig` shows regions of interest of them.
            hinges: those of the object (`Hinge.to_dict`); None: it is rigid.
            crop_size: size of the second stage's crops; 0: there is no second stage.
        """
        super().__init__()
        # Plain values, as they go into checkpoints.
        rig = rig.to_dict() if isinstance(rig, Rig) else rig
        anchors = STATIC_LANDMARKS.tolist() if anchors is None else anchors
        known = PosePriors.from_dict(priors)
        priors = known.to_dict()
        self.save_hyperparameters(ignore="known")
        self._register(Rig.from_dict(rig), len(hinges or ()))
        self._truth = EquivalentTruth(SymmetryGroup.from_dict(symmetry))
        network = build_pose_network(
            model, crop_size, views=self.views, head=head, points=points, anchors=anchors,
            priors=known, hinges=hinges or (),
        )  # fmt: skip
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore
        self.balance = FocalBalance() if balance == "focal" else None
        self.calibrated = False
        """Whether training was completed, which ends with the calibration of the covariance."""
        self.progress = 0.0
        """Fraction of the training that is done."""

    def _register(self, rig: Rig, hinges: int) -> None:
        # Nominal cameras only: the true ones are unknown on a robot.
        self.register_buffer("intrinsics", torch.tensor(rig.intrinsics, dtype=torch.float32))
        self.register_buffer("cam_from_hand", torch.tensor(rig.extrinsics, dtype=torch.float32))
        # Added to the network's log_std; set by `calibrate`.
        self.register_buffer("log_std_shift", torch.zeros(2 + hinges))
        if self.two_stages:  # The same for the first stage alone.
            self.register_buffer("first_log_std_shift", torch.zeros(2 + hinges))

    def forward(self, batch: dict[str, Tensor]) -> PoseOutput:
        """Estimates for a batch of `PoseDataModule`."""
        closely = self._windows(batch) if self.two_stages and "windows" in batch else ()
        output = self.network(batch["images"], self.intrinsics, self.cam_from_hand, *closely)
        output.log_std = output.log_std + self.log_std_shift
        return output

    def _windows(self, batch: dict[str, Tensor]) -> tuple[Windows, Near | None]:
        """The windows of a batch and, in training, the true places of the crops."""
        extent = batch["windows"].shape[2] / self.image_size
        cut = batch["windows"], batch["window_corners"]
        windows = Windows(*cut, extent, batch.get("anchor_crops"))
        if not self.training:
            return windows, None
        arm = quat_to_matrix(batch["quaternion"]) @ self.network.second.centroid  # pyright: ignore
        return windows, Near(batch["position"] + arm, batch["keypoints"].mean(dim=2))

    @property
    def two_stages(self) -> bool:
        """Whether crops are looked at too."""
        return bool(self.hparams.get("crop_size"))

    @property
    def image_size(self) -> int:
        """Width and height of the input images."""
        return self.hparams["image_size"]

    @property
    def views(self) -> int:
        """Number of cameras."""
        return len(self.intrinsics)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Reads whether the checkpoint is calibrated, and the priors of its weights."""
        self.calibrated = CALIBRATED.items() <= checkpoint.items()
        stored = checkpoint["hyper_parameters"].get("priors")
        self.hparams["priors"] = PosePriors.from_dict(stored).to_dict()

    @property
    def position_unit(self) -> float:
        """Unit of position errors in the loss, in metres."""
        return self.hparams["priors"]["unit"]

    @property
    def any_cameras(self) -> bool:
        """Whether the network works with other cameras than those of training."""
        return getattr(self.network, "any_cameras", False)

    def set_cameras(self, rig: Rig) -> None:
        """Replaces the nominal cameras.

        Args:
            rig: the cameras, at any image size.

        Raises:
            InputError: the network is specific to the cameras of training.
        """
        if not self.any_cameras:
            raise InputError(
                f"model {self.hparams['model']!r} works with the cameras it was trained on only; "
                "train --model keypoint, or train with this rig"
            )
        check_volume(rig, box_corners(*PosePriors.from_dict(self.hparams["priors"]).box()))
        self._place(rig)
        self.hparams.update(rig=rig.resized(self.image_size).to_dict(), raw_rig=None)

    def _place(self, rig: Rig) -> None:
        rig = rig.resized(self.image_size)
        self.intrinsics = torch.tensor(rig.intrinsics, dtype=torch.float32, device=self.device)
        self.cam_from_hand = torch.tensor(rig.extrinsics, dtype=torch.float32, device=self.device)

    @torch.inference_mode()
    def estimate_batch(
        self, images: NDArray[np.uint8], rig: Rig | None = None
    ) -> tuple[Array, ...]:
        """`PoseOutput.estimates` for images (B, V, H, W, 3); `rig` replaces the nominal cameras.

        Raises:
            InputError: the number of views is wrong.
        """
        if rig is not None:
            self._place(rig)
        if images.shape[1] != self.views:
            raise InputError(f"images of {images.shape[1]} cameras were given, not {self.views}")
        output = self({"images": torch.from_numpy(images).to(self.device)})
        output.rotation = output.rotation.double()
        return tuple(array.cpu().numpy() for array in output.estimates())

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        losses, angle, millimetres, _ = self._shared_step(batch)
        if self.balance is not None:
            losses = self.balance(losses, angle, millimetres)
        values = {f"train/{key}": value.detach() for key, value in losses.items()}
        self.log_dict(values)
        self.log("deg", angle.mean(), prog_bar=True)
        self.log("mm", millimetres.mean(), prog_bar=True)
        return losses["total"]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Logs mean errors; the best checkpoint has the lowest `val/score`, which combines them."""
        losses, angle, millimetres, hinges = self._shared_step(batch)
        score = angle.mean() / GOOD_ANGLE_DEG + millimetres.mean() / GOOD_MM
        values = {"val/loss": losses["total"], "val/score": score}
        errors = {
            "val/rotation_error_deg": angle.mean(),
            "val/position_error_mm": millimetres.mean(),
        }
        if hinges is not None:
            errors["val/hinge_error_deg"] = hinges.mean()
            values["val/score"] = score + hinges.mean() / GOOD_ANGLE_DEG
        self.log_dict(values, batch_size=len(angle), sync_dist=True)
        self.log_dict(errors, batch_size=len(angle), sync_dist=True, prog_bar=True)

    def _shared_step(
        self, batch: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor | None]:
        """Losses, in float32, and errors as of `pose_errors`."""
        output = self(batch)
        with torch.autocast(self.device.type, enabled=False):
            batch = self._truth.nearest(output, batch)
            return pose_loss(output, batch, self.position_unit), *pose_errors(output, batch)

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate follows the fraction of the training that is done."""
        hyper = self.hparams
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=hyper["learning_rate"], weight_decay=hyper["weight_decay"]
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _learning_rate_factor(self, step: int) -> float:
        warm_up = min(1.0, max((step + 1) / WARM_UP, self.progress / WARM_UP_FRACTION))
        if self.hparams["schedule"] == "halving":
            return warm_up * 0.5 ** (step // HALVING)
        return warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0))))
