"""Damaged files and dead processes: no shard is lost, and the error names the remedy."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from opendactyl.cli.main import main
from opendactyl.core.atomic_files import json_hash, sha256
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.core.run_dir import new_folder
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation import local_workers
from opendactyl.datasets.generation.config import ResolvedConfig
from opendactyl.datasets.generation.generate import DatasetConfig, generate, repair
from opendactyl.datasets.generation.local_workers import pool_shards
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.cache import open_dataset

SHARDS = ("shard-000000.tar", "shard-000001.tar", "shard-000002.tar")


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    settings["rig"] = "dactyl-200"
    return DatasetConfig(out=out, **settings | options)


def same_shards(folder, dataset):
    return all((folder / n).read_bytes() == (dataset / n).read_bytes() for n in SHARDS)


def relabel(folder, change):
    """Changes a label in a shard and the checksum in the manifest: only reading detects it."""
    import io
    import tarfile

    path = folder / SHARDS[1]
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, data in members:
            if member.name == "00000005.json":
                data = json.dumps(change(json.loads(data)), sort_keys=True).encode()
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][1]["sha256"] = sha256(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_verify_accepts_an_intact_dataset(dataset, capsys):
    assert verify(dataset) == []
    with pytest.raises(SystemExit) as stop:
        main(["dataset", "--verify", str(dataset)])
    assert stop.value.code == 0
    assert "is sound: 12 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ({"quaternion": [2.0, 0.0, 0.0, 0.0]}, "quaternion"),
        ({"position": [0.0, 0.0, 0.5]}, "corners"),
        ({"visible_fraction": [0.1, 0.2, 1.5]}, "visible fraction"),
        ({"appearance": {}}, "sample 5"),
        ({"schema": 99}, "schema 99"),
        ({"index": 6}, "labelled as sample 6"),
    ],
)
def test_verify_checks_the_content_of_labels(copy, change, output):
    relabel(copy, lambda label: label | change)
    (fault,) = verify(copy)
    assert SHARDS[1] in fault
    assert output in fault


def test_verify_checks_the_settings(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["config"]["seed"] = 7
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "config_hash" in verify(copy)[0]
    assert json_hash(manifest["config"]) != manifest["config_hash"]


def test_repair_generates_exactly_the_broken_shards(dataset, copy, capsys):
    (copy / SHARDS[0]).write_bytes((dataset / SHARDS[0]).read_bytes()[:-3000])
    flipped = bytearray((dataset / SHARDS[2]).read_bytes())
    flipped[4000] ^= 1
    (copy / SHARDS[2]).write_bytes(flipped)
    with pytest.raises(SystemExit) as stop:
        main(["dataset", "--verify", str(copy)])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert SHARDS[0] in message and SHARDS[2] in message and SHARDS[1] not in message
    before = (copy / SHARDS[1]).stat()
    with pytest.raises(SystemExit) as stop:
        main(["dataset", "--verify", str(copy), "--repair", "--workers", "1"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert f"made again: {SHARDS[0]}, {SHARDS[2]}" in output and "is sound" in output
    after = (copy / SHARDS[1]).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert same_shards(copy, dataset)
    assert repair(copy) == ()


@pytest.mark.parametrize("words", [("--verify={}", "--repair"), ("--repair", "--verify={}")])
def test_repair_uses_the_folder_of_verify_in_both_forms(copy, capsys, words):
    with pytest.raises(SystemExit) as stop:
        main(["dataset", *(word.format(copy) for word in words)])
    assert stop.value.code == 0
    assert "made again: nothing" in capsys.readouterr().out


def test_a_half_written_manifest_is_named_and_rebuilt(dataset, copy):
    manifest = copy / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:500])
    (copy / SHARDS[1]).unlink()
    (copy / ".shard-000001.tar.x.tmp").write_bytes(b"half")
    for reader in (verify, repair, lambda folder: open_dataset(folder, 32)):
        with pytest.raises(InputError, match="--resume"):
            reader(copy)
    before = (copy / SHARDS[0]).stat().st_mtime_ns
    generate(config(copy, resume=True))
    assert manifest.read_bytes() == (dataset / "manifest.json").read_bytes()
    assert same_shards(copy, dataset)
    assert (copy / SHARDS[0]).stat().st_mtime_ns == before
    assert not list(copy.glob(".*.tmp"))


def test_a_repaired_shard_with_another_checksum_is_an_error(copy):
    """As on another machine, or after a renderer update."""
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][2]["sha256"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"shard-000002.*the machine, the renderer or a library"):
        repair(copy, workers=1)
    assert json.loads((copy / "manifest.json").read_text()) == manifest


def test_a_second_generator_is_refused_until_the_first_dies(copy):
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
    other = subprocess.Popen(
        [sys.executable, "-c", code + "print(flush=True); time.sleep(60)", copy / ".lock"],
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    with other.stdout:
        other.stdout.readline()
        with pytest.raises(InputError, match="another process is writing"):
            generate(config(copy, resume=True))
        other.send_signal(signal.SIGKILL)
        other.wait()
    generate(config(copy, resume=True))
    with (copy / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released


@pytest.mark.usefixtures("worker_processes")
def test_a_dead_worker_is_replaced_and_its_shard_generated_again(dataset, tmp_path):
    resolved = ResolvedConfig.resolve(config(tmp_path))
    made = {}
    for shard in pool_shards(resolved, None, [0, 1, 2], lambda _: None):
        if not made:
            (worker,) = multiprocessing.active_children()
            worker.kill()
        made[shard.number] = shard.sha256
    assert same_shards(tmp_path, dataset)
    assert made == {n: s.sha256 for n, s in enumerate(load_manifest(dataset).shards)}


@pytest.mark.usefixtures("worker_processes")
def test_workers_that_keep_dying_are_a_failure_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(local_workers, "MAX_RESTARTS", 1)
    resolved = ResolvedConfig.resolve(config(tmp_path))
    with pytest.raises(EnvironmentFailure, match=r"died 1 times.*shard-00000[12].*--resume"):
        for _ in pool_shards(resolved, None, [0, 1, 2], lambda _: None):
            (worker,) = multiprocessing.active_children()
            worker.kill()


def started(out, appearing):
    """The command `dataset`, when a file of that pattern has appeared in its folder."""
    words = "dataset --num-samples 12 --seed 0 --shard-size 4 --image-size 64 --rig dactyl-200"
    words += " --workers 1 --out"
    process = subprocess.Popen(
        [sys.executable, "-m", "opendactyl.cli.main", *words.split(), str(out)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not list(out.glob(appearing)):
        time.sleep(0.01)
    return process


def test_sigterm_before_the_first_shard_leaves_no_folder_in_the_way(tmp_path):
    process = started(tmp_path / "data", "config.json")
    process.terminate()
    _, output = process.communicate()
    assert process.returncode == 130, output
    assert "Traceback" not in output and "leaked" not in output
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {".lock"}
    new_folder(tmp_path / "data")  # counts as empty


def test_ctrl_c_leaves_a_folder_that_resumes(dataset, tmp_path):
    out = tmp_path / "data"
    process = started(out, "shard-*.tar")
    os.killpg(process.pid, signal.SIGINT)
    _, output = process.communicate()
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "--resume" in output
    assert not (out / "manifest.json").exists()
    generate(config(out, resume=True))
    assert same_shards(out, dataset)
