"""The distribution: what a wheel built from the checkout holds."""

import json
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.imitation.demonstrate import rendered_frames
from opendactyl.geometry.rotation import geodesic_angle
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ("spin", "face-up", "reorient")
ABSENT = ("torch", "mujoco", "scipy", "lightning", "av", "tqdm")
"""Packages that the extras need, not the base install."""
COMMAND = "from opendactyl.cli.main import main; main()"
LOOP = """
import sys
from pathlib import Path
import numpy as np
import opendactyl.pretrained
from opendactyl.control import (
    HandReading, RecordedCameras, RobotLoop, TaskGoals, VisionPose, load_bundle
)

class Hand:
    def read(self):
        return HandReading(np.zeros(24), np.zeros((5, 3)))
    def command(self, targets):
        assert targets.shape == (20,)

bundle = load_bundle(Path(opendactyl.pretrained.__file__).parent / "spin")
source = VisionPose(bundle, RecordedCameras(sys.argv[1], bundle.raw_rig), raw=True)
loop = RobotLoop(bundle, Hand(), source, TaskGoals(bundle.task), sleep=lambda _: None)
states = [status.state for status in loop.run()]
source.close()
print(len(states), len(loop.telemetry.faults), opendactyl.pretrained.__file__)
"""


def copy_of_the_checkout(target):
    """The files that are or could be under version control, links as links."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with an sdist of the checkout and the wheel built from it, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_of_the_checkout(folder / "source")
    if not source.exists():
        pytest.skip("this is no git checkout")
    command = [sys.executable, "-P", "-m", "build", "--no-isolation", "-o", str(folder / "dist")]
    subprocess.run([*command, str(source)], check=True, stdout=subprocess.DEVNULL)
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def bare(built, tmp_path_factory):
    """The command line of a Python that finds the unpacked wheel and its requirements alone."""
    folder = tmp_path_factory.mktemp("bare")
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    for name in requirements("opendactyl"):
        for entry in {file.parts[0] for file in metadata.files(name) or ()} - {".."}:
            if not (folder / entry).exists():
                (folder / entry).symlink_to(metadata.distribution(name).locate_file(entry))
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); exec(sys.argv.pop(1))"
    return [sys.executable, "-I", "-S", "-c", start, str(folder)]


def requirements(name):
    """The distributions that one needs without its extras, and those that these need."""
    found, todo = set(), [name]
    while todo:
        for line in metadata.requires(todo.pop()) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                todo += {needed.name} - found
                found.add(needed.name)
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, scene):
    """A folder of pictures of each camera, at the size of real frames, and the object's poses."""
    folder, bundle = tmp_path_factory.mktemp("recorded"), load_bundle(ROOT / "pretrained/spin")
    rng = np.random.default_rng(3)
    states = [settled_state(scene, rng) for _ in range(3)]
    look = sample_appearance(rng, PRESETS["calibrated"], views=3, obj=object_spec("block"))
    for number, views in enumerate(rendered_frames(bundle, states, look)):
        for name, view in zip(bundle.rig.names, views, strict=True):
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(view).save(folder / name / f"{number:04d}.png")
    return folder, states


def test_equal_files_are_links_in_the_checkout():
    files = [path for task in BUNDLES for path in (ROOT / "pretrained" / task).glob("*.onnx")]
    assert len(files) == 7
    stored = [path.read_bytes() for path in files if not path.is_symlink()]
    assert len(set(stored)) == len(stored) == len({path.read_bytes() for path in files})


def test_the_wheel_holds_real_files_in_place_of_links(wheel):
    for task in BUNDLES:
        for name in ("pose.onnx", "policy.onnx", "manifest.json", "README.md"):
            entry = wheel.getinfo(f"opendactyl/pretrained/{task}/{name}")
            assert not stat.S_ISLNK(entry.external_attr >> 16)
            assert wheel.read(entry) == (ROOT / "pretrained" / task / name).read_bytes()


def test_the_wheel_holds_code_and_data_of_the_package_alone(wheel):
    names = wheel.namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"opendactyl"}
    stored = ("pose.onnx", "LICENSE", "scene/trifinger.toml", "object/cube.toml")
    bundle = [f"pretrained/trifinger/{name}" for name in stored]
    for name in ("vision/py.typed", "configs/rigs/dactyl.toml", *bundle):
        assert f"opendactyl/{name}" in names
    assert not [name for name in names if "/tests/" in name]


def test_the_wheel_is_built_from_the_files_of_the_sdist(built, wheel):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2]: name for name in archive.getnames()}
        code = {n.removeprefix("opendactyl/") for n in wheel.namelist() if "dist-info" not in n}
        assert code <= packed.keys()
        assert {"README.md", "LICENSE", "pyproject.toml"} <= packed.keys()
        weights = archive.getmember(packed["pretrained/spin/pose.onnx"])
        assert weights.isfile() and weights.size > 10**6


def check_run_time(run, recorded, folder):
    """Estimates poses and runs the loop on recorded frames, with the bundle that ships."""
    frames, states = recorded
    run(COMMAND, "estimate", "--images", str(frames), "--out", "out")
    poses = json.loads((folder / "out/poses.json").read_text())["poses"]
    assert len(poses) == len(states)
    for pose, state in zip(poses, states, strict=True):
        assert np.rad2deg(geodesic_angle(pose["quaternion"], state.quaternion)) < 5
        np.testing.assert_allclose(pose["position"], state.position, atol=5e-3)
    count, faults, where = run(LOOP, str(frames)).split()
    assert (count, faults) == ("3", "0")
    assert ROOT not in Path(where).parents


def test_the_run_time_needs_the_declared_requirements_alone(bare, recorded, tmp_path):
    def run(code, *arguments):
        done = subprocess.run(
            [*bare, code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    search = f"from importlib.util import find_spec; print([n for n in {ABSENT} if find_spec(n)])"
    assert run(search).strip() == "[]"
    check_run_time(run, recorded, tmp_path)


@pytest.mark.slow
def test_the_wheel_runs_after_pip_install(built, recorded, tmp_path):
    """In a new virtual environment, with requirements from the package index."""
    environment, (path,) = tmp_path / "venv", built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", str(path)], cwd=tmp_path, check=True)

    def run(code, *arguments):
        command = (
            [environment / "bin/opendactyl"] if code == COMMAND else [python, "-I", "-c", code]
        )
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    installed = subprocess.check_output([python, "-m", "pip", "list"], cwd=tmp_path, text=True)
    assert not [line for line in installed.splitlines() if line.split()[0] in ABSENT]
    assert "opendactyl" in run(COMMAND, "--help")
    check_run_time(run, recorded, tmp_path)
