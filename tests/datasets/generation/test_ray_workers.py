"""Generation on real local Ray clusters."""

import json
import threading
import time

import pytest

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation import ray_workers
from opendactyl.datasets.generation.config import ResolvedConfig
from opendactyl.datasets.generation.generate import DatasetConfig, generate

ray = pytest.importorskip("ray")


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64}
    settings["rig"] = "dactyl-200"
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
        # Each node chooses its own GL backend.
        with monkeypatch.context() as patch:
            patch.delenv("MUJOCO_GL", raising=False)
            return cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)

    return add


def test_a_cluster_generates_and_uploads_the_same_bytes(
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

    made_with = load_manifest(out).made_with
    for key in ("gl_vendor", "gl_renderer", "gl_version"):
        assert made_with[key] == load_manifest(dataset).made_with[key]

    monkeypatch.setattr(ResolvedConfig, "versions", lambda _: {"mujoco": "3.0"})
    with pytest.raises(EnvironmentFailure, match="install the same versions on every node"):
        generate(config(tmp_path / "other", ray=cluster.address))


def test_a_missing_cluster_and_a_malformed_address_are_errors(tmp_path):
    with pytest.raises(EnvironmentFailure, match="ray start --head"):
        generate(config(tmp_path / "data", ray="auto"))
    with pytest.raises(InputError, match="HOST:PORT"):
        generate(config(tmp_path / "other", ray="nowhere"))


def test_a_folder_that_is_not_shared_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_workers, "VISIBLE_SECONDS", 0)
    with pytest.raises(InputError, match="all nodes share"):
        ray_workers._wait_until_visible(tmp_path / "shard-000000.tar", "")


@pytest.mark.slow
def test_a_lost_node_restarts_only_its_unfinished_shards(cluster, add_node, tmp_path):
    settings = {"num_samples": 240, "shard_size": 20}
    alone = generate(config(tmp_path / "alone", workers=2, **settings))
    add_node()
    second = add_node()
    out = tmp_path / "data"
    killed = {}

    def kill_when_both_work():
        while "time" not in killed:
            # One CPU per node: two shards are being written, so both nodes work.
            writing = list(out.glob(".shard-*.tmp"))
            progress = out / ".shards.json"
            finished = json.loads(progress.read_text())["shards"] if progress.exists() else {}
            if len(writing) == 2 and 2 <= len(finished) <= 8:
                killed["before"] = {name: (out / name).stat().st_mtime_ns for name in finished}
                cluster.remove_node(second, allow_graceful=False)
                killed["time"] = time.time()
            time.sleep(0.01)

    watch = threading.Thread(target=kill_when_both_work, daemon=True)
    watch.start()
    generate(config(out, ray=cluster.address, **settings))
    assert "time" in killed
    manifest = load_manifest(out)
    assert manifest.shards == load_manifest(alone).shards
    for shard in manifest.shards:
        assert (out / shard.name).read_bytes() == (alone / shard.name).read_bytes()
    for name, written in killed["before"].items():
        assert (out / name).stat().st_mtime_ns == written
    assert max((out / s.name).stat().st_mtime for s in manifest.shards) > killed["time"]
