"""Real parts, made once: a dataset, an estimator run, a policy run and a bundle, all tiny.

All of pytest-xdist's workers share them.
"""

import fcntl
import json
import os
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

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.train import train as train_policy
from opendactyl.sim.scene import Scene, load_scene
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.train import train as train_vision

torch.set_num_threads(1)

SAMPLES = 12


@pytest.fixture(scope="session")
def python_files() -> list[str]:
    """The repository's Python files, relative to its root."""
    root = Path(__file__).resolve().parent.parent
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


@pytest.fixture(scope="session")
def scene() -> Scene:
    return load_scene()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    (base / "home").mkdir(exist_ok=True)
    return base / "home"


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
    return generate(
        DatasetConfig(
            out=out, num_samples=SAMPLES, seed=seed, shard_size=4, image_size=64, workers=1
        ),
        write_card=write_card,
    )


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
                data=(dataset,),
                val_data=val_dataset,
                out=out,
                image_size=64,
                batch_size=4,
                max_epochs=2,
                max_minutes=5,
                workers=0,
                accelerator="cpu",
            )
        )

    return once(home / "vision", make)


@pytest.fixture(scope="session")
def policy_run(home: Path, once) -> Path:
    def make(out: Path) -> Path:
        return train_policy(
            PolicyConfig(
                out=out,
                num_envs=8,
                horizon=4,
                minibatches=2,
                epochs=1,
                max_actions=640,
                eval_episodes=2,
            )
        )

    return once(home / "policy", make)


@pytest.fixture(scope="session")
def bundle(home: Path, once, vision_run: Path, policy_run: Path) -> Path:
    return once(
        home / "bundle",
        lambda out: export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=out)),
    )


OBJECT_FILES = {
    "crate": 'shape = "mesh"\nfile = "crate.obj"\nunit = "mm"\nmass = 0.08\n',
    "egg": 'shape = "mesh"\nfile = "egg.ply"\ndensity = 500\n',
    "tool": 'shape = "mesh"\nfile = "tool.glb"\nmass = 0.05\n',
    "bracket": 'shape = "mesh"\nfile = "bracket.stl"\nunit = "mm"\nmass = 0.06\n'
    'collision = "decomposition"\nrgb = [0.2, 0.4, 0.8]\n',
    "can": 'shape = "cylinder"\ndiameter = 50\nlength = 70\nunit = "mm"\nmass = 0.08\n'
    '[[face]]\nside = "side"\ntexture = "quarters.png"\n'
    '[[face]]\nside = "+z"\nletter = "F"\nrgb = [0.1, 0.2, 0.6]\n',
    "rod": 'shape = "cylinder"\ndiameter = 0.05\nlength = 0.06\ndensity = 500\nfriction = 0.8\n'
    "[symmetry]\naxis = [0, 0, 1]\nrotations = [{axis = [1, 0, 0], degrees = 180}]\n",
    "chest": 'shape = "box"\nunit = "mm"\nsize = [60, 40, 30]\nmass = 0.06\nrgb = [0.5, 0.3, 0.1]\n'
    '[[part]]\nname = "lid"\nposition = [0, 0, 20]\nshape = "box"\nsize = [60, 40, 10]\n'
    "mass = 0.02\nrgb = [0.1, 0.3, 0.6]\n"
    "[part.hinge]\naxis = [-2, 0, 0]\nanchor = [0, 20, 15]\nlimits = [-5, 110]\nrest = 10\n",
}
"""Objects of users: a textured OBJ, a PLY with vertex colours, a GLB of two materials, an STL that
is not convex, a cylinder with a picture and a letter, a body of revolution, a box with a lid."""


@pytest.fixture(scope="session")
def object_folder(home: Path, once) -> Path:
    """A folder with the files of `OBJECT_FILES`."""
    return once(home / "objects", _write_objects)


def _write_objects(folder: Path) -> None:
    folder.mkdir()
    for name, text in OBJECT_FILES.items():
        (folder / f"{name}.toml").write_text(text)
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :32], pixels[:32, 32:] = (220, 30, 30), (30, 200, 30)
    pixels[32:, :32], pixels[32:, 32:] = (30, 30, 220), (230, 220, 30)
    Image.fromarray(pixels).save(folder / "quarters.png")
    (folder / "crate.mtl").write_text("newmtl m\nKd 1 1 1\nmap_Kd quarters.png\n")
    lines, half = ["mtllib crate.mtl", "usemtl m"], np.array([25.0, 30.0, 35.0])
    for number in range(6):
        normal = np.eye(3)[number % 3] * (1 if number < 3 else -1)
        up = np.eye(3)[(number + 2) % 3]
        right = np.cross(up, normal)
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            point = (normal + x * right + y * up) * half
            lines += ["v {} {} {}".format(*point), f"vt {(x + 1) / 2} {(y + 1) / 2}"]
        corners = [f"{4 * number + i}/{4 * number + i}" for i in (1, 2, 3, 4)]
        lines.append("f " + " ".join(corners))
    (folder / "crate.obj").write_text("\n".join(lines) + "\n")
    egg = trimesh.creation.icosphere(subdivisions=2, radius=0.03)
    egg.apply_scale([1, 0.8, 1.2])
    egg.visual.vertex_colors = [[255 * (z > 0), 0, 255 * (z <= 0), 255] for z in egg.vertices[:, 2]]
    egg.export(folder / "egg.ply")
    scene = trimesh.Scene()
    for name, rgba, size in (("red", [200, 30, 30, 255], (0.03, 0.05, 0.06)),
                             ("green", [30, 200, 30, 255], (0.02, 0.02, 0.08))):  # fmt: skip
        mesh = trimesh.creation.box(extents=size)
        material = trimesh.visual.material.PBRMaterial(baseColorFactor=rgba, name=name)
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(mesh)
    scene.export(folder / "tool.glb")
    outline = np.array([[0, 0], [60, 0], [60, 20], [20, 20], [20, 60], [0, 60]]) - 20.0
    levels = [np.column_stack([outline, np.full(6, z)]) for z in (-15.0, 15.0)]
    caps = [(0, i, i + 1) for i in range(1, 5)]
    faces = [c[::-1] for c in caps] + [tuple(i + 6 for i in c) for c in caps]
    for i in range(6):
        j = (i + 1) % 6
        faces += [(i, j, j + 6), (i, j + 6, i + 6)]
    trimesh.Trimesh(np.concatenate(levels), faces).export(folder / "bracket.stl")
