"""The public names: what docs/api.md lists is what the packages export, and its examples run."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from opendactyl.geometry.rotation import yaw_quat

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `opendactyl\.(\w+)`\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
BLOCK = re.compile(r"(<!-- slow -->\n)?```python\n(.*?)```", re.S)
BLOCKED = (
    "torch", "torchvision", "torchrl", "tensordict", "lightning", "mujoco", "ray", "gymnasium",
    "scipy", "matplotlib", "albumentations", "tqdm", "viser", "av", "imageio",
)  # fmt: skip


def exported(package):
    """The names in a package's stub."""
    tree = ast.parse((ROOT / package / "__init__.pyi").read_text(encoding="utf-8"))
    return [alias.name for node in tree.body for alias in node.names]


def used(package):
    """The public names of a package that its section imports, and uses apart from that."""
    found = set()
    for _, code in BLOCK.findall(SECTIONS[package]):
        tree = ast.parse(code)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == f"opendactyl.{package}":
                found |= {alias.name for alias in node.names} & names
    return found


def test_every_package_with_public_names_has_a_section():
    assert set(SECTIONS) == {path.parent.name for path in ROOT.glob("*/__init__.pyi")}


@pytest.mark.parametrize("package", SECTIONS)
def test_the_section_has_an_example_of_every_public_name(package):
    assert used(package) == set(exported(package))


@pytest.mark.parametrize("package", SECTIONS)
def test_public_names_are_importable(package):
    module = importlib.import_module(f"opendactyl.{package}")
    assert sorted(module.__all__) == sorted(exported(package))
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


@pytest.fixture
def home_of_a_user(tmp_path, monkeypatch, dataset, val_dataset, vision_run, policy_run, bundle):
    """A folder as the commands of the README leave it, at toy size."""
    made = {
        "data/train": dataset, "data/val": val_dataset, "runs/vision": vision_run,
        "runs/policy-spin": policy_run, "exports/bundle": bundle,
        "pretrained/reorient": ROOT / "pretrained" / "reorient",
    }  # fmt: skip
    for name, folder in made.items():
        shutil.copytree(folder, tmp_path / name)
    (tmp_path / "runs/demonstration").mkdir()
    quarter = np.append(np.linspace(0, np.pi / 2, 25), np.full(25, np.pi / 2))
    rows = [f"{i},{0.08 * i},{','.join(map(str, q))}" for i, q in enumerate(yaw_quat(quarter))]
    header = "frame,seconds," + ",".join(f"quaternion_{axis}" for axis in "wxyz")
    (tmp_path / "runs/demonstration/poses.csv").write_text("\n".join([header, *rows]))
    monkeypatch.chdir(tmp_path)


CASES = [
    pytest.param(package, number, marks=[pytest.mark.slow] if slow else [])
    for package, section in SECTIONS.items()
    for number, (slow, _) in enumerate(BLOCK.findall(section))
]


@pytest.mark.usefixtures("home_of_a_user")
@pytest.mark.parametrize(("package", "number"), CASES)
def test_the_examples_run(package, number):
    _, code = BLOCK.findall(SECTIONS[package])[number]
    exec(compile(code, f"docs/api.md, {package}, block {number}", "exec"), {"__name__": "example"})


def test_the_run_time_half_needs_numpy_and_onnxruntime_alone(bundle):
    _, code = BLOCK.findall(SECTIONS["control"])[0]
    names = sorted({alias.name for node in ast.walk(ast.parse(code))
                    if isinstance(node, ast.ImportFrom) and node.module == "opendactyl.control"
                    for alias in node.names})  # fmt: skip
    program = f"""
import importlib, pkgutil, sys
for name in {BLOCKED!r}:
    sys.modules[name] = None
from opendactyl.control import {", ".join(names)}
from opendactyl.core import EnvironmentFailure, InputError
from opendactyl.geometry import load_rig
from opendactyl.vision import Pose, PoseEstimator
for package in (
    "control.bundle", "control.runtime", "control.recordings", "control.estimation",
    "policy.interface", "core",
):
    folder = importlib.import_module("opendactyl." + package)
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"opendactyl.{{package}}.{{module.name}}")
print(load_bundle({str(bundle)!r}).task)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "spin"
