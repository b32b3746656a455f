"""The model of a hand as a file of its own."""

import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from opendactyl.core.errors import InputError
from opendactyl.sim.hands.mjcf import write_mjcf
from opendactyl.sim.hands.model import hand_model
from opendactyl.sim.hands.shipped import hand_spec

HANDS = Path(__file__).parents[2] / "hands"
FIELDS = ("body_mass", "body_pos", "dof_damping", "actuator_gainprm", "jnt_range", "mesh_vert")


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
    expected = hand_model(hand).compile()
    for name in FIELDS:
        np.testing.assert_allclose(getattr(written, name), getattr(expected, name), atol=1e-6)
    for number in range(expected.nbody):
        assert written.body(number).name == expected.body(number).name


def test_the_file_and_its_meshes_are_the_simulated_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(hand_spec("shadow"), Path("written"))
    assert len(list(Path("elsewhere/meshes").iterdir())) == 12


def test_meshes_of_a_hand_with_a_pose_are_copied(claw_with_mesh, tmp_path):
    check(hand_spec(claw_with_mesh), tmp_path / "written")
    assert [p.name for p in (tmp_path / "elsewhere/meshes").iterdir()] == ["00-shell.stl"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*hand\.xml"):
        write_mjcf(hand_spec("shadow"), tmp_path / "file" / "hand.xml")
