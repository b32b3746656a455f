"""Static 8-bit quantization of an exported estimator."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import write_bytes
from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.vision.estimator import PoseEstimator

SAMPLES, BATCH = 256, 8
"""Number of calibration samples, and their batch size."""


def quantize(path: Path, data: CachedDataset) -> None:
    """Replaces a `pose.onnx` by one with 8-bit convolutions.

    Geometry and dense layers stay in 32 bits: they are a hundredth of the computation and decide
    most of the accuracy.

    Args:
        path: the exported estimator.
        data: a dataset of the same rig and image size; the first `SAMPLES` calibrate the ranges.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    cameras = PoseEstimator(path, rig=data.rig).cameras
    with tempfile.TemporaryDirectory() as folder:
        prepared, small = Path(folder) / "prepared.onnx", Path(folder) / "small.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(small),
            _CalibrationReader(data, cameras),  # pyright: ignore[reportArgumentType]
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(small)
        # The quantizer may drop the metadata.
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        onnx.helper.set_model_props(model, metadata)
        write_bytes(path, model.SerializeToString())


class _CalibrationReader:
    """onnxruntime's `CalibrationDataReader` over a dataset."""

    def __init__(self, data: CachedDataset, cameras: dict[str, NDArray[np.float32]]) -> None:
        self._data, self._cameras = data, cameras
        self._starts = iter(range(0, min(SAMPLES, len(data)), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        start = next(self._starts, None)
        if start is None:
            return None
        stop = min(start + BATCH, SAMPLES, len(self._data))
        return {"images": np.array(self._data.images[start:stop]), **self._cameras}
