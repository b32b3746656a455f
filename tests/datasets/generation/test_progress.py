"""An unfinished dataset is continued only by what began it: versions, OpenGL driver, bundle."""

import dataclasses
import functools
import pickle
import shutil
from contextlib import nullcontext

import pytest

from opendactyl.control.evaluation.policy_states import MinedStates, RolloutStates
from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation import generate as generation
from opendactyl.datasets.generation import ray_workers
from opendactyl.datasets.generation.config import GENERATION_VERSION, ResolvedConfig
from opendactyl.datasets.generation.generate import DatasetConfig, generate, repair
from opendactyl.datasets.generation.progress import FinishedShard, Progress
from opendactyl.datasets.generation.shard_builder import ShardMaker
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.cache import open_dataset

GL = ("gl_vendor", "gl_renderer", "gl_version")


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    settings["rig"] = "dactyl-200"
    return DatasetConfig(out=out, resume=True, **settings | options)


@pytest.fixture
def unfinished(copy):
    """A dataset without its last shard: the folder, and a function that edits its progress."""
    (copy / "manifest.json").unlink()
    (copy / "shard-000002.tar").unlink()
    progress = read_json(copy / ".shards.json")
    del progress["shards"]["shard-000002.tar"]
    write_json(copy / ".shards.json", progress)

    def edit(change):
        change(progress)
        write_json(copy / ".shards.json", progress)

    return copy, edit


@pytest.fixture
def other_bundle(bundle, tmp_path):
    """A bundle whose policy acts differently."""
    shutil.copytree(bundle, tmp_path / "other")
    manifest = read_json(bundle / "manifest.json")
    manifest["policy"]["action"]["smoothing"] = 0.125
    write_json(tmp_path / "other" / "manifest.json", manifest)
    return tmp_path / "other"


def test_progress_and_manifest_name_the_driver_and_the_versions(dataset):
    progress = read_json(dataset / ".shards.json")
    made_with = load_manifest(dataset).made_with
    assert set(progress) == {"made_with", "shards", "generation", "gl"}
    assert progress["generation"] == GENERATION_VERSION
    assert made_with["generation"] == str(GENERATION_VERSION)
    assert tuple(progress["gl"]) == tuple(sorted(GL)) and all(progress["gl"].values())
    assert {key: made_with[key] for key in GL} == progress["gl"]
    assert made_with["gl"] in ("egl", "osmesa", "glfw")
    assert progress["made_with"].items() <= made_with.items()


@pytest.mark.slow
def test_the_driver_that_mined_the_states_is_named_with_every_renderer(bundle, tmp_path):
    settings = config(
        tmp_path / "data", states=f"mined:{bundle}", renderer="filament", num_samples=1,
        image_size=32,
    )  # fmt: skip
    folder = generate(settings, functools.partial(MinedStates, bundle))
    driver = read_json(folder / ".shards.json")["gl"]
    assert tuple(driver) == tuple(sorted(GL)) and all(driver.values())
    assert driver.items() <= load_manifest(folder).made_with.items()


def test_another_gl_driver_is_refused(unfinished):
    folder, edit = unfinished
    edit(lambda progress: progress["gl"].update({"gl_version": "Brand X"}))
    before = (folder / ".shards.json").read_bytes()
    with pytest.raises(EnvironmentFailure, match=r"shard-000002\.tar was rendered with .*Brand X"):
        generate(config(folder))
    assert (folder / ".shards.json").read_bytes() == before
    assert not (folder / "manifest.json").exists()


def test_shards_of_two_drivers_are_not_mixed(tmp_path):
    progress = Progress(tmp_path, {})
    progress.add(FinishedShard(0, "0" * 64, {"gl_renderer": "A"}))
    with pytest.raises(EnvironmentFailure, match=r"rendered with B.*with A"):
        progress.add(FinishedShard(1, "1" * 64, {"gl_renderer": "B"}))
    assert Progress.read(tmp_path, {}) == progress
    assert list(progress.sums) == ["shard-000000.tar"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"made_with": {"mujoco": "0.1"}}, r"'mujoco': '0\.1'.*finish it with those"),
        ({"generation": GENERATION_VERSION + 1}, f"version {GENERATION_VERSION + 1} of the"),
        ({"generation": None, "gl": None}, "earlier version of OpenDactyl"),
    ],
)
def test_other_versions_are_refused(unfinished, change, message):
    folder, edit = unfinished

    def apply(progress):
        progress |= change
        for key in [key for key in progress if progress[key] is None]:
            del progress[key]  # as in files of earlier versions

    edit(apply)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(InputError, match=message):
        generate(config(folder))
    assert before == {path: path.read_bytes() for path in before}


def test_damaged_progress_means_no_finished_shard(dataset, unfinished):
    folder, _ = unfinished
    versions = load_manifest(dataset).made_with
    for content in ("", "[]", '{"made_with": {}, "shards"', '{"shards": 3}'):
        (folder / ".shards.json").write_text(content)
        assert not Progress.read(folder, versions).sums
    generate(config(folder))
    assert load_manifest(folder) == load_manifest(dataset)


