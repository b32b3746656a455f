"""Wrong object files: one line that says what, where and how to mend it."""

import numpy as np
import pytest
import trimesh

from opendactyl.core.errors import InputError
from opendactyl.sim.objects.shipped import object_spec

BOX = 'shape = "box"\nsize = [0.05, 0.05, 0.05]\nmass = 0.1\n'
MESH = 'shape = "mesh"\nfile = "part.ply"\nmass = 0.1\n'
CUBE = {"rotations": "[symmetry]\nrotations = [{axis = [0, 0, 1], degrees = 90}]\n"}


@pytest.fixture
def refused(tmp_path):
    def check(text, mesh=None, name="part.ply"):
        if mesh is not None:
            mesh.export(tmp_path / name)
        path = tmp_path / "part.toml"
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            object_spec(str(path))
        message = str(caught.value)
        assert "\n" not in message and str(tmp_path) in message
        return message

    return check


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOX + "colour = 1\n", "unknown key 'colour'; the keys are: name, shape, unit"),
        (BOX + "radius = 1\n", "unknown key 'radius'"),
        (BOX + "frikton = 1\n", "unknown key 'frikton' (did you mean friction?)"),
        ("size = " + 9000 * "[", "nested too deeply"),
        ("\ufeff" + BOX, "it begins with a byte order mark (BOM)"),
        ("mass = 1\n", "shape is missing; it must be one of box, prism, cylinder, mesh"),
        (BOX.replace("mass = 0.1", ""), "mass is missing; it must be a positive number"),
        (BOX + "density = 400\n", "mass and density are given; remove one"),
        (BOX.replace("0.05,", "50,"), 'the object is 50 m long with unit = "m"; if its lengths'),
        (BOX + 'unit = "mm"\n', 'the object is 0.05 mm long with unit = "mm"; if its lengths'),
        (BOX + 'unit = "cm"\n', "unit is 'cm'; it must be one of m, mm"),
        (BOX + 'name = "block"\n', "its name, 'block', is that of a shipped object"),
        (BOX + 'name = "../x"\n', "name is '../x'; it must be letters"),
        (BOX + '[[face]]\nside = "top"\n', "face 1: side 'top' does not exist; use +x, -x"),
        (BOX + 2 * '[[face]]\nside = "+x"\n', "face 2: side '+x' is given twice"),
        (BOX + '[[face]]\nside = "+x"\nletter = "Q"\n', "letter is 'Q'; the letters are A, E"),
        (BOX + '[[face]]\nside = "+x"\nletter = "A"\n', "up is missing; it must be one of +x"),
        (BOX + '[[face]]\nside = "+x"\nup = "-x"\n', "up is '-x'; it must be an axis in the plane"),
        (BOX + '[[face]]\nside = "+x"\nup = "+z"\ntexture = "no.png"\n', "no.png: No such file"),
        (BOX + "keypoints = [[0, 0, 0]]\n", "it must be 4 to 64 points [x, y, z], or their number"),
        (BOX + f"keypoints = {[[i / 99, i / 99, 0] for i in range(4)]}\n", "not lie on one line"),
        (
            BOX + "keypoints = [[25, 0, 0], [0, 25, 0], [0, 0, 25], [0, 0, 0]]\n",
            "in the unit of the",
        ),
        (BOX + "[symmetry]\naxis = [0, 0, 1]\n", "its symmetry is wrong: rotated by"),
        (BOX + "[symmetry]\naxis = [0, 0, 0]\n", "is not an axis of three numbers"),
        (BOX + CUBE["rotations"].replace("90", "31.7"), "generate more than 120 rotations"),
        (BOX + CUBE["rotations"].replace("90", "45"), "its symmetry is wrong: rotated by 45°"),
        (BOX + "rgb = [1, 2, 3]\n", "rgb is [1, 2, 3]; it must be three numbers from 0 to 1"),
        ("shape = [", "is not valid TOML"),
    ],
)
def test_wrong_values_are_named(refused, text, message):
    assert message in refused(text)


