"""The distribution: what a wheel built from the checkout holds."""

import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ("spin", "face-up", "reorient")


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
def wheel(tmp_path_factory):
    """A wheel of the checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_of_the_checkout(folder / "source")
    if not source.exists():
        pytest.skip("this is no git checkout")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_equal_files_are_links_in_the_checkout():
    files = [path for task in BUNDLES for path in (ROOT / "pretrained" / task).glob("*.onnx")]
    assert len(files) == 6
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
    for name in ("vision/py.typed", "configs/rigs/dactyl.toml"):
        assert f"opendactyl/{name}" in names
    assert not [name for name in names if "/tests/" in name]
