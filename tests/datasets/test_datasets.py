import dataclasses
import io
import json
import shutil
import tarfile

import numpy as np
import pytest

from opendactyl.datasets.augment import Augmentation, AugmentConfig
from opendactyl.datasets.cache import open_dataset
from opendactyl.datasets.contact_sheet import write_contact_sheet
from opendactyl.datasets.generate import DatasetConfig, generate
from opendactyl.datasets.label import Label
from opendactyl.datasets.loading import EpochSampler, PoseDataModule, PoseDataset
from opendactyl.datasets.manifest import check_shard, load_manifest
from opendactyl.datasets.shards import read_shard
from opendactyl.datasets.states import state_source
from opendactyl.files.atomic import read_json
from opendactyl.files.errors import InputError


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    return DatasetConfig(out=out, **settings | options)


@pytest.fixture
def copy(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "copy")
    return tmp_path / "copy"


def test_three_workers_make_the_same_bytes_as_one(dataset, tmp_path):
    other = generate(config(tmp_path / "other", workers=3))
    assert load_manifest(other).shards == load_manifest(dataset).shards
    for shard in load_manifest(dataset).shards:
        assert (other / shard.name).read_bytes() == (dataset / shard.name).read_bytes()


def test_a_sample_depends_on_seed_and_index_alone(dataset, tmp_path):
    longer = generate(config(tmp_path / "longer", num_samples=5, shard_size=5))
    ours = next(iter(read_shard(dataset / "shard-000000.tar")))
    theirs = next(iter(read_shard(longer / "shard-000000.tar")))
    np.testing.assert_array_equal(ours.images, theirs.images)
    assert ours.label.to_json() == theirs.label.to_json()


def test_an_interrupted_dataset_resumes_to_the_same_bytes(dataset, copy):
    (copy / "shard-000001.tar").unlink()
    (copy / "manifest.json").unlink()
    generate(config(copy, resume=True))
    assert load_manifest(copy).shards == load_manifest(dataset).shards


def test_labels_say_what_the_images_show(dataset):
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


def test_tar_headers_carry_no_time_and_no_user(dataset):
    with tarfile.open(dataset / "shard-000000.tar") as tar:
        members = tar.getmembers()
    assert [m.name for m in members[:4]] == [
        "00000000.left.jpg", "00000000.right.jpg", "00000000.top.jpg", "00000000.json",
    ]  # fmt: skip
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


@pytest.mark.parametrize("name", ["settled", "random"])
def test_state_sources_repeat(name):
    source = state_source(name, "block")
    first = [s.to_dict() for s in source.states(3, 5, 8)]
    assert first[1:] == [s.to_dict() for s in source.states(3, 6, 8)]
    assert first != [s.to_dict() for s in source.states(4, 5, 8)]


def test_a_folder_in_use_or_of_other_settings_is_refused(dataset):
    before = (dataset / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="not empty"):
        generate(config(dataset))
    with pytest.raises(InputError, match="seed: 0 there, 9 now"):
        generate(config(dataset, seed=9, resume=True))
    assert (dataset / "manifest.json").read_bytes() == before


def test_missing_truncated_and_flipped_shards_are_named(copy):
    path = copy / "shard-000001.tar"
    data = path.read_bytes()
    path.write_bytes(data[:-3000])
    with pytest.raises(InputError, match=r"shard-000001\.tar is damaged"):
        open_dataset(copy, 32)
    flipped = bytearray(data)
    flipped[4000] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(InputError, match="checksum"):
        open_dataset(copy, 32)
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        open_dataset(copy, 32)


