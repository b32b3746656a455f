"""ONNX export of the estimator: from images to pose and covariance in one graph."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.geometry.articulation import wrap_angle
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import geodesic_angle
from opendactyl.models.onnx_file import round_weights, save_onnx
from opendactyl.vision.estimator import (
    CAMERA_NAMES,
    CAMERAS,
    HINGES,
    IMAGE_POINTS,
    OUTPUTS,
    TOKENS,
    PoseEstimator,
)
from opendactyl.vision.measures.predictions import predict
from opendactyl.vision.training.module import PoseModule

OPSET = 20
COMPARED = 500
"""Largest number of samples in the comparison of onnxruntime with torch."""


class ExportedEstimator(nn.Module):
    """A pose network with the nominal cameras of a rig, or one that takes any cameras."""

    intrinsics: Tensor
    cam_from_hand: Tensor
    log_std_shift: Tensor

    def __init__(self, module: PoseModule, rig: Rig) -> None:
        """Wraps a trained network; `rig` has the network's image size."""
        super().__init__()
        self.network = module.network
        self.keypoints = len(module.hparams["points"])
        self.register_buffer("intrinsics", torch.tensor(rig.intrinsics, dtype=torch.float32))
        self.register_buffer("cam_from_hand", torch.tensor(rig.extrinsics, dtype=torch.float32))
        self.register_buffer("log_std_shift", module.log_std_shift)

    def forward(
        self, images: Tensor, intrinsics: Tensor | None = None, cam_from_hand: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Position (B, 3), quaternion (B, 4), covariance (B, 6, 6) from images (B, V, H, W, 3).

        With hinges, also their angles and the standard deviations of these (B, H). Networks that
        detect the object's keypoints also give their image points (B, V, K, 2) and standard
        deviations (B, V, K), and those that fuse features of each view these (B, V, T).
        """
        intrinsics = self.intrinsics if intrinsics is None else intrinsics
        cam_from_hand = self.cam_from_hand if cam_from_hand is None else cam_from_hand
        output = self.network(images, intrinsics, cam_from_hand)
        output.log_std = output.log_std + self.log_std_shift
        pose = output.estimates()
        points = output.image_points(self.keypoints)
        if points is None:
            return pose
        return (*pose, *points) if output.tokens is None else (*pose, *points, output.tokens)


def export_pose(module: PoseModule, rig: Rig, path: Path) -> dict[str, Any]:
    """Writes `pose.onnx`; returns its entry in the manifest of a bundle.

    The module's large weights are rounded to 16 bits, in which the file stores them.
    """
    round_weights(module)
    wrapper = ExportedEstimator(module, rig).eval()
    camera = rig.cameras[0]
    views: int | str = len(rig.cameras)
    shape = (camera.height, camera.width, 3)
    inputs = {"images": torch.randint(0, 256, (2, views, *shape), dtype=torch.uint8)}
    dynamic: dict[str, Any] = {"images": {0: torch.export.Dim("batch", min=1)}}
    if module.any_cameras:
        # Copies: the size of a tensor that is also a buffer would be exported as a constant.
        inputs |= {name: getattr(wrapper, name).clone() for name in CAMERAS}
        count = torch.export.Dim("views", min=1)
        dynamic["images"][1] = count
        dynamic |= {name: {0: count} for name in CAMERAS}
        views = "views"
    with torch.no_grad():
        outputs = _output_shapes(views, wrapper(*inputs.values()))
    program = _converted(wrapper, inputs, list(outputs), dynamic)
    save_onnx(program, path, pose_metadata(rig, any_cameras=module.any_cameras))
    matrices = {"intrinsics": [views, 3, 3], "cam_from_hand": [views, 4, 4]}
    return {
        "inputs": {"images": ["batch", views, *shape]} | (matrices if module.any_cameras else {}),
        "outputs": outputs,
        "image_size": camera.width,
        **{name: module.hparams[name] for name in ("model", "head", "priors")},
        "keypoints": np.asarray(module.hparams["points"]).tolist(),
        "static_landmarks": module.hparams["anchors"],
        **({"crop_size": module.hparams["crop_size"]} if module.two_stages else {}),
        **({"hinges": hinges} if (hinges := module.hparams["hinges"]) else {}),
    }


def _converted(
    wrapper: nn.Module, inputs: dict[str, Tensor], outputs: list[str], dynamic: dict[str, Any]
) -> torch.onnx.ONNXProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            wrapper,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=dynamic,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program


def pose_metadata(rig: Rig, *, any_cameras: bool) -> dict[str, str]:
    """What a `pose.onnx` says of itself; `PoseEstimator` reads the cameras."""
    camera = rig.cameras[0]
    return {
        CAMERA_NAMES: json.dumps(None if any_cameras else rig.names),
        "colour_order": "RGB",
        "image_size": f"{camera.width}x{camera.height}",
        "frames": "position (m), quaternion (w, x, y, z) and covariance (position, then rotation "
        "vector) of the object in the rig's frame, which is that of the hand if there is one; "
        "cameras have OpenCV's axes, pixel centres at +0.5",
    }


def _output_shapes(views: int | str, outputs: Sequence[Tensor]) -> dict[str, list[int | str]]:
    """Names and shapes of the outputs, in order."""
    further = outputs[len(OUTPUTS) :]
    names = [*OUTPUTS, *(HINGES if further and further[0].ndim == 2 else ())]
    names += IMAGE_POINTS if len(outputs) > len(names) else ()
    names += (TOKENS,) if len(outputs) > len(names) else ()
    shapes: dict[str, list[int | str]] = {
        name: ["batch", *value.shape[1:]] for name, value in zip(names, outputs, strict=True)
    }
    for name in {*IMAGE_POINTS, TOKENS} & set(names):
        shapes[name][1] = views
    return shapes


def measure_agreement(module: PoseModule, path: Path, data: CachedDataset) -> dict[str, float]:
    """Compares onnxruntime with torch on the first samples of a dataset.

    Args:
        module: the network.
        path: the `pose.onnx` exported from it.
        data: a dataset of the same cameras.

    Returns:
        The number of samples `n` and the largest differences `rotation_rad` and `position_m`, and
        `hinges_rad` of an object with hinges.
    """
    count = min(len(data), COMPARED)
    exported, original = (
        predict(model, data, count)
        for model in (PoseEstimator(path, rig=data.rig.resized(module.image_size)), module.eval())
    )
    angles = {}
    if exported.hinges is not None and original.hinges is not None:
        difference = wrap_angle(exported.hinges.angles - original.hinges.angles)
        angles = {"hinges_rad": float(np.abs(difference).max())}
    return angles | {
        "n": count,
        "rotation_rad": float(geodesic_angle(exported.quaternion, original.quaternion).max()),
        "position_m": float(np.linalg.norm(exported.position - original.position, axis=-1).max()),
    }
