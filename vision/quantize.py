"""Static 8-bit quantization of an exported estimator."""

import tempfile
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import write_bytes
from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.models.onnx_file import store_in_half
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.measures.predictions import views_of

SAMPLES, BATCH = 256, 8
"""Number of calibration samples, and their batch size."""


def quantize(path: Path, data: CachedDataset, size: int) -> None:
    """Replaces a `pose.onnx` by one with 8-bit convolutions.

    Geometry and dense layers stay in 32 bits: they are a hundredth of the computation and decide
    most of the accuracy.

    Args:
        path: the exported estimator.
        data: a dataset of the same rig; the first `SAMPLES` calibrate the ranges.
        size: the estimator's image size.
    """
    import onnx_ir
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    estimator = PoseEstimator(path, rig=data.rig.resized(size))
    with tempfile.TemporaryDirectory() as folder:
        prepared, small = Path(folder) / "prepared.onnx", Path(folder) / "small.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(small),
            _CalibrationReader(estimator, data),  # pyright: ignore[reportArgumentType]
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx_ir.load(small)
        store_in_half(model.graph)
        # The quantizer may drop the metadata.
        model.metadata_props.update(onnx_ir.load(path).metadata_props)
        write_bytes(path, onnx_ir.to_proto(model).SerializeToString())


class _CalibrationReader:
    """onnxruntime's `CalibrationDataReader` over a dataset."""

    def __init__(self, estimator: PoseEstimator, data: CachedDataset) -> None:
        self._batches = views_of(data, estimator.image_size, min(SAMPLES, len(data)), BATCH)
        self._cameras = estimator.cameras

    def get_next(self) -> dict[str, Any] | None:
        images = next(self._batches, None)
        return None if images is None else {"images": images, **self._cameras}
