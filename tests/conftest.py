"""Real parts, made once: a dataset, an estimator run, a policy run and a bundle, all tiny.

All of pytest-xdist's workers share them.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

# A shell that starts the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LP_NUM_THREADS", "0")

from opendactyl.render.opengl.backend import choose_backend

choose_backend()  # Before anything imports MuJoCo.

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.core.worker_process import can_start_workers
from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.generation import local_workers
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.train import train as train_policy
from opendactyl.sim.scene import Scene, load_scene
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.train import train as train_vision

torch.set_num_threads(1)

SAMPLES = 12


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Files that need the bundle come last: while one worker makes it, others run other files."""
    need = {item.path for item in items if "bundle" in item.fixturenames}
    items.sort(key=lambda item: item.path in need)


@pytest.fixture(scope="session")
def python_files() -> list[str]:
    """The repository's Python files, relative to its root."""
    root = Path(__file__).resolve().parents[1]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=root, capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    if not listed:  # an unpacked archive has no git
        listed = [p.relative_to(root).as_posix() for p in root.glob("[a-z]*/**/*.py")]
    return [name for name in listed if (root / name).exists()]


@pytest.fixture
def deny(monkeypatch: pytest.MonkeyPatch):
    """Within the context, access to files of one name fails with an errno."""

    @contextmanager
    def refuse(name: str, number: int) -> Iterator[None]:
        original = Path.stat

        def stat(path: Path, **options: bool) -> os.stat_result:
            if path.name == name:
                raise OSError(number, "refused")
            return original(path, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", stat)
            yield

    return refuse


@pytest.fixture
def content() -> Callable[[Path], dict[Path, tuple[int, bytes]]]:
    """Inode and content of each file in a folder."""

    def read(folder: Path) -> dict[Path, tuple[int, bytes]]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path: (path.stat().st_ino, path.read_bytes()) for path in files}

    return read


@pytest.fixture(scope="session", autouse=True)
def no_worker_processes() -> Iterator[None]:
    """Datasets are rendered by this process, as without shared memory: a worker takes a second.

    The fixture `worker_processes` brings them back.
    """
    with pytest.MonkeyPatch.context() as patch:
        yield patch.setattr(local_workers, "can_start_workers", lambda _: False)


@pytest.fixture
def worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets are rendered by worker processes, as by default outside of the tests."""
    monkeypatch.setattr(local_workers, "can_start_workers", can_start_workers)


@pytest.fixture(scope="session")
def scene() -> Scene:
    return load_scene()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "home"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture(scope="session")
def once() -> Callable[[Path, Callable[[Path], object]], Path]:
    """Makes a folder in the first worker that needs it; the others wait until it is complete."""

    def make_once(folder: Path, make: Callable[[Path], object]) -> Path:
        done = folder.with_suffix(".done")
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return make_once


LIBRARIES = ("numpy", "scipy.spatial", "tyro", "lightning", "torchvision", "onnxruntime")
"""What `python` has imported: neither MuJoCo nor OpenGL."""


@pytest.fixture(scope="session")
def fork_servers() -> Iterator[dict[tuple[str, ...], subprocess.Popen[str]]]:
    """The processes of `tests/fork_server.py`, by the libraries that they have imported."""
    servers: dict[tuple[str, ...], subprocess.Popen[str]] = {}
    yield servers
    for server in servers.values():
        server.communicate()


@pytest.fixture(scope="session")
def python(fork_servers) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `-m MODULE ...` or `-c CODE ...` in Python, without waiting for slow imports."""

    def run(
        *arguments: object,
        cwd: Path | None = None,
        libraries: tuple[str, ...] = LIBRARIES,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        if libraries not in fork_servers:
            fork_servers[libraries] = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("fork_server.py")), *libraries],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={k: v for k, v in os.environ.items() if not k.startswith("MUJOCO_GL")},
            )  # fmt: skip
        server = fork_servers[libraries]
        assert server.stdin is not None and server.stdout is not None
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            request = {
                "arguments": [str(argument) for argument in arguments],
                "cwd": str(cwd or Path.cwd()),
                "env": {"COLUMNS": "100", **os.environ} if env is None else env,
                "stdout": out.name,
                "stderr": err.name,
            }
            print(json.dumps(request), file=server.stdin, flush=True)
            answer = json.loads(server.stdout.readline())
            texts = (Path(file.name).read_text() for file in (out, err))
            return subprocess.CompletedProcess(arguments, answer["returncode"], *texts)

    return run


def _small(out: Path, seed: int) -> Path:
    settings = {"num_samples": SAMPLES, "shard_size": 4, "image_size": 64, "rig": "dactyl-200"}
    config = DatasetConfig(out=out, seed=seed, workers=1, **settings)
    return generate(config, write_card=write_card)


@pytest.fixture(scope="session")
def dataset(home: Path, once) -> Path:
    return once(home / "train", lambda out: _small(out, 0))


@pytest.fixture(scope="session")
def val_dataset(home: Path, once) -> Path:
    return once(home / "val", lambda out: _small(out, 1))


@pytest.fixture(scope="session")
def vision_run(home: Path, once, dataset: Path, val_dataset: Path) -> Path:
    def make(out: Path) -> Path:
        return train_vision(
            VisionConfig(
                data=(dataset,), val_data=val_dataset, out=out, image_size=64, batch_size=4,
                max_epochs=2, max_minutes=5, workers=0, accelerator="cpu", from_scratch=True,
            )
        )  # fmt: skip

    return once(home / "vision", make)


@pytest.fixture(scope="session")
def policy_run(home: Path, once) -> Path:
    def make(out: Path) -> Path:
        return train_policy(
            PolicyConfig(
                out=out, num_envs=8, horizon=4, minibatches=2, epochs=1, max_actions=640,
                eval_episodes=2,
            )
        )  # fmt: skip

    return once(home / "policy", make)


@pytest.fixture(scope="session")
def bundle(home: Path, once, vision_run: Path, policy_run: Path) -> Path:
    return once(
        home / "bundle",
        lambda out: export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=out)),
    )


@pytest.fixture(scope="session")
def object_folder(home: Path, once) -> Path:
    """Objects of users: meshes with and without textures, one of them not convex, a cylinder with a
    letter, a body of revolution, and a box with a lid."""
    return once(
        home / "objects",
        lambda folder: shutil.copytree(Path(__file__).with_name("objects"), folder),
    )
