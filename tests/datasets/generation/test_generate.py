"""Generation of datasets: reproducible bytes, and the content of labels."""

import dataclasses
import functools
import io
import json
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.policy_states import RolloutStates
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.contact_sheet import write_contact_sheet
from opendactyl.datasets.format.manifest import check_shard, load_manifest
from opendactyl.datasets.format.shards import read_shard
from opendactyl.datasets.generation.config import ResolvedConfig
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.datasets.generation.shard_builder import ShardMaker
from opendactyl.datasets.generation.state_sources import state_source
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rotation import quat_to_matrix


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    settings["rig"] = "dactyl-200"
    return DatasetConfig(out=out, **settings | options)


@pytest.mark.usefixtures("worker_processes")
def test_the_number_of_workers_does_not_change_bytes(dataset, tmp_path):
    other = generate(config(tmp_path / "other", workers=3))
    assert load_manifest(other).shards == load_manifest(dataset).shards
    for shard in load_manifest(dataset).shards:
        assert (other / shard.name).read_bytes() == (dataset / shard.name).read_bytes()


def test_a_sample_depends_on_seed_and_index_only(dataset, tmp_path):
    longer = generate(config(tmp_path / "longer", num_samples=5, shard_size=5))
    ours = next(iter(read_shard(dataset / "shard-000000.tar")))
    theirs = next(iter(read_shard(longer / "shard-000000.tar")))
    np.testing.assert_array_equal(ours.images, theirs.images)
    assert ours.label.to_json() == theirs.label.to_json()


@pytest.mark.parametrize("renderer", ["classic", "filament"])
def test_the_order_of_shards_does_not_change_bytes(tmp_path, renderer):
    """One maker, shards in reverse order: no state is carried from sample to sample."""
    sums = {}
    folders = (("up", (0, 1)), ("down", (1, 0)))
    for name, order in folders:
        settings = config(
            tmp_path / name, renderer=renderer, image_size=48, states="random",
            image_format="png", masks=True, num_samples=4, shard_size=2,
        )  # fmt: skip
        maker = ShardMaker(ResolvedConfig.resolve(settings), None)
        sums[name] = {number: maker.write(number, lambda: None) for number in order}
        maker.close()
    if renderer == "classic":
        assert sums["up"] == sums["down"]
    shards = [tmp_path / name / f"shard-{n:06d}.tar" for n in (0, 1) for name, _ in folders]
    for up, down in zip(map(read_shard, shards[::2]), map(read_shard, shards[1::2]), strict=True):
        for a, b in zip(up, down, strict=True):
            assert a.label.to_json() == b.label.to_json()
            np.testing.assert_array_equal(a.masks, b.masks)
            assert np.mean(a.images != b.images) < 1e-3
    sample = next(iter(read_shard(tmp_path / "up" / "shard-000000.tar")))
    assert sample.label.source == "random"
    assert sample.masks is not None and sample.masks.shape == (3, 48, 48)
    # 0 background, 1 hand, 2 object: its visibility agrees with the label.
    assert set(np.unique(sample.masks)) == {0, 1, 2}
    visible = np.sum(sample.masks == 2, axis=(1, 2)) > 0
    np.testing.assert_array_equal(visible, sample.label.visible_fraction > 0)


def test_roll_out_states_are_reproducible_and_bound_to_their_bundle(dataset, bundle, tmp_path):
    """The unit of roll-outs is a shard; a dataset is not continued with another policy."""
    source = functools.partial(RolloutStates, bundle)
    settings = config(tmp_path / "data", states=f"policy:{bundle}", image_size=32)
    resolved = dataclasses.replace(
        ResolvedConfig.resolve(settings), fingerprint=source().fingerprint
    )
    assert resolved.content()["states_sha256"] == load_bundle(bundle).identity
    sums = []
    for order in ((0, 1), (1,)):
        maker = ShardMaker(resolved, source)
        sums.append({number: maker.write(number, lambda: None) for number in order})
        maker.close()
    assert sums[0][1] == sums[1][1]
    labels = [sample.label for sample in read_shard(tmp_path / "data" / "shard-000001.tar")]
    assert [label.source for label in labels] == ["policy"] * 4
    (tmp_path / "data" / "config.json").write_text(json.dumps(resolved.content()))
    shutil.copytree(bundle, tmp_path / "bundle")
    manifest = read_json(bundle / "manifest.json")
    manifest["policy"]["action"]["smoothing"] = 0.125
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="states_sha256"):
        other = functools.partial(RolloutStates, tmp_path / "bundle")
        generate(dataclasses.replace(settings, resume=True), other)


