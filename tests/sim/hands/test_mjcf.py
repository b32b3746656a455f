"""The model of a hand as a file of its own."""

import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from PIL import Image

from opendactyl.core.errors import InputError
from opendactyl.sim.hands.mjcf import portable_model, write_mjcf
from opendactyl.sim.hands.model import hand_model, set_options
from opendactyl.sim.hands.shipped import hand_spec

HANDS = Path(__file__).parents[2] / "hands"
FIELDS = (
    "body_mass", "body_inertia", "body_pos", "dof_damping", "dof_armature", "dof_frictionloss",
    "actuator_gainprm", "actuator_biasprm", "jnt_range", "mesh_vert", "eq_data",
)  # fmt: skip


@pytest.fixture
def claw_with_mesh(tmp_path):
    """A hand with a pose of its own, whose mesh is in another folder."""
    (tmp_path / "parts").mkdir()
    trimesh.creation.box((0.01, 0.02, 0.03)).export(tmp_path / "parts/shell.stl")
    text = (HANDS / "claw.xml").read_text()
    shell = '<geom type="mesh" mesh="shell" contype="0" conaffinity="0"/>'
    assets = '<compiler meshdir="parts"/><asset><mesh name="shell" file="shell.stl"/></asset>'
    text = text.replace("<worldbody>", f"{assets}<worldbody>")
    text = text.replace('<geom name="c_plate"', f'{shell}<geom name="c_plate"')
    (tmp_path / "claw.xml").write_text(text)
    return str(shutil.copy(HANDS / "claw.toml", tmp_path))


def check(hand, folder):
    write_mjcf(hand, folder / "hand.xml")
    moved = folder.rename(folder.parent / "elsewhere")
    written = mujoco.MjModel.from_xml_path(str(moved / "hand.xml"))
    spec = hand_model(hand)
    set_options(spec)
    expected = spec.compile()
    for name in FIELDS:
        np.testing.assert_allclose(getattr(written, name), getattr(expected, name), atol=1e-6)
    for number in range(expected.nbody):
        assert written.body(number).name == expected.body(number).name.removeprefix("mount/")
    assert written.opt.timestep == expected.opt.timestep == 0.008
    assert written.opt.integrator == expected.opt.integrator
    assert written.opt.disableflags == expected.opt.disableflags


def test_the_file_and_its_meshes_are_the_simulated_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(hand_spec("shadow"), Path("written"))
    assert len(list(Path("elsewhere/meshes").iterdir())) == 12


def test_meshes_of_a_hand_with_a_pose_are_copied(claw_with_mesh, tmp_path):
    check(hand_spec(claw_with_mesh), tmp_path / "written")
    assert [p.name for p in (tmp_path / "elsewhere/meshes").iterdir()] == ["00-shell.stl"]


def test_a_hand_from_a_urdf_with_joints_that_follow_is_written(tmp_path):
    shutil.copy(HANDS / "gripper.urdf", tmp_path)
    check(hand_spec(str(shutil.copy(HANDS / "gripper.toml", tmp_path))), tmp_path / "written")


def test_height_fields_are_copied(tmp_path):
    """A hand on uneven ground."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "ground.png")
    text = (HANDS / "claw.xml").read_text()
    field = '<asset><hfield name="ground" file="ground.png" size="0.1 0.1 0.01 0.01"/></asset>'
    text = text.replace("<worldbody>", f"{field}<worldbody>")
    text = text.replace("<light", '<geom type="hfield" hfield="ground" pos="0 0 -0.3"/><light')
    (tmp_path / "claw.xml").write_text(text)
    check(hand_spec(str(shutil.copy(HANDS / "claw.toml", tmp_path))), tmp_path / "written")


def test_a_visual_mesh_that_cannot_be_compiled_is_known_before(claw_with_mesh, tmp_path):
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 3, 2]])
    flat.export(tmp_path / "parts/shell.stl")
    with pytest.raises(InputError, match="MuJoCo cannot compile"):
        portable_model(hand_spec(claw_with_mesh))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*hand\.xml"):
        write_mjcf(hand_spec("shadow"), tmp_path / "file" / "hand.xml")
