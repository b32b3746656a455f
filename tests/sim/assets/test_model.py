"""Models with meshes in many formats, and URDFs."""

import numpy as np
import pytest
import trimesh

from opendactyl.core.errors import InputError
from opendactyl.sim.assets import mesh_formats
from opendactyl.sim.assets.mesh_formats import converted_with, read_mesh
from opendactyl.sim.assets.model import load_model
from opendactyl.sim.assets.references import referenced_files

URDF = """<robot name="two">
  <link name="base">
    <visual><geometry><mesh filename="package://two/meshes/wedge.{kind}"/></geometry></visual>
    <collision><geometry><box size="0.1 0.1 0.1"/></geometry></collision>
  </link>
  <link name="arm">
    <inertial>
      <mass value="0.2"/><inertia ixx="1e-4" iyy="1e-4" izz="1e-4" ixy="0" ixz="0" iyz="0"/>
    </inertial>
    <visual>
      <geometry><mesh filename="meshes/wedge.{kind}" scale="0.5 0.5 0.5"/></geometry>
    </visual>
  </link>
  <joint name="hinge" type="revolute">
    <parent link="base"/><child link="arm"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="1" effort="1" velocity="1"/>
  </joint>
</robot>"""


@pytest.fixture
def urdf(tmp_path):
    """A URDF with a mesh that no rotation maps onto itself, in a format."""

    def write(kind, text=URDF):
        points = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.06, 0], [0.02, 0.01, 0.04]])
        wedge = trimesh.Trimesh(points, [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
        (tmp_path / "meshes").mkdir(exist_ok=True)
        if kind != "dae":
            wedge.export(tmp_path / f"meshes/wedge.{kind}")
        path = tmp_path / "two.urdf"
        path.write_text(text.format(kind=kind))
        return path

    return write


@pytest.mark.parametrize("kind", ["obj", "stl", "glb", "ply"])
def test_meshes_of_every_format_are_the_same(urdf, kind):
    path = urdf(kind)
    model = load_model(path).compile()
    extents = sorted(np.ptp(trimesh.load_scene(path.parent / f"meshes/wedge.{kind}").bounds, 0))
    assert extents == pytest.approx([0.04, 0.06, 0.1], abs=1e-6)
    sizes = []
    for number in range(model.nmesh):
        start, count = model.mesh_vertadr[number], model.mesh_vertnum[number]
        vertices = model.mesh_vert[start : start + count].astype(float)
        sizes.append(max(np.linalg.norm(a - b) for a in vertices for b in vertices))
    # The longest edge, from (100, 0, 0) to (0, 60, 0) mm, and half of it.
    assert sorted(sizes) == pytest.approx([0.5 * 0.116619, 0.116619], rel=1e-4)
    assert bool(converted_with(referenced_files(path))) == (kind in ("glb", "ply"))


def test_a_urdf_keeps_visual_geoms_and_links(urdf):
    model = load_model(urdf("obj")).compile()
    assert [model.body(i).name for i in range(model.nbody)] == ["world", "base", "arm"]
    assert model.body("arm").mass[0] == pytest.approx(0.2)  # not that of its visual mesh
    assert model.geom_contype.tolist() == [0, 1, 0]


@pytest.mark.parametrize("removed", ['<mass value="0.2"/>', "inertial"])
def test_a_link_that_moves_without_inertia_is_named(urdf, removed):
    text = URDF.replace(removed, "" if removed.startswith("<") else "ignored")
    with pytest.raises(InputError, match="link arm moves but has no <inertial> with a mass") as e:
        load_model(urdf("obj", text))
    assert "two.urdf" in str(e.value) and "\n" not in str(e.value)


def test_missing_and_unknown_files_are_named(urdf, tmp_path):
    path = urdf("obj")
    (tmp_path / "meshes/wedge.obj").unlink()
    with pytest.raises(InputError, match=r"two\.urdf refers to .*wedge\.obj, which does not exist"):
        load_model(path)
    (tmp_path / "meshes/wedge.step").write_text("")
    with pytest.raises(InputError, match=r"another format than \.obj, \.stl, \.msh, \.glb"):
        load_model(urdf("obj", URDF.replace("{kind}", "step")))
    (tmp_path / "meshes/wedge.glb").write_bytes(b"no glTF")
    with pytest.raises(InputError, match=r"mesh .*wedge\.glb cannot be read"):
        load_model(urdf("obj", URDF.replace("{kind}", "glb")))


def test_collada_names_the_package_that_reads_it(urdf, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "collada", None)  # as if it were not installed
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes/wedge.dae").write_text("<COLLADA/>")
    with pytest.raises(InputError, match="needs the package collada: pip install pycollada"):
        load_model(urdf("dae"))


def test_included_files_and_their_folders_are_found(tmp_path):
    (tmp_path / "assets").mkdir()
    trimesh.creation.box(extents=(0.1, 0.1, 0.1)).export(tmp_path / "assets/cube.stl")
    (tmp_path / "shared.xml").write_text(
        '<mujoco><compiler meshdir="assets"/><asset><mesh file="cube.stl"/></asset></mujoco>'
    )
    path = tmp_path / "main.xml"
    path.write_text(
        '<mujoco><include file="shared.xml"/><worldbody>'
        '<geom type="mesh" mesh="cube"/></worldbody></mujoco>'
    )
    names = [file.relative_to(tmp_path).as_posix() for file in referenced_files(path)]
    assert names == ["main.xml", "shared.xml", "assets/cube.stl"]
    assert load_model(path).compile().nmesh == 1
    (tmp_path / "shared.xml").unlink()
    with pytest.raises(InputError, match=r"includes .*shared\.xml, which does not exist"):
        load_model(path)


def test_a_circle_of_included_files_ends(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.xml").write_text(f'<mujoco><include file="{other}.xml"/></mujoco>')
    with pytest.raises(InputError, match=r"includes .*a\.xml twice, or in a circle"):
        referenced_files(tmp_path / "a.xml")


def test_the_sides_of_a_cube_texture_and_skins_are_files_of_a_model(tmp_path):
    path = tmp_path / "main.xml"
    path.write_text(
        '<mujoco><compiler texturedir="t" meshdir="m"/><asset><texture name="sky" type="cube" '
        'fileright="r.png" fileleft="l.png"/><skin file="s.skn"/></asset></mujoco>'
    )
    names = ("t/r.png", "t/l.png", "m/s.skn")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = {file.relative_to(tmp_path).as_posix() for file in referenced_files(path)}
    assert found == {"main.xml", *names}


def test_collada_files_are_scaled_to_metres():
    assert mesh_formats._metres("0.001 * meters") == 0.001
    assert mesh_formats._metres("meters") == mesh_formats._metres(None) == 1.0


@pytest.mark.parametrize("kind", ["glb", "ply"])
def test_converted_meshes_are_not_torn_along_their_edges(tmp_path, kind):
    """A corner that three triangles share with three normals is one vertex."""
    cube = trimesh.creation.box(extents=(0.1, 0.1, 0.1))
    cube.unmerge_vertices()
    assert len(cube.vertices) == 36
    cube.export(tmp_path / f"cube.{kind}")
    mesh = read_mesh(tmp_path / f"cube.{kind}")
    assert len(mesh.vertices) == 8 and mesh.is_watertight
