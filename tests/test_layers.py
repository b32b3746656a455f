"""The rooms' arrows point downwards, and what must run without a part never imports it."""

import ast
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BELOW_VISION = {"core", "geometry", "models", "sim", "render", "datasets"}
BELOW_CLI = BELOW_VISION | {"vision", "policy", "control"}
MAY_IMPORT = {
    "core": set(),
    "configs": set(),
    "pretrained": set(),
    "geometry": {"core"},
    "models": {"core", "geometry"},
    "sim": {"core", "geometry"},
    "render": {"core", "geometry", "sim"},
    "datasets": {"core", "geometry", "sim", "render"},
    "vision": {"core", "geometry", "models", "datasets"},
    "policy": {"core", "geometry", "models", "sim"},
    "control": BELOW_VISION | {"vision", "policy"},
    "benchmarks": BELOW_CLI,
    "cli": BELOW_CLI | {"benchmarks"},
}
LEVELS = {
    "geometry": [
        ("rotation", "torch_ops", "static_landmarks"),
        ("transforms", "symmetry", "distortion", "articulation"), ("camera",),
        ("rig", "drawing", "undistortion"), ("working_volume",), ("camera_faults",),
        ("rig_drawing",), ("rig_import",)],
    "geometry/rig_import": [
        ("calibration",), ("documents",), ("bop", "colmap", "kalibr", "opencv", "plain", "ros"),
        ("formats", "convert", "rig_toml")],
    "sim": [("assets", "couplings", "timing"), ("hands", "objects"),
            ("scenery", "state", "object_geoms"), ("scene",), ("initial_states", "scene_states")],
    "render": [("appearance", "meshes"), ("base", "room", "volume"), ("scene",),
               ("opengl", "filament"),
               ("factory", "hand_picture", "object_picture", "scene_picture"), ("episode_views",)],
    "models": [("choices", "supervised_step"), ("accelerator", "allocator", "onnx_file",
               "precision", "weights"), ("pose", "policy", "imitation")],
    "models/pose": [
        ("linalg", "blocks", "priors", "hinges"), ("observations",), ("outputs",),
        ("heads", "refinement", "detector"), ("close_up",), ("networks",), ("registry",)],
    "models/pose/networks": [("landmark", "keypoint", "dactyl", "resnet"), ("two_stage",)],
    "datasets": [("format", "foreign"), ("loading", "generation"), ("export",)],
    "vision": [("raw_frames",), ("measures", "estimator"), ("training",), ("evaluation",),
               ("export", "quantize")],
    "policy": [
        ("interface",), ("randomization",), ("env",), ("collection", "calibration"), ("training",),
        ("msat",), ("loading",), ("export",), ("probe", "imitation")],
    "policy/calibration": [
        ("log", "parameters"), ("commands",), ("motion",), ("simulation", "windows"),
        ("prediction", "plan"), ("problem", "search"), ("fit",), ("intervals",), ("calibrate",),
        ("results",)],
    "control": [("bundle",), ("runtime",), ("recordings",), ("evaluation", "estimation"),
                ("packaging", "viewer"), ("imitation",)],
    "benchmarks": [("machine", "measure"), ("support", "peers"), ("suites", "studies"),
                   ("curves",), ("report",)],
    "cli": [("bundles", "options", "show", "verb_list"), ("verbs",), ("main",)],
}  # fmt: skip
"""From the ground up: a sub-package or module imports from lower levels of its folder only."""
GRAPHICS = ("mujoco", "OpenGL", "glfw", "gymnasium", "gymnasium_robotics")


def imports(source):
    """(level, dotted name) of every import statement, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "." * node.level]
            if node.module == "opendactyl":
                names = [f"opendactyl.{alias.name}" for alias in node.names]
            found += [(node.level, name) for name in names]
    return found


def faults(room, source):
    """What is wrong with the imports of a file: upward, bare or relative."""
    wrong = []
    for level, name in imports(source):
        first, _, rest = name.partition(".")
        if level:
            wrong.append(f"relative import of {name}")
        elif first in MAY_IMPORT:
            wrong.append(f"bare import of {name}; write opendactyl.{name}")
        elif first == "opendactyl" and room in MAY_IMPORT:
            target = rest.split(".")[0]
            if target != room and target not in MAY_IMPORT[room]:
                wrong.append(f"{room} must not import {name}")
    return wrong


def level_of(folder, part):
    return next((i for i, level in enumerate(LEVELS[folder]) if part in level), None)


def faults_inside(name, source):
    """What is wrong with a file's imports from the folders that hold it: upward, or across."""
    path = name.removesuffix(".py").split("/")
    folders = {depth: "/".join(path[:depth]) for depth in range(1, len(path))}
    wrong = []
    for depth, folder in folders.items():
        for _, target in imports(source) if folder in LEVELS else ():
            part, names = path[depth], target.split(".")[1:]
            if names[:depth] != path[:depth] or len(names) == depth or names[depth] == part:
                continue
            if level_of(folder, names[depth]) is None:
                wrong.append(f"{names[depth]} has no level in {folder}")
            elif level_of(folder, part) is None:
                wrong.append(f"{part} has no level in {folder}")
            elif level_of(folder, names[depth]) >= level_of(folder, part):
                wrong.append(f"{folder}/{part} must not import {target}")
    return wrong