def test_a_finished_dataset_of_an_earlier_version_stays_usable(dataset, copy, monkeypatch):
    """Its files have neither a generation, which means the first, nor a driver."""
    for module in ("progress", "finished_manifest"):
        monkeypatch.setattr(f"opendactyl.datasets.generation.{module}.GENERATION_VERSION", 1)
    manifest = read_json(copy / "manifest.json")
    for key in (*GL, "generation"):
        del manifest["made_with"][key]
    write_json(copy / "manifest.json", manifest)
    progress = read_json(copy / ".shards.json")
    write_json(copy / ".shards.json", {key: progress[key] for key in ("made_with", "shards")})
    before = (copy / "manifest.json").read_bytes()
    assert verify(copy) == []
    assert len(open_dataset(copy, 32)) == 12
    (copy / "manifest.json").unlink()
    generate(config(copy))  # no shard is missing
    assert load_manifest(copy).shards == load_manifest(dataset).shards
    (copy / "manifest.json").write_bytes(before)
    (copy / "shard-000001.tar").write_bytes(b"")
    assert repair(copy, workers=1) == ("shard-000001.tar",)
    (copy / "shard-000002.tar").unlink()
    generate(config(copy))
    for shard in load_manifest(dataset).shards:
        assert (copy / shard.name).read_bytes() == (dataset / shard.name).read_bytes()
    assert (copy / "manifest.json").read_bytes() == before


def test_a_finished_dataset_of_another_generation_is_not_repaired(copy):
    manifest = read_json(copy / "manifest.json")
    manifest["made_with"]["generation"] = "0"
    write_json(copy / "manifest.json", manifest)
    assert verify(copy) == []
    assert repair(copy) == ()
    (copy / "shard-000001.tar").unlink()
    with pytest.raises(InputError, match="version 0 of the generation"):
        repair(copy)
    assert not (copy / "shard-000001.tar").exists()


def test_roll_outs_depend_on_the_version_of_onnxruntime(dataset, bundle, tmp_path):
    make_source = functools.partial(RolloutStates, bundle)
    settings = config(
        tmp_path / "data", states=f"policy:{bundle}", num_samples=2, shard_size=1, image_size=32
    )
    folder = generate(settings, make_source)
    assert "onnxruntime" in load_manifest(folder).made_with
    assert "onnxruntime" not in load_manifest(dataset).made_with
    progress = read_json(folder / ".shards.json")
    progress["made_with"]["onnxruntime"] = "0.1"
    write_json(folder / ".shards.json", progress)
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"'onnxruntime': '0\.1'.*finish it with those"):
        generate(settings, make_source)


@pytest.mark.usefixtures("worker_processes")
def test_local_workers_refuse_another_bundle(bundle, other_bundle, tmp_path, monkeypatch):
    """The bundle is replaced after the parent has read it."""
    link = tmp_path / "bundle"
    link.symlink_to(bundle)

    def replace(_):
        link.unlink(missing_ok=True)
        link.symlink_to(other_bundle)

    monkeypatch.setattr(generation, "_check_renderer", replace)
    settings = config(tmp_path / "data", states=f"policy:{link}", num_samples=1, image_size=32)
    with pytest.raises(InputError, match=r"has the checksum .*restore the bundle"):
        generate(settings, functools.partial(RolloutStates, link))
    assert not list((tmp_path / "data").glob("*.tar"))


def test_every_worker_checks_the_fingerprint_of_its_source(bundle, other_bundle, tmp_path):
    settings = config(tmp_path, states=f"policy:{bundle}", image_size=32)
    resolved = dataclasses.replace(
        ResolvedConfig.resolve(settings), fingerprint=RolloutStates(bundle).fingerprint
    )
    make_source = functools.partial(RolloutStates, other_bundle)
    with pytest.raises(InputError, match="restore the bundle"):
        ShardMaker(resolved, make_source)
    job = (pickle.dumps((resolved, make_source)), True, resolved.versions())
    with pytest.raises(InputError, match="restore the bundle"):
        ray_workers._make_shard(job, 0)


def test_a_ray_node_with_other_versions_is_a_failure_of_the_environment():
    with pytest.raises(EnvironmentFailure, match="same versions on every node"):
        ray_workers._make_shard((b"", True, {"numpy": "0.1"}), 0)


def test_shards_that_do_not_repeat_are_repaired_with_the_versions_that_made_them(dataset, tmp_path):
    """Their checksums differ anyway, so they cannot tell."""
    manifest = load_manifest(dataset)
    for renderer, refused in (("filament", True), ("classic", False)):
        resolved = ResolvedConfig.resolve(config(tmp_path / "data", renderer=renderer))
        own = manifest.made_with | resolved.versions()
        generation._check_versions(resolved, dataclasses.replace(manifest, made_with=own))
        other = dataclasses.replace(manifest, made_with=own | {"numpy": "0.1"})
        with pytest.raises(InputError, match="was begun with") if refused else nullcontext():
            generation._check_versions(resolved, other)
