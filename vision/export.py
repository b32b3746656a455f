"""ONNX export of the estimator: from images to pose and covariance in one graph."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import geodesic_angle
from opendactyl.geometry.torch_rotation import matrix_to_quat
from opendactyl.models.onnx_file import save_onnx
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.measures.predictions import predict
from opendactyl.vision.training.module import PoseModule

OPSET = 20
COMPARED = 500
"""Largest number of samples in the comparison of onnxruntime with torch."""


class ExportedEstimator(nn.Module):
    """A pose network together with the nominal cameras of a rig."""

    intrinsics: Tensor
    cam_from_hand: Tensor
    log_std_shift: Tensor

    def __init__(self, module: PoseModule, rig: Rig) -> None:
        """Wraps a trained network; `rig` has the network's image size."""
        super().__init__()
        self.network = module.network
        self.register_buffer("intrinsics", torch.tensor(rig.intrinsics, dtype=torch.float32))
        self.register_buffer("cam_from_hand", torch.tensor(rig.extrinsics, dtype=torch.float32))
        self.register_buffer("log_std_shift", module.log_std_shift)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Position (B, 3), quaternion (B, 4), covariance (B, 6, 6) from images (B, V, H, W, 3)."""
        output = self.network(images, self.intrinsics, self.cam_from_hand)
        output.log_std = output.log_std + self.log_std_shift
        return output.position, matrix_to_quat(output.rotation), output.covariance()


def export_pose(module: PoseModule, rig: Rig, path: Path) -> dict[str, Any]:
    """Writes `pose.onnx`; returns its entry in the manifest of a bundle."""
    wrapper = ExportedEstimator(module, rig).eval()
    camera = rig.cameras[0]
    shape = (2, len(rig.cameras), camera.height, camera.width, 3)
    example = torch.randint(0, 256, shape, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            wrapper,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["position", "quaternion", "covariance"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            verbose=False,
        )
    save_onnx(program, path)
    return {
        "inputs": {"images": ["batch", *shape[1:]]},
        "outputs": {
            "position": ["batch", 3],
            "quaternion": ["batch", 4],
            "covariance": ["batch", 6, 6],
        },
        "image_size": camera.width,
        "model": module.hparams["model"],
        "head": module.hparams["head"],
    }


def measure_agreement(module: PoseModule, path: Path, data: CachedDataset) -> dict[str, float]:
    """Compares onnxruntime with torch on the first samples of a dataset.

    Args:
        module: the network.
        path: the `pose.onnx` exported from it.
        data: a dataset of the same cameras and image size.

    Returns:
        The number of samples `n` and the largest differences `rotation_rad` and `position_m`.
    """
    count = min(len(data), COMPARED)
    exported, original = (
        predict(model, data, count) for model in (PoseEstimator(path), module.eval())
    )
    return {
        "n": count,
        "rotation_rad": float(geodesic_angle(exported.quaternion, original.quaternion).max()),
        "position_m": float(np.linalg.norm(exported.position - original.position, axis=-1).max()),
    }