def rooms():
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def packages():
    """Dotted names of the rooms and their sub-packages."""
    found = [path.parent.relative_to(ROOT) for path in ROOT.glob("[a-z]*/**/__init__.py")]
    return {".".join(folder.parts) for folder in found if folder.parts[0] in MAY_IMPORT}


def test_no_import_points_upwards(python_files):
    names = python_files
    assert len(names) > 100
    wrong = {
        name: found
        for name in names
        if (found := faults(name.split("/")[0], (ROOT / name).read_text(encoding="utf-8")))
    }
    assert not wrong


def test_no_import_inside_a_room_points_upwards(python_files):
    names = [n for n in python_files if n.split("/")[0] in LEVELS and n.count("/") > 0]
    wrong = {
        name: found
        for name in names
        if not name.endswith("__init__.py")
        and (found := faults_inside(name, (ROOT / name).read_text(encoding="utf-8")))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("control/runtime/goals.py", "from opendactyl.control.viewer.app import x", "must not"),
        ("control/viewer/app.py", "from opendactyl.control.packaging.build import x", "must not"),
        ("render/base.py", "def f():\n    from opendactyl.render.factory import x", "must not"),
        ("policy/env/env.py", "from opendactyl.policy.novelty import x", "no level"),
        ("policy/env/env.py", "from opendactyl.policy.env.reward import x", None),
        ("policy/training/ppo.py", "from opendactyl.policy.env.reward import x", None),
        ("models/pose/blocks.py", "from opendactyl.models.pose.heads import x", "must not"),
        (
            "models/pose/networks/dactyl.py",
            "from opendactyl.models.pose.registry import x",
            "must not",
        ),
        ("models/pose/heads.py", "from opendactyl.models.pose.novelty import x", "no level"),
        ("models/pose/heads.py", "from opendactyl.models.pose.outputs import x", None),
    ],
)
def test_faults_inside_a_room_are_found(name, source, fault):
    found = faults_inside(name, source)
    assert (found == []) if fault is None else (fault in found[0])


def test_every_part_of_a_folder_has_a_level():
    for folder, levels in LEVELS.items():
        modules = [
            path.stem
            for path in (ROOT / folder).iterdir()
            if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
        ]
        assert sorted(modules) == sorted(part for level in levels for part in level), folder


def test_no_files_import_each_other_in_a_circle(python_files):
    modules = {
        "opendactyl." + name.removesuffix(".py").replace("/", "."): name
        for name in python_files
        if name.split("/")[0] in MAY_IMPORT
    }
    graph = {
        module: {
            target
            for _, target in imports((ROOT / name).read_text(encoding="utf-8"))
            if target in modules and target != module
        }
        for module, name in modules.items()
    }
    assert sum(map(len, graph.values())) > 300
    list(TopologicalSorter(graph).static_order())  # raises a CycleError that names the circle


@pytest.mark.parametrize(
    ("room", "source", "fault"),
    [
        (
            "sim",
            "def f():\n    from opendactyl.render.base import x",
            "sim must not import",
        ),
        ("policy", "import opendactyl.vision.training.train as t", "policy must not import"),
        ("vision", "from opendactyl import policy", "vision must not import"),
        ("control", "import opendactyl.cli.main", "control must not import"),
        ("geometry", "from . import rig", "relative import"),
        ("tests", "from .conftest import home", "relative import"),
        ("tests", "from datasets.label import Label", "bare import"),
        ("sim", "from opendactyl.geometry.rig import Rig\nimport mujoco", None),
        ("tests", "from opendactyl.cli.main import main", None),
    ],
)
def test_faults_are_found(room, source, fault):
    found = faults(room, source)
    assert (found == []) if fault is None else (fault in found[0])


def test_the_table_and_the_distribution_name_every_room():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = settings["packages"]
    assert sorted(listed) == sorted(f"opendactyl.{package}" for package in packages())
    assert len(set(listed)) == len(listed)
    assert rooms() == set(MAY_IMPORT)
    untyped = [room for room in rooms() if not (ROOT / room / "py.typed").exists()]
    assert not untyped


def test_vision_trains_without_mujoco_and_gl(python, dataset, val_dataset, tmp_path):
    code = f"""
import sys
for name in {GRAPHICS!r}:
    sys.modules[name] = None
from opendactyl.cli.main import main
main(["train-vision", "--data", {str(dataset)!r}, "--val-data", {str(val_dataset)!r},
      "--out", {str(tmp_path / "run")!r}, "--image-size", "64", "--batch-size", "4",
      "--max-epochs", "1", "--workers", "0", "--accelerator", "cpu"])
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/report/metrics.json").exists()
