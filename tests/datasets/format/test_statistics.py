"""Statistics of labels in the manifest, and the landmarks that were used."""

import json
from dataclasses import replace

import numpy as np
import pytest

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest, write_manifest
from opendactyl.datasets.format.statistics import LabelStatistics
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.datasets.loading.datamodule import PoseDataModule
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS

K = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
ABOVE = np.diag([1.0, -1.0, -1.0, 1.0])
ABOVE[2, 3] = 1.0
RIG = Rig("one", (Camera("above", 100, 100, K, ABOVE),))
"""A camera one metre above the origin that looks down."""


def test_statistics_by_hand():
    found = LabelStatistics.of([[0.0, 0.0, 0.1], [0.02, 0.0, 0.3]], RIG)
    assert found.samples == 2
    np.testing.assert_allclose(found.position_mean, [0.01, 0, 0.2])
    np.testing.assert_allclose(found.position_std, [0.01, 0, 0.1])
    np.testing.assert_allclose(found.depth["above"], [0.7, 0.9])


def test_pooled_statistics_are_those_of_all_samples():
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, 0.02, (count, 3)) for mean, count in ((0.0, 40), (0.1, 7), (0.3, 1))]
    pooled = LabelStatistics.pooled([LabelStatistics.of(part, RIG) for part in groups])
    expected = LabelStatistics.of(np.concatenate(groups), RIG)
    assert pooled.samples == 48
    np.testing.assert_allclose(pooled.position_mean, expected.position_mean)
    np.testing.assert_allclose(pooled.position_std, expected.position_std)
    np.testing.assert_allclose(pooled.depth["above"], expected.depth["above"])


def test_a_manifest_holds_the_statistics_of_the_labels_and_the_landmarks(dataset):
    manifest = load_manifest(dataset)
    labels = [sample.label for sample in iterate_samples(dataset)]
    positions = np.array([label.position for label in labels])
    assert manifest.statistics is not None
    np.testing.assert_allclose(manifest.statistics.position_mean, positions.mean(axis=0))
    np.testing.assert_allclose(manifest.statistics.position_std, positions.std(axis=0))
    depths = [label.cameras[2].project(label.position)[1] for label in labels]
    np.testing.assert_allclose(manifest.statistics.depth["top"], [min(depths), max(depths)])
    np.testing.assert_array_equal(manifest.load_static_landmarks(), STATIC_LANDMARKS)


def test_datasets_of_earlier_versions_load_with_the_constants(copy):
    manifest = read_json(copy / "manifest.json")
    del manifest["statistics"], manifest["landmarks"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    loaded = load_manifest(copy)
    assert loaded.statistics is None
    np.testing.assert_array_equal(loaded.load_static_landmarks(), STATIC_LANDMARKS)
    write_manifest(copy, loaded)
    assert read_json(copy / "manifest.json").keys() == manifest.keys()


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"position_std": [0.1, -0.1, 0.1]}, {"x": 1}])
def test_invalid_statistics_are_refused(copy, wrong):
    manifest = read_json(copy / "manifest.json")
    manifest["statistics"] |= wrong
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=f"statistics.*{next(iter(wrong))}"):
        load_manifest(copy)


def test_labels_show_the_landmarks_of_the_manifest(copy, val_dataset):
    landmarks = [(0.0, 0.0, -0.05), (-0.1, 0.02, 0.0)]
    write_manifest(copy, replace(load_manifest(copy), landmarks=landmarks))
    data = open_dataset(copy, 64)
    assert data.anchors.shape == (12, 3, 2, 2)
    label = next(iterate_samples(copy)).label
    pixels, _ = label.true_cameras[1].project(landmarks)
    np.testing.assert_allclose(data.anchors[0, 1] * 64, pixels, atol=1e-4)
    with pytest.raises(InputError, match="differ in rig, object or hand"):
        PoseDataModule([copy], val_dataset, image_size=64, batch_size=4).setup()
