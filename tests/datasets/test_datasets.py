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

from opendactyl.control.bundle import load_bundle
from opendactyl.control.rollouts import RolloutStates
from opendactyl.datasets.augment import AugmentConfig
from opendactyl.datasets.cache import open_dataset
from opendactyl.datasets.contact_sheet import write_contact_sheet
from opendactyl.datasets.generate import DatasetConfig, generate
from opendactyl.datasets.label import Label
from opendactyl.datasets.loading import EpochSampler, PoseDataModule
from opendactyl.datasets.manifest import check_shard, load_manifest
from opendactyl.datasets.recipe import Recipe
from opendactyl.datasets.samples import ShardMaker
from opendactyl.datasets.shards import read_shard
from opendactyl.datasets.states import state_source
from opendactyl.datasets.verify import verify
from opendactyl.files.atomic import read_json
from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import quat_to_matrix


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    return DatasetConfig(out=out, **settings | options)


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


@pytest.mark.parametrize("renderer", ["classic", "filament"])
def test_the_order_of_work_changes_nothing(tmp_path, renderer):
    """One maker, its shards backwards: nothing of one sample is left in the next."""
    sums = {}
    folders = (("up", (0, 1)), ("down", (1, 0)))
    for name, order in folders:
        settings = config(
            tmp_path / name, renderer=renderer, image_size=48, states="random",
            image_format="png", masks=True,
        )  # fmt: skip
        maker = ShardMaker(Recipe.resolve(settings), None)
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
    # 0 background, 1 hand, 2 object: what is seen of it is what the label says.
    assert set(np.unique(sample.masks)) == {0, 1, 2}
    seen = np.sum(sample.masks == 2, axis=(1, 2)) > 0
    np.testing.assert_array_equal(seen, sample.label.visible_fraction > 0)


def test_a_given_source_is_used_and_remembered(dataset, bundle, tmp_path):
    """Roll-outs of a policy: a shard is their unit, and another policy is not taken for theirs."""
    source = functools.partial(RolloutStates, bundle)
    settings = config(tmp_path / "data", states=f"policy:{bundle}", image_size=32)
    recipe = dataclasses.replace(Recipe.resolve(settings), fingerprint=source().fingerprint)
    assert recipe.content()["states_sha256"] == load_bundle(bundle).identity
    sums = []
    for order in ((0, 1), (1,)):
        maker = ShardMaker(recipe, source)
        sums.append({number: maker.write(number, lambda: None) for number in order})
        maker.close()
    assert sums[0][1] == sums[1][1]
    labels = [sample.label for sample in read_shard(tmp_path / "data" / "shard-000001.tar")]
    assert [label.source for label in labels] == ["policy"] * 4
    (tmp_path / "data" / "config.json").write_text(json.dumps(recipe.content()))
    shutil.copytree(bundle, tmp_path / "bundle")
    manifest = read_json(bundle / "manifest.json")
    manifest["policy"]["action"]["smoothing"] = 0.125
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="states_sha256"):
        other = functools.partial(RolloutStates, tmp_path / "bundle")
        generate(dataclasses.replace(settings, resume=True), other)


def test_random_states_are_uniform_and_overlap_nothing(scene):
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
        {"name": "00000000.json", "type": tarfile.LNKTYPE, "linkname": "00000000.left.jpg"},
        {"name": "00000000.left.jpg", "type": tarfile.CHRTYPE},
        {"name": "00000000.left.jpg", "type": tarfile.FIFOTYPE},
        {"name": "00000000.left.jpg", "type": tarfile.DIRTYPE},
        {"name": "00000000.left.jpg", "type": tarfile.GNUTYPE_SPARSE, "size": 512},
        {"name": "..\\outside.json"},
        {"name": ".hidden.json"},
        {"name": "00000000.left.jpg", "size": 10**12},
        {"name": "00000000.left.jpg", "size": 60 * 2**20},
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


def test_headers_that_upset_pythons_reader_are_refused(tmp_path):
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 0
    sparse = b"30 GNU.sparse.map=a,b\n"
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, len(sparse)
    member = tarfile.TarInfo("00000000.left.jpg").tobuf()
    for content in (
        long_name.tobuf() * 3000 + member,
        pax.tobuf() + sparse.ljust(512, b"\0") + member,
    ):
        (tmp_path / "hostile.tar").write_bytes(content + bytes(1024))
        with pytest.raises(InputError):
            list(read_shard(tmp_path / "hostile.tar"))


def test_webdataset_reads_the_shards(dataset, tmp_path):
    """In a process of its own, for it leaves files open."""
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
    assert data.landmarks.shape[2] == len(manifest.keypoints)
    assert (data.visible_fraction.max(axis=1) > 0.1).all()


