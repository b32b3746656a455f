"""Shards made on real local Ray clusters."""

import json
import threading
import time

import pytest

from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation import ray_workers as ray_engine
from opendactyl.datasets.generation.generate import DatasetConfig, generate

ray = pytest.importorskip("ray")


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64}
    return DatasetConfig(out=out, **settings | options)


@pytest.fixture
def cluster():
    """A cluster without nodes."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def add_node(cluster, monkeypatch):
    def add():
        # No node is told which GL backend to use.
        with monkeypatch.context() as patch:
            patch.delenv("MUJOCO_GL", raising=False)
            return cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)

    return add


def test_a_cluster_makes_the_same_bytes_and_copies_them(
    cluster, add_node, dataset, tmp_path, monkeypatch
):
    add_node()
    store = tmp_path / "store"
    out = generate(config(tmp_path / "data", ray=cluster.address, upload=f"file://{store}"))
    assert not ray.is_initialized()
    assert load_manifest(out).shards == load_manifest(dataset).shards
    assert load_manifest(out).made_with["gl"] == "chosen by each node"
    for shard in load_manifest(dataset).shards:
        assert (out / shard.name).read_bytes() == (dataset / shard.name).read_bytes()
    for path in out.iterdir():
        if not path.name.startswith("."):
            assert (store / path.name).read_bytes() == path.read_bytes()

    versions = {"mujoco": "3.0"}
    monkeypatch.setattr(ray_engine, "library_versions", lambda: versions)
    with pytest.raises(InputError, match="install the same versions on every node"):
        generate(config(tmp_path / "other", ray=cluster.address))


def test_no_cluster_is_an_error(tmp_path):
    with pytest.raises(InputError, match="ray start --head"):
        generate(config(tmp_path / "data", ray="auto"))


def test_a_folder_that_is_not_shared_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "PATIENCE", 0)
    with pytest.raises(InputError, match="all nodes share"):
        ray_engine._await(tmp_path / "shard-000000.tar", "")


@pytest.mark.slow
def test_a_lost_node_costs_only_its_unfinished_shards(cluster, add_node, tmp_path):
    settings = {"num_samples": 240, "shard_size": 20}
    alone = generate(config(tmp_path / "alone", workers=2, **settings))
    add_node()
    second = add_node()
    out = tmp_path / "data"
    seen = {}

    def kill_when_both_work():
        while "killed" not in seen:
            # One CPU a node: two shards being written at once are two nodes at work.
            writing = list(out.glob(".shard-*.tmp"))
            telemetry = out / ".shards.json"
            finished = json.loads(telemetry.read_text())["shards"] if telemetry.exists() else {}
            if len(writing) == 2 and 2 <= len(finished) <= 8:
                seen["before"] = {name: (out / name).stat().st_mtime_ns for name in finished}
                cluster.remove_node(second, allow_graceful=False)
                seen["killed"] = time.time()
            time.sleep(0.01)

    watch = threading.Thread(target=kill_when_both_work, daemon=True)
    watch.start()
    generate(config(out, ray=cluster.address, **settings))
    assert "killed" in seen
    manifest = load_manifest(out)
    assert manifest.shards == load_manifest(alone).shards
    for shard in manifest.shards:
        assert (out / shard.name).read_bytes() == (alone / shard.name).read_bytes()
    for name, written in seen["before"].items():
        assert (out / name).stat().st_mtime_ns == written
    assert max((out / s.name).stat().st_mtime for s in manifest.shards) > seen["killed"]