def test_random_states_are_uniform_without_overlap(scene):
    import mujoco

    data = mujoco.MjData(scene.model)
    rotations, overlaps = [], []
    for state in state_source("random", "block").states(0, 0, 400):
        scene.set_state(data, state)
        rotations.append(quat_to_matrix(state.quaternion))
        overlaps.append(max(-data.contact.dist, default=0.0))
    assert max(overlaps) <= 0.001
    # Haar's measure: each entry has mean 0 and mean square 1/3.
    assert np.abs(np.mean(rotations, axis=0)).max() < 4 / np.sqrt(3 * 400)
    np.testing.assert_allclose(np.mean(np.square(rotations), axis=0), 1 / 3, atol=0.07)


def test_labels_agree_with_the_images(dataset):
    for shard in load_manifest(dataset).shards:
        for sample in read_shard(check_shard(dataset, shard)):
            label = sample.label
            assert shard.start <= label.index < shard.stop
            assert label.source == "settled"
            assert label.corners.shape == (3, 8, 2)
            manifest = load_manifest(dataset)
            corners = np.array(manifest.keypoints[: manifest.num_corners])
            np.testing.assert_allclose(label.project(corners) * 64, label.corners, atol=1e-3)
            offsets = [
                np.abs(a.cam_from_hand - b.cam_from_hand).max()
                for a, b in zip(label.cameras, label.true_cameras, strict=True)
            ]
            assert all(0 < offset < 0.05 for offset in offsets)


def test_tar_headers_contain_no_time_and_no_user(dataset):
    with tarfile.open(dataset / "shard-000000.tar") as tar:
        members = tar.getmembers()
    assert [m.name for m in members[:4]] == [
        "00000000.left.jpg", "00000000.right.jpg", "00000000.top.jpg", "00000000.json",
    ]  # fmt: skip
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


@pytest.mark.parametrize("name", ["settled", "random"])
def test_state_sources_are_reproducible(name):
    source = state_source(name, "block")
    first = [s.to_dict() for s in source.states(3, 5, 8)]
    assert first[1:] == [s.to_dict() for s in source.states(3, 6, 8)]
    assert first != [s.to_dict() for s in source.states(4, 5, 8)]


def test_a_folder_with_other_content_or_settings_is_refused(dataset):
    before = (dataset / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="not empty"):
        generate(config(dataset))
    with pytest.raises(InputError, match="seed: 0 there, 9 now"):
        generate(config(dataset, seed=9, resume=True))
    assert (dataset / "manifest.json").read_bytes() == before


def test_webdataset_reads_the_shards(dataset, tmp_path):
    """In a separate process, because it leaves files open."""
    code = """
import sys, numpy, webdataset
out, *shards = sys.argv[1:]
samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
images = [sample["left.jpg"] for sample in samples]
numpy.savez(out, images=images, position=[sample["json"]["position"] for sample in samples])
"""
    shards = sorted(dataset.glob("shard-*.tar"))
    subprocess.run([sys.executable, "-c", code, tmp_path / "read.npz", *shards], check=True)
    ours = [sample for path in shards for sample in read_shard(path)]
    with np.load(tmp_path / "read.npz") as read:
        np.testing.assert_array_equal(read["images"], [sample.images[0] for sample in ours])
        np.testing.assert_allclose(read["position"], [s.label.position for s in ours], atol=1e-9)


def test_a_dataset_of_the_prism(tmp_path):
    folder = generate(config(tmp_path / "prism", object="prism", num_samples=4))
    assert verify(folder) == []
    manifest = load_manifest(folder)
    assert (manifest.object, manifest.num_corners) == ("prism", 16)
    data = open_dataset(folder, 64)
    assert data.keypoints.shape[2] == len(manifest.keypoints)
    assert (data.visible_fraction.max(axis=1) > 0.1).all()


def test_impossible_settings_are_refused(tmp_path):
    for options in (
        {"num_samples": 0}, {"shard_size": 2000}, {"image_size": 2}, {"renderer": "ink"},
        {"states": "dreams"}, {"appearance": "invisible"}, {"rig": "absent"}, {"object": "ball"},
    ):  # fmt: skip
        with pytest.raises(InputError):
            generate(config(tmp_path / "none", **options))
    assert not (tmp_path / "none" / "manifest.json").exists()


def test_contact_sheet(dataset, tmp_path):
    path = write_contact_sheet(dataset, tmp_path / "sheet.png", 3, augment=True)
    with Image.open(io.BytesIO(path.read_bytes())) as sheet:
        assert sheet.size == (3 * 64, 3 * 64)
    with pytest.raises(InputError, match="at least 1"):
        write_contact_sheet(dataset, path, 0)
