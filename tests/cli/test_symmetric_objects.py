"""The commands for symmetric objects: a body of revolution, and a box with eight rotations."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from opendactyl.core.atomic_files import read_json
from opendactyl.datasets.format.manifest import iterate_samples
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.sim.objects.shipped import object_spec

pytestmark = pytest.mark.slow
BOX = """shape = "box"
size = [50, 50, 65]
unit = "mm"
mass = 0.08
[symmetry]
rotations = [{ axis = [0, 0, 1], degrees = 90 }, { axis = [1, 0, 0], degrees = 180 }]
"""
LARGEST = {"rod": 90.0, "box": np.rad2deg(2 * np.arccos(np.cos(np.pi / 8) / np.sqrt(2)))}
"""The largest errors: of an axis without direction, and modulo eight rotations, whose quaternions
lie 45° apart in two circles that are orthogonal to each other."""
MODELS = {"rod": "keypoint", "box": "dactyl"}


@pytest.fixture(scope="module", params=["rod", "box"])
def work(request, object_folder, succeeds, tmp_path_factory):
    """The object's name, and a folder with data, an estimator's run and its pose-only bundle."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    if name == "rod":
        shutil.copyfile(object_folder / "rod.toml", folder / "rod.toml")
    else:
        (folder / "box.toml").write_text(BOX)
    for out, seed in (("train", 0), ("val", 1)):
        succeeds(
            "dataset", "--object", f"{name}.toml", "--num-samples", 6, "--shard-size", 3,
            "--image-size", 64, "--workers", 1, "--states", "random", "--seed", seed, "--out", out,
            "--rig", "dactyl-200", cwd=folder,
        )  # fmt: skip
    succeeds(
        "train-vision", "--data", "train", "--val-data", "val", "--out", "vision", "--model",
        MODELS[name], "--image-size", 64, "--batch-size", 3, "--max-epochs", 1, "--workers", 0,
        "--accelerator", "cpu", cwd=folder,
    )  # fmt: skip
    succeeds("export", "--vision", "vision", "--policy", "none", "--out", "bundle", cwd=folder)
    return name, folder


def group_of(name, folder):
    return object_spec(str(folder / f"{name}.toml")).symmetry


def test_errors_are_those_to_the_nearest_equivalent(work, succeeds):
    name, folder = work
    succeeds("eval-vision", "--model", "bundle", "--data", "val", "--out", "eval", cwd=folder)
    metrics = read_json(folder / "eval/metrics.json")
    assert metrics["n"] == 6
    assert 0 < metrics["rotation_error_deg"]["max"] <= LARGEST[name] + 0.01
    group = group_of(name, folder)
    for path in (folder / "train", folder / "bundle"):
        stated = read_json(path / "manifest.json")
        symmetry = SymmetryGroup.from_dict(stated["symmetry"])
        np.testing.assert_allclose(symmetry.rotations, group.rotations)
        assert (symmetry.axis is None) == (group.axis is None)


def test_a_pose_is_estimated(work, succeeds):
    _, work = work
    sample = next(iterate_samples(work / "val"))
    (work / "frames").mkdir()
    for camera, image in zip(load_rig("dactyl-200").names, sample.images, strict=True):
        Image.fromarray(image).save(work / "frames" / f"{camera}.png")
    succeeds("estimate", "--bundle", "bundle", "--images", "frames", "--out", "poses", cwd=work)
    (pose,) = json.loads((work / "poses/poses.json").read_text())["poses"]
    assert np.linalg.norm(pose["quaternion"]) == pytest.approx(1.0, abs=1e-4)
    with Image.open(work / "poses/overlay.png") as overlay:
        assert overlay.size[1] == 64


def test_goals_respect_the_symmetry(work, succeeds, refused, fails):
    """A cylinder has no yaw; a box that looks the same every 90° has goals of up to 45°."""
    name, work = work
    toy = ("--num-envs", 4, "--horizon", 4, "--minibatches", 2, "--epochs", 1, "--eval-episodes", 1,
           "--max-actions", 64, "--object", work / f"{name}.toml")  # fmt: skip
    task = "spin" if name == "box" else "reorient"
    if name == "rod":
        message = refused("train-policy", "--task", "spin", *toy)
        assert "task spin has no goal for the object rod" in message
        assert "choose --task face-up or reorient" in message
    succeeds("train-policy", "--task", task, "--out", "policy", *toy, cwd=work)
    succeeds("export", "--vision", "bundle", "--policy", "policy", "--out", "both", cwd=work)
    loop = ("evaluate", "--bundle", work / "both", "--episodes", 1, "--seconds-per-goal", 0.4)
    succeeds(*loop, "--out", work / "loop", "--pose", "vision", cwd=work)
    assert read_json(work / "loop/results.json")["n"] == 1
    if name == "rod":
        status, error = fails(*loop, "--task", "spin", "--out", "spin")
        assert status == 2 and error.splitlines()[-1].startswith("opendactyl: task spin has no go")