def test_the_side_of_a_cylinder_is_given_once(refused):
    cylinder = 'shape = "cylinder"\ndiameter = 0.05\nlength = 0.05\nmass = 0.1\n'
    assert "face 2: side 'side' is given twice" in refused(
        cylinder + 2 * '[[face]]\nside = "side"\nrgb = [1, 0, 0]\n'
    )


def test_right_symmetries_are_accepted(tmp_path):
    path = tmp_path / "cube.toml"
    path.write_text(BOX + CUBE["rotations"])
    assert object_spec(str(path)).symmetry.rotations.shape == (4, 4)


def test_missing_files_are_named(refused, tmp_path):
    assert "cannot read the mesh" in refused(MESH)
    with pytest.raises(InputError, match=r"cannot read the object .*no\.toml: No such file"):
        object_spec(str(tmp_path / "no.toml"))
    with pytest.raises(InputError, match=r"no object 'cube'; give a \.toml file or one of block"):
        object_spec("cube")


def test_an_open_mesh_needs_mass_and_hull(refused, tmp_path):
    box = trimesh.creation.box(extents=(0.05, 0.06, 0.07))
    box.update_faces(np.arange(len(box.faces)) > 1)
    message = refused(MESH, box)
    assert "is not watertight, so its volume and inertia cannot be computed; give mass" in message
    assert "is not watertight" in refused(MESH.replace("mass", "density"), box)
    path = tmp_path / "part.toml"
    path.write_text(MESH + 'collision = "hull"\n')
    assert object_spec(str(path)).mass == 0.1


def test_a_mesh_in_millimetres_is_recognised(refused):
    assert 'is 70 m long with unit = "m"; if its lengths are in mm, write unit = "mm"' in refused(
        MESH, trimesh.creation.box(extents=(50, 60, 70))
    )


def test_a_mesh_off_its_origin_is_refused(refused):
    box = trimesh.creation.box(extents=(0.05, 0.06, 0.07))
    box.apply_translation([0.3, 0, 0])
    assert 'write origin = "centre", or move the mesh' in refused(MESH, box)


def test_a_million_faces_are_refused_and_can_be_simplified(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("opendactyl.sim.objects.mesh_file.MAX_FACES", 1000)
    egg = trimesh.creation.icosphere(subdivisions=3, radius=0.03)
    egg.visual.vertex_colors = [[255 * (z > 0), 0, 0, 255] for z in egg.vertices[:, 2]]
    assert "has 1,280 faces, at most 1,000 can be rendered; add simplify = 20000" in refused(
        MESH, egg
    )
    path = tmp_path / "part.toml"
    path.write_text(MESH + "simplify = 500\n")
    obj = object_spec(str(path))
    assert 400 < len(obj.triangles) <= 500
    (shell,) = obj.surfaces
    upper = shell.corner_colours()[shell.corners[..., 2] > 0.01]
    np.testing.assert_allclose(upper, np.tile([1, 0, 0], (len(upper), 1)), atol=0.01)


def test_a_missing_texture_or_material_is_named(refused, tmp_path):
    mesh = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
    (tmp_path / "part.obj").write_text("mtllib part.mtl\n" + mesh)
    text = MESH.replace(".ply", ".obj") + "scale = 0.05\n"
    assert "part.obj refers to part.mtl, which is not in" in refused(text)
    (tmp_path / "part.mtl").write_text("newmtl m\nmap_Kd -s 1 1 1 wood.png\n")
    assert "part.mtl refers to wood.png, which is not in" in refused(text)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"solid nothing\nendsolid\n", "part.stl", "has no triangles|cannot be read"),
        (b"ply\nformat", "part.ply", "cannot be read"),
        (b"", "part.fbx", "has another format than .obj, .ply, .stl, .glb; convert it"),
    ],
)
def test_damaged_meshes_are_named(refused, tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    found = refused(MESH.replace("part.ply", name))
    assert any(part in found for part in message.split("|"))
