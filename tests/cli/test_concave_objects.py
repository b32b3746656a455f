"""A cup from its mesh to a bundle that runs elsewhere: hollow, with stored convex pieces."""

import shutil
import sys

import mujoco
import numpy as np
import pytest
import trimesh

from opendactyl.control.bundle.load import load_pose_bundle
from opendactyl.core.atomic_files import read_json
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import scene_spec

pytestmark = pytest.mark.slow
PROFILE = np.array([[0, -25], [30, -25], [30, 25], [26, 25], [26, -21], [0, -21]], dtype=float)
"""Radius and height in millimetres: walls and bottom of 4 mm."""
CUP = 'shape = "mesh"\nfile = "meshes/cup.stl"\nunit = "mm"\nmass = 0.05\ncollision = "{}"\n'
BALL = 0.01
"""Its radius in metres."""


@pytest.fixture(scope="module")
def work(succeeds, tmp_path_factory):
    """Data, run and bundle of a cup whose own files are gone, and the identity that it had."""
    folder = tmp_path_factory.mktemp("cup")
    (folder / "mine/meshes").mkdir(parents=True)
    trimesh.creation.revolve(PROFILE, sections=12).export(folder / "mine/meshes/cup.stl")
    (folder / "mine/cup.toml").write_text(CUP.format("decomposition"))
    succeeds("object", "show", "mine/cup.toml", "--out", "cup.png", cwd=folder)
    identity = object_spec(str(folder / "mine/cup.toml")).identity
    for out, seed in (("train", 0), ("val", 1)):
        succeeds(
            "dataset", "--object", "mine/cup.toml", "--num-samples", 4, "--shard-size", 4,
            "--image-size", 64, "--workers", 1, "--seed", seed, "--out", out, cwd=folder,
        )  # fmt: skip
    shutil.move(folder / "mine", folder / "gone")
    succeeds(
        "train-vision", "--data", "train", "--val-data", "val", "--out", "vision", "--model",
        "dactyl", "--image-size", 64, "--batch-size", 4, "--max-epochs", 1, "--workers", 0,
        "--accelerator", "cpu", cwd=folder,
    )  # fmt: skip
    succeeds("export", "--vision", "vision", "--policy", "none", "--out", "bundle", cwd=folder)
    return folder, identity


def height_of_a_ball(cup):
    """Where a ball comes to rest that falls into a cup on a plane, above that plane."""
    spec = scene_spec(cup, visual=False)
    for body in [b for b in spec.bodies if b.parent == spec.worldbody and b.name != "object"]:
        spec.delete(body)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
    spec.body("object").pos, spec.body("object").quat = [0, 0, 0.0255], [1, 0, 0, 0]
    ball = spec.worldbody.add_body(name="ball", pos=[0.003, 0.0, 0.065])
    ball.add_freejoint()
    ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[BALL, 0, 0], mass=0.01)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, nstep=round(1.0 / model.opt.timestep))
    assert np.hypot(*data.body("ball").xpos[:2]) < 0.027
    np.testing.assert_allclose(data.body("object").xpos, [0, 0, 0.025], atol=0.001)
    return data.body("ball").xpos[2]


def test_a_ball_rests_in_the_cup_and_not_on_its_hull(work):
    folder, _ = work
    inside = height_of_a_ball(str(folder / "gone/cup.toml"))
    assert inside == pytest.approx(0.004 + BALL, abs=0.001)
    (folder / "gone/solid.toml").write_text(CUP.format("hull"))
    assert height_of_a_ball(str(folder / "gone/solid.toml")) > 0.05


def test_the_convex_pieces_are_identified_and_stored(work):
    folder, identity = work
    stored = [name for name in identity["files"] if name.endswith(".npz")]
    assert len(stored) == 1 and set(identity["files"]) == {"cup.toml", "cup.stl", *stored}
    assert "coacd" in identity["made_with"]
    config = read_json(folder / "train/manifest.json")["config"]
    assert config["object_identity"] == identity
    manifest = read_json(folder / "bundle/manifest.json")
    assert manifest["object"]["files"] == identity["files"]


def test_the_bundle_has_the_same_cup_on_another_path_without_coacd(work, monkeypatch, tmp_path):
    folder, identity = work
    shutil.copytree(folder / "bundle", tmp_path / "elsewhere")
    monkeypatch.setitem(sys.modules, "coacd", None)  # as if it were not installed
    bundle = load_pose_bundle(tmp_path / "elsewhere")
    cup = object_spec(str(tmp_path / "elsewhere/object/cup.toml"))
    assert bundle.object_name == "cup" and cup.identity == identity
    assert height_of_a_ball(cup.reference) == pytest.approx(0.004 + BALL, abs=0.001)