def test_a_dataset_begun_with_other_versions_is_not_finished_with_these(tmp_path, monkeypatch):
    folder = generate(config(tmp_path / "data"))
    (folder / "manifest.json").unlink()
    journal = read_json(folder / ".shards.json")
    journal["made_with"]["mujoco"] = "0.1"
    (folder / ".shards.json").write_text(json.dumps(journal))
    with pytest.raises(InputError, match=r"'mujoco': '0\.1'.*finish it with those"):
        generate(config(folder, resume=True))


def test_a_broken_header_is_not_the_end(dataset, tmp_path):
    """Python's tar reader stops there without a word."""
    data = bytearray((dataset / "shard-000000.tar").read_bytes())
    with tarfile.open(dataset / "shard-000000.tar") as tar:
        fifth = tar.getmembers()[4]
    data[fifth.offset + 10] ^= 1
    (tmp_path / "broken.tar").write_bytes(data)
    with pytest.raises(InputError, match=f"damaged at byte {fifth.offset}"):
        list(read_shard(tmp_path / "broken.tar"))
    (tmp_path / "short.tar").write_bytes(data[: fifth.offset])
    with pytest.raises(InputError, match="damaged"):
        list(read_shard(tmp_path / "short.tar"))


def test_hostile_samples_are_refused(dataset, tmp_path):
    """Sound tar files with wrong members: doubled, missing, no image, an image of another size."""
    with tarfile.open(dataset / "shard-000000.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()[:4]}
    large = io.BytesIO()
    Image.new("RGB", (65, 64)).save(large, "PNG")
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    label = json.loads(files["00000000.json"])
    many = label | {"cameras": [c | {"width": 10**6} for c in label["cameras"]]}
    wrong = {
        "doubled": [*list(files.items())[:1], *files.items()],
        "missing": list(files.items())[1:],
        "extra": [("00000000.right.depth.png", b""), *files.items()],
        "no image": list((files | {"00000000.top.jpg": b"no image"}).items()),
        "large": list((files | {"00000000.top.jpg": large.getvalue()}).items()),
        "bomb": list((files | {"00000000.top.jpg": bomb.getvalue()}).items()),
        "cameras": list((files | {"00000000.json": json.dumps(many).encode()}).items()),
    }
    for name, members in wrong.items():
        path = tmp_path / f"{name}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for member, data in members:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        with pytest.raises(InputError, match=name):
            list(read_shard(path))


@pytest.mark.parametrize(
    "change",
    [
        {"shards": []},
        {"shards": [{"name": "../x.tar", "start": 0, "stop": 12, "sha256": ""}]},
        {"shards": [{"name": "x.tar", "start": 0.0, "stop": 12.0, "sha256": ""}]},
        {"num_samples": 10**9},
        {"num_corners": 99},
        {"seed": "0"},
        {"rig": {"name": "x", "cameras": []}},
        {"keypoints": [[10**400, 0, 0]]},
        {"config": []},
        {"unknown": 1},
    ],
)
def test_hostile_manifests_are_refused(copy, change):
    manifest = read_json(copy / "manifest.json")
    (copy / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(InputError, match="manifest"):
        load_manifest(copy)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", "1", '{"schema": 1}', "[" * 100_000, '{"schema": NaN}', "\xff",
        '{"schema": 1, "cameras": {}, "index": 1e999}', '{"schema": 1, "cameras": 7}',
        '{"schema": 1, "cameras": [], "index": 0, "position": [1' + "0" * 400 + ", 0, 0]}",
        '{"schema": 1, "cameras": [], "index": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
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
    two = open_dataset(dataset, 64, views=2)
    np.testing.assert_array_equal(two.images[7], samples[7].images[:2])
    assert two.rig.names == data.rig.names[:2]
    assert two.landmarks.shape[1] == two.visible_fraction.shape[1] == 2
    with pytest.raises(InputError, match="has 3 cameras"):
        open_dataset(dataset, 64, views=4)


def test_epochs_shuffle_and_repeat():
    sampler = EpochSampler(10, seed=1, shuffle=True)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(i for _, i in first) == sorted(i for _, i in second) == list(range(10))
    assert [i for _, i in first] != [i for _, i in second]
    sampler.set_epoch(0)
    assert list(sampler) == first


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
    path = write_contact_sheet(dataset, tmp_path / "sheet.png", 3, augment=True)
    with Image.open(io.BytesIO(path.read_bytes())) as sheet:
        assert sheet.size == (3 * 64, 3 * 64)
    with pytest.raises(InputError, match="at least 1"):
        write_contact_sheet(dataset, path, 0)
