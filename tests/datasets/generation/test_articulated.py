"""Datasets of an object with a hinge: labels, verification, repair, card, BOP, both renderers."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import ConvexHull

from opendactyl.core.errors import InputError
from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.format.label import Label
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate, repair
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.transforms import pose_matrix, transform_points
from opendactyl.render.appearance.config import Appearance
from opendactyl.render.factory import make_renderer
from opendactyl.sim.objects.shipped import object_spec


@pytest.fixture(scope="module")
def chest(object_folder, tmp_path_factory):
    config = DatasetConfig(
        out=tmp_path_factory.mktemp("chest") / "data", num_samples=4, shard_size=2, image_size=64,
        workers=1, states="random", object=str(object_folder / "chest.toml"),
    )  # fmt: skip
    return generate(config, write_card=write_card)


def test_labels_have_the_angle_and_a_schema_of_their_own(chest, dataset):
    manifest, samples = load_manifest(chest), list(iterate_samples(chest))
    assert manifest.schema == 2 and manifest.num_corners == len(manifest.keypoints) == 28
    assert [hinge.name for hinge in manifest.articulation.hinges] == ["lid"]
    low, high = manifest.articulation.hinges[0].limits
    angles = np.array([sample.label.hinges for sample in samples])
    assert angles.shape == (4, 1) and low <= angles.min() and angles.max() <= high
    value = json.loads(samples[0].label.to_json())
    assert value["schema"] == 2 and value["hinges"] == samples[0].label.hinges.tolist()
    rigid = next(iterate_samples(dataset)).label
    assert load_manifest(dataset).schema == json.loads(rigid.to_json())["schema"] == 1
    assert "hinges" not in json.loads(rigid.to_json())
    with pytest.raises(InputError, match="label schema 4, this version reads 1, 2, 3"):
        Label.from_json(json.dumps(value | {"schema": 4}).encode(), "x")


def test_verification_compares_the_angle_with_the_corners(chest):
    assert not verify(chest)
    manifest, label = load_manifest(chest), next(iterate_samples(chest)).label
    moved = dataclasses.replace(label, hinges=label.hinges + 0.05)
    with pytest.raises(ValueError, match="corners differ"):
        moved.check(manifest.articulation.at(moved.hinges))


def test_a_shard_is_repaired_and_the_cache_has_the_angles(chest, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(chest, copy)
    (copy / "shard-000001.tar").unlink()
    assert repair(copy) == ("shard-000001.tar",)
    cached = open_dataset(copy, 32)
    label = list(iterate_samples(copy))[3].label
    np.testing.assert_allclose(cached.hinges[3], label.hinges, rtol=1e-6)
    np.testing.assert_allclose(cached.keypoints[3] * 64, label.corners, atol=1e-3)


def test_the_card_has_the_angle(chest):
    assert "hinge lid (deg)" in (chest / "README.md").read_text()


def hull_mask(points, size):
    """The pixels (size, size) whose centres are inside the convex hull of image points."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    grid = np.stack([columns, rows], axis=-1)
    equations = ConvexHull(points).equations
    return np.all(grid @ equations[:, :2].T + equations[:, 2] <= 0, axis=-1)


@pytest.mark.parametrize("kind", ["classic", "filament"])
def test_bodies_are_drawn_at_their_poses(chest, object_folder, kind):
    obj = object_spec(str(object_folder / "chest.toml"))
    size, rig = 160, load_rig("dactyl-200")
    with make_renderer(kind, rig=rig, object_name=obj.reference, image_size=size) as renderer:
        for label in (sample.label for sample in list(iterate_samples(chest))[:2]):
            appearance = Appearance.from_dict(label.appearance)
            renderer.render(label.state, appearance)
            numbers = renderer.segment_bodies()
            pose = pose_matrix(label.position, label.quaternion)
            for body, own in enumerate(obj.poses(label.hinges)):
                mask = renderer.unoccluded_mask(body)
                corners = transform_points(pose @ own, obj.bodies[body].corners)
                for view, camera in enumerate(renderer.cameras(appearance)):
                    expected = hull_mask(camera.project(corners)[0], size)
                    both = np.sum(expected & mask[view])
                    assert both > 0.93 * np.sum(expected | mask[view])
                    assert not np.any((numbers[view] == body + 1) & ~mask[view])
            whole = renderer.unoccluded_mask()
            np.testing.assert_array_equal(
                whole, renderer.unoccluded_mask(0) | renderer.unoccluded_mask(1)
            )


def test_bop_has_a_model_for_each_part(chest, tmp_path):
    out = export_bop(chest, tmp_path / "bop")
    info = json.loads((out / "models/models_info.json").read_text())
    assert [info[number]["size_z"] for number in "12"] == pytest.approx([30, 10])
    assert (out / "models/obj_000002.ply").exists()
    targets = json.loads((out / "test_targets_bop19.json").read_text())
    assert {target["obj_id"] for target in targets} == {1, 2} and len(targets) == 8
    scene = out / "test/000000"
    label = next(iterate_samples(chest)).label
    body, lid = json.loads((scene / "scene_gt_left.json").read_text())["0"]
    assert (body["obj_id"], lid["obj_id"]) == (1, 2)
    # The lid's centre is 20 mm above that of the box, turned about the rear edge.
    angle = label.hinges[0]
    arm = np.array([0, -0.02, 0.005])
    turned = [0, np.cos(angle) * arm[1] + np.sin(angle) * arm[2],
              np.cos(angle) * arm[2] - np.sin(angle) * arm[1]]  # fmt: skip
    centre = np.array([0, 0.02, 0.015]) + turned
    rotation = np.reshape(body["cam_R_m2c"], (3, 3))
    np.testing.assert_allclose(
        rotation @ (1000 * centre) + body["cam_t_m2c"], lid["cam_t_m2c"], atol=1e-6
    )
    boxes = json.loads((scene / "scene_gt_info_left.json").read_text())["0"]
    for number, entry in enumerate(boxes):
        mask = np.array(Image.open(scene / f"mask_left/000000_{number:06d}.png"))
        assert np.sum(mask > 0) == entry["px_count_all"] > 0
    assert "objects 2 (lid)" in (out / "dataset_info.md").read_text()
