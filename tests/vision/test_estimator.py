"""The exported estimator."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.packaging.build import ExportConfig, export_bundle
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rotation import (
    geodesic_angle,
)
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluation.evaluate import open_model
from opendactyl.vision.measures.predictions import predict


def test_onnx_equals_torch(vision_run, bundle, val_dataset):
    data = open_dataset(val_dataset, 64)
    torch_run, exported = open_model(vision_run), open_model(bundle)
    a, b = (predict(model, data, len(data)) for model in (torch_run, exported))
    np.testing.assert_allclose(a.position, b.position, atol=1e-5)
    turned = Rotation.from_quat(a.quaternion, scalar_first=True).inv() * Rotation.from_quat(
        b.quaternion, scalar_first=True
    )
    assert np.max(turned.magnitude()) < 1e-3
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-3)
    assert np.all(b.quaternion[:, 0] >= 0)
    manifest = read_json(bundle / "manifest.json")
    agreement = manifest["pose"]["agreement"]
    assert agreement["n"] == len(data)
    assert agreement["rotation_rad"] < 1e-3
    assert agreement["position_m"] == pytest.approx(
        np.linalg.norm(a.position - b.position, axis=-1).max()
    )
    assert "differed" in (bundle / "README.md").read_text()


def test_eight_bits_are_smaller_and_nearly_as_exact(
    vision_run, policy_run, bundle, val_dataset, tmp_path
):
    out = export_bundle(
        ExportConfig(
            vision=vision_run, policy=policy_run, out=tmp_path / "small", quantize=val_dataset
        )
    )
    assert load_bundle(out).manifest["pose"]["quantized"]
    assert not load_bundle(bundle).manifest["pose"]["quantized"]
    sizes = [(folder / "pose.onnx").stat().st_size for folder in (out, bundle)]
    assert sizes[0] < 0.6 * sizes[1]
    data = open_dataset(val_dataset, 64)
    small, exact = (predict(open_model(folder), data, len(data)) for folder in (out, bundle))
    np.testing.assert_allclose(small.position, exact.position, atol=0.01)
    assert np.rad2deg(geodesic_angle(small.quaternion, exact.quaternion)).mean() < 10
    assert not np.array_equal(small.position, exact.position)


def test_estimator_is_thread_safe(bundle, val_dataset):
    estimator = PoseEstimator(bundle / "pose.onnx")
    images = list(np.array(open_dataset(val_dataset, 64).images))
    alone = [estimator.estimate(i).position for i in images]
    with ThreadPoolExecutor(4) as pool:
        together = [pose.position for pose in pool.map(estimator.estimate, images)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 32, 32, 3), np.uint8),
        np.zeros((2, 64, 64, 3), np.uint8),
        np.zeros((3, 3, 64, 64), np.uint8),
        np.zeros((3, 64, 64, 3), np.float32),
    ],
)
def test_wrong_images_are_refused(bundle, images):
    with pytest.raises(InputError, match=r"uint8 \(3, 64, 64, 3\)"):
        PoseEstimator(bundle / "pose.onnx").estimate(images)


def test_estimator_needs_numpy_and_onnxruntime_only(bundle):
    code = f"""
import sys
for name in ("torch", "lightning", "mujoco", "scipy", "matplotlib", "gymnasium", "tyro", "cv2"):
    sys.modules[name] = None
import numpy as np
from opendactyl.control.bundle.load import load_bundle
bundle = load_bundle({str(bundle)!r})
pose = bundle.estimator.estimate(np.zeros(bundle.estimator.shape, np.uint8))
memory = bundle.policy.initial_memory()
bins, memory, sane = bundle.policy.act(np.zeros((1, 50), np.float32), memory)
print(pose.quaternion.shape, bins.shape)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "(4,) (1, 20)", result.stderr


def test_images_of_different_sizes_are_refused(bundle):
    images = [np.zeros((size, size, 3), np.uint8) for size in (64, 64, 32)]
    with pytest.raises(InputError, match="different sizes"):
        PoseEstimator(bundle / "pose.onnx").estimate(images)


def test_a_network_of_another_kind_is_no_estimator(bundle):
    with pytest.raises(InputError, match="no pose estimator"):
        PoseEstimator(bundle / "policy.onnx")
