"""Datasets of an object that is not shipped: its files identify it, and are part of the dataset."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig
from opendactyl.datasets.generation.generate import generate, repair
from opendactyl.datasets.generation.shard_builder import ShardMaker
from opendactyl.datasets.generation.verify import verify
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.sim.objects.shipped import object_spec


def settings(out, obj, **options):
    return DatasetConfig(
        out=out, num_samples=3, shard_size=3, image_size=48, workers=1, states="random",
        object=str(obj), **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def crate(object_folder, tmp_path_factory):
    return generate(
        settings(tmp_path_factory.mktemp("crate") / "data", object_folder / "crate.toml")
    )


def test_a_dataset_contains_its_object(crate, object_folder):
    manifest = load_manifest(crate)
    obj = object_spec(str(object_folder / "crate.toml"))
    assert manifest.object == manifest.config["object"] == "crate"
    assert manifest.object_files == {
        name: sha256(object_folder / name)
        for name in ("crate.toml", "crate.obj", "crate.mtl", "quarters.png")
    }
    assert manifest.config["object_identity"]["made_with"].keys() == {"trimesh"}
    np.testing.assert_array_equal(manifest.keypoints, obj.keypoints)
    assert manifest.num_corners == 16 and manifest.symmetry is None
    assert str(object_folder) not in (crate / "manifest.json").read_text()
    assert not verify(crate)
    for sample in iterate_samples(crate):
        assert sample.label.corners.shape == (3, 16, 2)
        assert len(sample.label.appearance["faces"]) == 1


def test_the_same_object_elsewhere_gives_the_same_dataset(crate, object_folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(object_folder, elsewhere)
    again = generate(settings(tmp_path / "data", elsewhere / "crate.toml"))
    assert load_manifest(again).config_hash == load_manifest(crate).config_hash
    assert load_manifest(again).shards == load_manifest(crate).shards


def test_an_uploaded_dataset_has_its_object(object_folder, tmp_path):
    pytest.importorskip("fsspec")
    store = tmp_path / "store"
    data = settings(tmp_path / "data", object_folder / "crate.toml", upload=f"file://{store}")
    generate(data)
    assert (store / "object/crate.obj").read_bytes() == (object_folder / "crate.obj").read_bytes()
    assert (
        ResolvedConfig.from_content(
            load_manifest(store).config, DatasetConfig(out=store)
        ).obj.identity
        == load_manifest(store).config["object_identity"]
    )


def test_a_dataset_is_repaired_from_its_own_copy_of_the_object(crate, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(crate, copy)
    (copy / "shard-000000.tar").unlink()
    assert repair(copy) == ("shard-000000.tar",)
    (copy / "object/quarters.png").write_bytes(b"changed")
    with pytest.raises(InputError, match=r"quarters\.png is missing, or its checksum"):
        repair(copy)


def test_a_changed_object_is_not_continued_with(object_folder, tmp_path):
    folder = tmp_path / "objects"
    shutil.copytree(object_folder, folder)
    out = generate(settings(tmp_path / "data", folder / "crate.toml"))
    (folder / "crate.mtl").write_text("newmtl m\nKd 0.5 1 1\nmap_Kd quarters.png\n")
    (folder / "crate.toml").write_text((folder / "crate.toml").read_text() + "friction = 1.0\n")
    with pytest.raises(InputError, match=r"was written with other settings \(object_identity"):
        generate(settings(out, folder / "crate.toml", resume=True))


def test_a_worker_compares_the_object(object_folder, tmp_path):
    resolved = ResolvedConfig.resolve(settings(tmp_path, object_folder / "can.toml"))
    assert pickle.loads(pickle.dumps(resolved)).obj.identity == resolved.object_identity
    identity = {**resolved.object_identity, "made_with": {"trimesh": "0.1"}}
    other = dataclasses.replace(resolved, object_identity=identity)
    with pytest.raises(InputError, match=r"can\.toml on .* is .*, expected"):
        ShardMaker(other, None)


def test_shipped_objects_add_nothing_to_the_settings(dataset):
    manifest = json.loads((dataset / "manifest.json").read_text())
    assert "object_identity" not in manifest["config"] and "symmetry" not in manifest
    assert not (dataset / "object").exists()


def test_symmetry_goes_into_manifest_and_bop_models(object_folder, tmp_path):
    data = generate(settings(tmp_path / "data", object_folder / "rod.toml"))
    group = load_manifest(data).load_symmetry()
    assert isinstance(group, SymmetryGroup) and len(group.rotations) == 2
    np.testing.assert_allclose(group.axis, [0, 0, 1])
    out = export_bop(data, tmp_path / "bop")
    info = json.loads((out / "models/models_info.json").read_text())["1"]
    assert info["symmetries_continuous"] == [{"axis": [0.0, 0.0, 1.0], "offset": [0.0, 0.0, 0.0]}]
    half = np.array(info["symmetries_discrete"]).reshape(-1, 4, 4)
    np.testing.assert_allclose(half, [np.diag([1, -1, -1, 1])], atol=1e-9)
    # 60 mm long, 50 mm across.
    assert info["diameter"] == pytest.approx(np.hypot(50, 60), rel=1e-3)


def test_bop_models_of_meshes_have_their_colours(crate, tmp_path):
    out = export_bop(crate, tmp_path / "bop")
    lines = (out / "models/obj_000001.ply").read_text().split("end_header\n")[1].splitlines()
    vertices = np.array([line.split() for line in lines[:36]], dtype=float)
    np.testing.assert_allclose(np.abs(vertices[:, :3]), np.tile([25, 30, 35], (36, 1)), rtol=1e-5)
    assert {tuple(map(int, row[6:])) for row in vertices} == {
        (220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 220, 30),
    }  # fmt: skip
    assert "Object 1 has no symmetry." in (out / "dataset_info.md").read_text()
