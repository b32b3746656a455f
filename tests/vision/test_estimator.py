"""The exported estimator."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rotation import (
    geodesic_angle,
)
from opendactyl.models.onnx_file import round_weights
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluation.models import open_model
from opendactyl.vision.export import export_pose
from opendactyl.vision.measures.predictions import predict
from opendactyl.vision.training.checkpoints import load_module
from opendactyl.vision.training.train import build_module, make_data


def test_onnxruntime_agrees_with_torch(vision_run, bundle, val_dataset):
    data = open_dataset(val_dataset, 64)
    torch_run, exported = load_module(vision_run), open_model(bundle)
    round_weights(torch_run)  # as export does
    a, b = (predict(model, data, len(data)) for model in (torch_run, exported))
    np.testing.assert_allclose(a.position, b.position, atol=1e-5)
    assert geodesic_angle(a.quaternion, b.quaternion).max() < 1e-3
    std = np.sqrt(np.einsum("nii->ni", a.covariance))
    scale = std[:, :, None] * std[:, None, :]
    np.testing.assert_allclose(b.covariance / scale, a.covariance / scale, atol=1e-3)
    assert np.all(b.quaternion[:, 0] >= 0)
    manifest = read_json(bundle / "manifest.json")
    agreement = manifest["pose"]["agreement"]
    assert agreement["n"] == len(data)
    assert agreement["rotation_rad"] < 1e-3
    assert agreement["position_m"] == pytest.approx(
        np.linalg.norm(a.position - b.position, axis=-1).max()
    )
    assert "differed" in (bundle / "README.md").read_text()


def test_the_exported_covariance_is_full_symmetric_and_positive_definite(bundle, val_dataset):
    check_covariance(PoseEstimator(bundle / "pose.onnx"), val_dataset)


@pytest.mark.slow
def test_so_is_that_of_a_keypoint_network(val_dataset, tiny, tmp_path):
    config = tiny(tmp_path / "run", model="keypoint")
    data = make_data(config)
    module = build_module(config, data).eval()
    export_pose(module, data.rig, tmp_path / "pose.onnx")
    check_covariance(PoseEstimator(tmp_path / "pose.onnx", rig=data.rig), val_dataset)


def check_covariance(estimator, val_dataset):
    images = np.array(open_dataset(val_dataset, 64).images)
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    for batch in (images, noise, np.zeros_like(images[:1])):
        *_, covariance = estimator.estimate_batch(batch)
        np.testing.assert_array_equal(covariance, covariance.swapaxes(1, 2))
        std = np.sqrt(np.einsum("nii->ni", covariance))
        correlation = covariance / std[:, :, None] / std[:, None, :]
        assert np.linalg.eigvalsh(correlation).min() > 1e-4
        assert np.abs(np.triu(correlation, 1)).max() > 0.1


@pytest.mark.slow
def test_quantization_reduces_the_size_and_little_of_the_accuracy(
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
    assert sizes[0] < 0.7 * sizes[1]
    data = open_dataset(val_dataset, 64)
    quantized, exact = (predict(open_model(folder), data, len(data)) for folder in (out, bundle))
    np.testing.assert_allclose(quantized.position, exact.position, atol=0.01)
    assert np.rad2deg(geodesic_angle(quantized.quaternion, exact.quaternion)).mean() < 10
    assert not np.array_equal(quantized.position, exact.position)


def test_the_estimator_is_thread_safe(bundle, val_dataset):
    estimator = PoseEstimator(bundle / "pose.onnx")
    images = list(np.array(open_dataset(val_dataset, 64).images))
    sequential = [estimator.estimate(i).position for i in images]
    with ThreadPoolExecutor(4) as pool:
        concurrent = [pose.position for pose in pool.map(estimator.estimate, images)]
    np.testing.assert_allclose(concurrent, sequential, atol=1e-6)


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


def test_the_estimator_needs_numpy_and_onnxruntime_only(bundle):
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
    with pytest.raises(InputError, match="differ in size"):
        PoseEstimator(bundle / "pose.onnx").estimate(images)


def test_another_onnx_model_is_refused(bundle):
    with pytest.raises(InputError, match="not a pose estimator"):
        PoseEstimator(bundle / "policy.onnx")


SHIPPED = Path(__file__).parents[2] / "pretrained" / "reorient"


def test_another_order_of_cameras_is_refused():
    path, names = SHIPPED / "pose.onnx", ("left", "right", "top")
    assert PoseEstimator(path, cameras=names).camera_names == names
    rig = load_rig("dactyl-200").resized(288)
    assert PoseEstimator(path, cameras=list(names), rig=rig).camera_names == names
    with pytest.raises(InputError, match="left, right, top, in this order; given another order"):
        PoseEstimator(path, cameras=("right", "left", "top"))
    with pytest.raises(InputError, match="given other cameras: a, b, c"):
        PoseEstimator(path, cameras="abc")
    with pytest.raises(InputError, match="given another order of cameras: top, right, left"):
        PoseEstimator(path, rig=Rig("mine", rig.cameras[::-1]))


def test_a_file_without_camera_names_needs_a_rig(tmp_path):
    model = onnx.load(SHIPPED / "pose.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "old.onnx")
    assert PoseEstimator(tmp_path / "old.onnx").camera_names is None
    with pytest.raises(InputError, match="does not state the order of its cameras"):
        PoseEstimator(tmp_path / "old.onnx", cameras=("left", "right", "top"))
    rig = load_rig("dactyl-200").resized(288)
    with pytest.raises(InputError, match="in this order"):
        PoseEstimator(tmp_path / "old.onnx", cameras=("top", "right", "left"), rig=rig)


def test_exported_files_describe_themselves(bundle):
    session = onnxruntime.InferenceSession(bundle / "pose.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["cameras"]) == ["left", "right", "top"]
    assert metadata["colour_order"] == "RGB" and metadata["image_size"] == "64x64"
    assert "of the object in the rig's frame" in metadata["frames"]