def test_another_schema_version_is_refused(copy):
    manifest = read_json(copy / "manifest.json")
    (copy / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(InputError, match="schema 99"):
        open_dataset(copy, 32)


@pytest.mark.parametrize(
    "member",
    [
        {"name": "/etc/passwd"},
        {"name": "../outside.json"},
        {"name": "00000000.json", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"name": "00000000.left.jpg", "size": 10**12},
    ],
)
def test_hostile_members_are_refused(tmp_path, member):
    info = tarfile.TarInfo(member["name"])
    for key, value in member.items():
        setattr(info, key, value)
    path = tmp_path / "hostile.tar"
    path.write_bytes(info.tobuf() + bytes(2048))
    with pytest.raises(InputError):
        list(read_shard(path))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1}', "[" * 100_000, '{"schema": NaN}']
)
def test_hostile_labels_are_refused(text):
    with pytest.raises(InputError, match="here"):
        Label.from_json(text.encode(), "here")


def test_impossible_settings_are_refused(tmp_path):
    for options in (
        {"num_samples": 0}, {"shard_size": 2000}, {"image_size": 2}, {"renderer": "ink"},
        {"states": "dreams"}, {"appearance": "invisible"}, {"rig": "absent"}, {"object": "ball"},
    ):  # fmt: skip
        with pytest.raises(InputError):
            generate(config(tmp_path / "none", **options))
    assert not (tmp_path / "none" / "manifest.json").exists()


def test_cache_holds_the_decoded_images(dataset):
    data = open_dataset(dataset, 64)
    samples = [s for shard in data.manifest.shards for s in read_shard(dataset / shard.name)]
    np.testing.assert_array_equal(data.images[7], samples[7].images)
    np.testing.assert_allclose(data.position[7], samples[7].label.position, atol=1e-7)
    small = open_dataset(dataset, 32)
    assert small.images.shape == (12, 3, 32, 32, 3)
    assert small.rig.cameras[0].K[0, 0] == pytest.approx(data.rig.cameras[0].K[0, 0] / 2)
    with pytest.raises(InputError, match="from 8 to 64"):
        open_dataset(dataset, 128)


def test_epochs_shuffle_and_repeat():
    sampler = EpochSampler(10, seed=1, shuffle=True)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(i for _, i in first) == sorted(i for _, i in second) == list(range(10))
    assert [i for _, i in first] != [i for _, i in second]
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_augmentation_repeats_by_epoch_and_moves_nothing(dataset):
    data = PoseDataset([open_dataset(dataset, 64)], AugmentConfig(), seed=0)
    np.testing.assert_array_equal(data[0, 3]["images"], data[0, 3]["images"])
    assert not np.array_equal(data[0, 3]["images"], data[1, 3]["images"])
    # A white square on black keeps its place under every draw.
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[:, 20:40, 24:44] = 255
    augment = Augmentation(
        dataclasses.replace(AugmentConfig(), noise=0.02, occluder=0.0, contrast=0.3)
    )
    for seed in range(10):
        seen = augment(picture, np.random.default_rng(seed))[0].astype(float).mean(axis=-1)
        rows, columns = np.nonzero(seen > (seen.max() + seen.min()) / 2)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 24, 43)


def test_batches_have_the_promised_shapes(dataset, val_dataset):
    module = PoseDataModule(
        [dataset], val_dataset, image_size=64, batch_size=4, workers=0, augment=AugmentConfig()
    )
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert batch["images"].shape == (4, 3, 64, 64, 3)
    assert batch["landmarks"].shape == (4, 3, 14, 2)
    assert len(module.val_dataloader()) == 3


def test_validation_on_the_training_seed_is_refused(dataset):
    with pytest.raises(InputError, match="same seed"):
        PoseDataModule([dataset], dataset, image_size=64, batch_size=4).setup()


def test_contact_sheet(dataset, tmp_path):
    from PIL import Image

    path = write_contact_sheet(dataset, tmp_path / "sheet.png", 3, augment=True)
    with Image.open(io.BytesIO(path.read_bytes())) as sheet:
        assert sheet.size == (3 * 64, 3 * 64)
    with pytest.raises(InputError, match="at least 1"):
        write_contact_sheet(dataset, path, 0)
