"""Depth images of datasets: on the object's surface, verified, and exported as they are stored."""

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from opendactyl.core.atomic_files import read_json, sha256
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.format.depth import check_depth
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.format.shards import read_shard, write_shard
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.datasets.generation.verify import verify
from opendactyl.geometry.rotation import quat_to_matrix
from opendactyl.render.base import OBJECT
from opendactyl.sim.objects.shipped import object_spec

SIZE, HALF = 64, 0.0285


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    def generated(renderer, card=None):
        config = DatasetConfig(
            out=tmp_path_factory.mktemp("depth") / "data", num_samples=2, seed=4, image_size=SIZE,
            workers=1, renderer=renderer, depth=True, masks=True,
        )  # fmt: skip
        return generate(config, write_card=card)

    return generated


@pytest.fixture(scope="module")
def data(make):
    return make("classic", write_card)


def surface_distances(sample):
    """Distances in metres of the object's pixels, lifted by their depth, to the cube's surface."""
    label, found = sample.label, []
    for depth, mask, camera in zip(sample.depth, sample.masks, label.true_cameras, strict=True):
        rows, columns = np.nonzero(mask == OBJECT)
        rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
        points = np.linalg.solve(camera.K, rays) * depth[rows, columns] * label.depth_scale
        in_hand = (points.T - camera.cam_from_hand[:3, 3]) @ camera.cam_from_hand[:3, :3]
        in_object = (in_hand - label.position) @ quat_to_matrix(label.quaternion)
        found.append(np.abs(in_object).max(axis=1) - HALF)
    return np.concatenate(found)


def test_depth_is_on_the_objects_surface_in_both_renderers(data, make):
    other = make("filament")
    for first, second in zip(iterate_samples(data), iterate_samples(other), strict=True):
        assert first.label.depth_scale == second.label.depth_scale == 1e-4
        assert first.depth.dtype == np.uint16 and first.depth.shape == (3, SIZE, SIZE)
        for sample in (first, second):
            distances = surface_distances(sample)
            assert len(distances) > 100
            assert np.quantile(np.abs(distances), 0.9) < 0.001
        both = first.depth.astype(float) - second.depth
        assert np.median(np.abs(both)) < 10  # a millimetre
    assert verify(data) == verify(other) == []


def test_manifest_labels_and_card_state_depth(data, dataset):
    assert load_manifest(data).schema == json.loads(next(labels(data)))["schema"] == 3
    assert "Depth images: 16 bits" in (data / "README.md").read_text()
    plain = json.loads(next(labels(dataset)))
    assert plain["schema"] == 1 and "depth_scale" not in plain
    assert "depth" not in load_manifest(dataset).config
    assert "Depth" not in (dataset / "README.md").read_text()


def labels(folder):
    with tarfile.open(folder / "shard-000000.tar") as tar:
        for member in tar:
            if member.name.endswith(".json"):
                yield tar.extractfile(member).read()


def test_verification_finds_depth_that_does_not_show_the_object(data, tmp_path):
    samples = list(read_shard(data / "shard-000000.tar"))
    manifest = read_json(data / "manifest.json")
    for number, factor in enumerate((0, 10, 1)):  # the last one is right
        wrong = [replace(s, depth=np.minimum(s.depth * float(factor), 65535).astype(np.uint16))
                 for s in samples]  # fmt: skip
        folder = tmp_path / str(number)
        write_shard(folder / "shard-000000.tar", wrong)
        shard = manifest["shards"][0] | {"sha256": sha256(folder / "shard-000000.tar")}
        (folder / "manifest.json").write_text(json.dumps(manifest | {"shards": [shard]}))
        faults = verify(folder)
        assert len(faults) == (factor != 1)
        assert all("the depth image of camera" in fault for fault in faults)


def test_hidden_objects_need_no_depth(data):
    sample = next(iter(iterate_samples(data)))
    hidden = replace(sample.label, visible_fraction=np.zeros(3))
    check_depth(np.zeros_like(sample.depth), hidden, object_spec("block").keypoints)


def test_samples_with_wrong_depth_files_are_refused(data, tmp_path):
    with tarfile.open(data / "shard-000000.tar") as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar if m.name.startswith("00000000")}
    eight_bits = io.BytesIO()
    Image.new("L", (SIZE, SIZE)).save(eight_bits, "PNG")
    label, depth = json.loads(members["00000000.json"]), "00000000.left.depth.png"
    unscaled = json.dumps({k: v for k, v in label.items() if k != "depth_scale"}).encode()
    wrong = {
        "mode L": members | {depth: eight_bits.getvalue()},
        "depth of some views": {k: v for k, v in members.items() if k != depth},
        "differ in whether depth": members | {"00000000.json": unscaled},
        "positive number": members
        | {"00000000.json": json.dumps(label | {"depth_scale": -1}).encode()},
        "an image has the mode I;16": members | {"00000000.top.mask.png": members[depth]},
    }
    for reason, files in wrong.items():
        with tarfile.open(tmp_path / "wrong.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        with pytest.raises(InputError, match=reason):
            list(read_shard(tmp_path / "wrong.tar"))


def test_bop_gets_the_stored_depth(data, tmp_path):
    out = export_bop(data, tmp_path / "bop")
    samples = list(iterate_samples(data))
    for view, camera in enumerate(("left", "right", "top")):
        for number, sample in enumerate(samples):
            picture = Image.open(out / f"test/000000/depth_{camera}/{number:06d}.png")
            np.testing.assert_array_equal(np.asarray(picture), sample.depth[view])
        cameras = read_json(out / f"test/000000/scene_camera_{camera}.json")
        assert {entry["depth_scale"] for entry in cameras.values()} == {0.1}
