"""Bundles of estimators with two stages, and of their first stage alone."""

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_pose_bundle
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import NO_POLICY, ExportConfig
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.train import train

pytestmark = pytest.mark.slow
FRAME = 192


OBJECTS = [("landmark", "block"), ("keypoint", "block"), ("landmark", "face-cube")]


@pytest.fixture(scope="module", params=OBJECTS)
def run(request, tmp_path_factory):
    model, obj = request.param
    folder = tmp_path_factory.mktemp(model)
    for name, seed in (("train", 30), ("val", 31)):
        settings = {"num_samples": 4, "seed": seed, "image_size": FRAME, "shard_size": 4}
        settings["object"] = obj
        generate(DatasetConfig(out=folder / name, workers=1, rig="dactyl-200", **settings))
    return train(
        VisionConfig(
            data=(folder / "train",), val_data=folder / "val", out=folder / "run",
            model=model, image_size=FRAME, batch_size=2, max_epochs=2, workers=0,
            accelerator="cpu",
        )
    )  # fmt: skip


def test_both_stages_are_one_file(run, tmp_path):
    out = export_bundle(ExportConfig(vision=run, policy=NO_POLICY, out=tmp_path / "bundle"))
    bundle = load_pose_bundle(out)
    entry = bundle.manifest["pose"]
    assert entry["image_size"] == FRAME and entry["crop_size"] == 64
    assert entry["agreement"]["n"] == 4
    # The small training leaves the rotation ill-conditioned; the position is not.
    assert entry["agreement"]["position_m"] < 1e-4
    assert (out / "pose.onnx").stat().st_size < 8e6
    # Frames of any size of a square camera are the network's images, resized.
    data = open_dataset(run.parent / "val", FRAME // 3)
    (frames,) = data.frames(FRAME, 1)
    pose = bundle.estimator.estimate(frames)
    doubled = [np.repeat(np.repeat(frame, 2, axis=0), 2, axis=1) for frame in frames]
    np.testing.assert_allclose(bundle.estimator.estimate(doubled).position, pose.position)
    metrics = evaluate(EvalConfig(model=out, data=run.parent / "val", out=tmp_path / "measured"))
    assert np.isfinite(metrics["position_error_mm"]["mean"])
    assert (pose.hinges is not None) == ("hinge_error_deg" in metrics)
    with pytest.raises(InputError, match="export --coarse"):
        evaluate(EvalConfig(model=out, data=run.parent / "val", coarse=True, out=tmp_path / "no"))
    with pytest.raises(InputError, match="--coarse needs a run"):
        export_bundle(ExportConfig(vision=out, policy=NO_POLICY, coarse=True, out=tmp_path / "no"))


def test_the_first_stage_is_a_smaller_file(run, tmp_path):
    config = ExportConfig(vision=run, policy=NO_POLICY, coarse=True, out=tmp_path / "coarse")
    bundle = load_pose_bundle(export_bundle(config))
    entry = bundle.manifest["pose"]
    assert entry["image_size"] == FRAME // 3 == bundle.estimator.image_size
    assert "crop_size" not in entry and entry["agreement"]["position_m"] < 1e-4
    assert bundle.manifest["metrics"] == {}
    assert (tmp_path / "coarse/pose.onnx").stat().st_size < 4e6
