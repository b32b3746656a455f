"""Training on a symmetric object: canonical labels, and the truth nearest to the estimate."""

import numpy as np
import pytest
import torch

from opendactyl.datasets.format.manifest import iterate_samples
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rotation import quat_from_axis_angle, quat_multiply, quat_to_matrix
from opendactyl.geometry.symmetry import NO_SYMMETRY
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.vision.measures.predictions import Predictions
from opendactyl.vision.training.equivalent_truth import EquivalentTruth
from opendactyl.vision.training.losses import pose_loss
from opendactyl.vision.training.module import PoseModule, pose_errors


@pytest.fixture(scope="module")
def data(object_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("rod") / "data"
    config = DatasetConfig(
        out=out, num_samples=3, shard_size=3, image_size=48, workers=1, states="random",
        object=str(object_folder / "rod.toml"),
    )  # fmt: skip
    return open_dataset(generate(config), 48)


def output_of(data, angle):
    """The true poses, spun about the rod's axis by an angle and turned upside down."""
    spin = quat_from_axis_angle([0.0, 0.0, 1.0], angle)
    flipped = quat_multiply(spin, quat_from_axis_angle([1.0, 0, 0], np.pi))
    quaternion = quat_multiply(np.array(data.quaternion, dtype=float), flipped)
    return quaternion, PoseOutput(
        position=torch.tensor(np.array(data.position)),
        rotation=torch.tensor(quat_to_matrix(quaternion), dtype=torch.float32),
        raw=torch.zeros(3, 6),
        log_std=torch.zeros(3, 2),
    )


def test_labels_are_canonical(data):
    group = data.manifest.load_symmetry()
    assert len(group.rotations) == 2 and group.axis is not None
    for i, sample in enumerate(iterate_samples(data.folder)):
        canonical = group.canonical(sample.label.quaternion)
        np.testing.assert_allclose(data.quaternion[i], canonical, atol=1e-6)
        np.testing.assert_allclose(group.angle(canonical, sample.label.quaternion), 0, atol=1e-6)


def test_an_equivalent_estimate_has_no_error(data):
    module = PoseModule(
        model="landmark", head="6d", rig=data.rig, points=data.manifest.keypoints, image_size=48,
        symmetry=data.manifest.symmetry,
    )  # fmt: skip
    quaternion, output = output_of(data, 1.0)
    batch = {
        "position": torch.tensor(np.array(data.position)),
        "quaternion": torch.tensor(np.array(data.quaternion)),
    }
    angle, *_ = pose_errors(output, batch)
    assert angle.min() > 90  # without regard to the symmetry
    batch = module._truth.nearest(output, batch)
    angle, *_ = pose_errors(output, batch)
    assert angle.max() < 0.1
    assert pose_loss(output, batch)["rotation"] < 1e-6
    p = Predictions.of(data, np.array(data.position), quaternion, np.tile(np.eye(6), (3, 1, 1)))
    assert p.rotation_error_deg.max() < 0.1


def test_labels_of_an_object_without_symmetry_are_kept():
    batch = {"quaternion": torch.randn(2, 4)}
    output = PoseOutput(torch.zeros(2, 3), torch.eye(3).expand(2, 3, 3), torch.zeros(2, 2))
    assert EquivalentTruth(NO_SYMMETRY).nearest(output, batch) is batch
