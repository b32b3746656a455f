"""Objects from TOML files: values, mass properties, scenes, identity."""

import shutil

import mujoco
import numpy as np
import pytest
import trimesh

from opendactyl.geometry.rotation import quat_to_matrix
from opendactyl.sim.assets.storage import check_stored, is_same, store_copy, stored_reference
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.object_geoms import OBJECT_BODY
from opendactyl.sim.objects.shipped import object_of, object_spec
from opendactyl.sim.scene import load_scene, scene_spec

ALL = ("crate", "egg", "tool", "bracket", "can", "rod")


@pytest.fixture
def load(object_folder):
    return lambda name: object_spec(str(object_folder / f"{name}.toml"))


def test_the_files_of_block_and_prism_give_the_values_that_were_once_python():
    """Bit for bit, signs of zeros included: labels, weights and checksums depend on them."""
    block, half = object_spec("block"), 0.0285
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    axes = np.eye(3)
    normals = np.stack([axes[2], axes[0], axes[1], -axes[0], -axes[1], -axes[2]])
    assert block.keypoints.tobytes() == np.concatenate([half * signs, half * normals]).tobytes()
    assert (block.mass, block.faces[0].half_size, block.is_box) == (0.078, (half, half), True)
    assert [face.letter for face in block.faces] == list("OPENAI")
    assert block.faces[4].rgb == (0.62, 0.33, 0.00)
    prism, apothem, half_length = object_spec("prism"), 0.027, 0.033
    angles = np.pi / 8 + np.arange(8) * np.pi / 4
    ring = apothem / np.cos(np.pi / 8) * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    corners = [np.column_stack([ring, np.full(8, z)]) for z in (-half_length, half_length)]
    assert prism.corners.tobytes() == np.concatenate(corners).tobytes()
    area = 8 * apothem * (apothem * np.tan(np.pi / 8))
    assert prism.mass == 421.0 * area * 2 * half_length
    assert [face.letter for face in prism.faces] == list("OPENAILTFH")
    for spec in (block, prism):
        assert spec.identity is None and spec.reference == object_of(spec.keypoints) == spec.name


@pytest.mark.parametrize("name", ALL)
def test_an_object_is_compiled_and_settles_in_the_hand(load, name):
    obj = load(name)
    scene = load_scene(obj.reference)
    assert scene.model.body(OBJECT_BODY).mass[0] == pytest.approx(obj.mass)
    state = settled_state(scene, np.random.default_rng(0))
    assert state.position[2] > hand_spec().drop_height
    visual = scene_spec(obj.reference).compile()
    assert len(obj.colours) == len(obj.faces) + len(obj.surfaces)
    for number in range(len(obj.surfaces)):
        assert visual.geom(f"object:surface{number}").id >= 0


def test_mass_and_inertia_of_meshes(load):
    # A box of 50 × 60 × 70 mm and 80 g: m (b² + c²) / 12.
    body = load_scene(load("crate").reference).model.body(OBJECT_BODY)
    expected = 0.08 / 12 * np.array([0.06**2 + 0.07**2, 0.05**2 + 0.07**2, 0.05**2 + 0.06**2])
    np.testing.assert_allclose(np.sort(body.inertia), np.sort(expected), rtol=1e-6)
    # The L of 60 mm: squares of 20 mm at (0, 0), (20, 0), (40, 0), (0, 20), (0, 40), minus 20 / 2.
    body = load_scene(load("bracket").reference).model.body(OBJECT_BODY)
    np.testing.assert_allclose(body.ipos, [0.002, 0.002, 0.0], atol=1e-6)
    egg = load("egg")
    ellipsoid = 4 / 3 * np.pi * 0.03 * 0.024 * 0.036 * 500
    assert 0.9 * ellipsoid < egg.mass < ellipsoid  # its polyhedron is inscribed


def test_a_decomposition_is_concave_and_stored(load, object_folder, monkeypatch, tmp_path):
    obj = load("bracket")
    assert obj.solid is not None and len(obj.solid.hulls) == 2
    (store,) = object_folder.glob("bracket.hulls-*.npz")
    assert store.name in obj.identity["files"] and "coacd" in obj.identity["made_with"]
    # The notch of the L is free: a ball of 8 mm in it touches nothing.
    points = np.concatenate(obj.solid.hulls)
    assert points.max() == pytest.approx(0.04, abs=1e-3)
    model = load_scene(obj.reference).model
    data = mujoco.MjData(model)
    data.qpos[:] = model.qpos0
    mujoco.mj_forward(model, data)
    frame = data.body(OBJECT_BODY)
    notch = frame.xpos + frame.xmat.reshape(3, 3) @ [0.025, 0.025, 0.0]
    geoms = [g for g in range(model.ngeom) if model.geom(g).name.startswith("object")]
    assert len(geoms) == 2
    above = notch + frame.xmat.reshape(3, 3) @ [0, 0, 0.05]
    hit = mujoco.mj_ray(
        model, data, above, -frame.xmat.reshape(3, 3)[:, 2], None, 1, -1, np.zeros(1, np.int32)
    )
    assert hit < 0 or hit > 0.07
    copy = tmp_path / "copy"
    shutil.copytree(object_folder, copy)
    monkeypatch.setitem(__import__("sys").modules, "coacd", None)  # as if it were not installed
    again = object_spec(str(copy / "bracket.toml"))
    assert all(
        np.array_equal(a, b) for a, b in zip(again.solid.hulls, obj.solid.hulls, strict=True)
    )


def test_textures_and_colours_are_kept(load):
    crate, egg, tool, can = map(load, ("crate", "egg", "tool", "can"))
    top = crate.surfaces[0].corner_colours()
    assert {tuple(np.round(255 * c).astype(int)) for c in top.reshape(-1, 3)} == {
        (220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 220, 30),
    }  # fmt: skip
    (shell,) = egg.surfaces
    colours, heights = shell.corner_colours(), shell.corners[..., 2]
    assert np.abs(colours[heights > 0] - [1, 0, 0]).max() < 0.01
    assert np.abs(colours[heights <= 0] - [0, 0, 1]).max() < 0.01
    dark, bright = 0.3775, 0.8984  # sRGB of the linear 30 / 255 and 200 / 255
    assert sorted(surface.rgb for surface in tool.surfaces) == [
        pytest.approx((dark, bright, dark), abs=1e-3),
        pytest.approx((bright, dark, dark), abs=1e-3),
    ]
    assert can.surfaces[0].texture is not None and can.faces[0].letter == "F"


@pytest.mark.parametrize("kind", ["material", "vertices"])
def test_linear_colours_of_gltf_become_srgb(tmp_path, kind):
    box = trimesh.creation.box(extents=(0.05, 0.05, 0.05))
    linear = [55, 0, 255, 255]  # 0.2157, sRGB 0.502
    if kind == "material":
        material = trimesh.visual.material.PBRMaterial(baseColorFactor=linear)
        box.visual = trimesh.visual.TextureVisuals(material=material)
    else:
        box.visual = trimesh.visual.ColorVisuals(box, vertex_colors=np.tile(linear, (8, 1)))
    box.export(tmp_path / "part.glb")
    (tmp_path / "part.toml").write_text('shape = "mesh"\nfile = "part.glb"\nmass = 0.1\n')
    (surface,) = object_spec(str(tmp_path / "part.toml")).surfaces
    colours = surface.corner_colours().reshape(-1, 3)
    np.testing.assert_allclose(colours, np.tile([0.502, 0, 1], (len(colours), 1)), atol=0.004)


def test_keypoints_lie_far_apart_on_the_surface_and_repeat(load, object_folder):
    crate = load("crate")
    assert crate.keypoints.shape == (16, 3)
    on_face = np.isclose(np.abs(crate.keypoints), [0.025, 0.03, 0.035]).any(axis=1)
    gaps = np.linalg.norm(crate.keypoints[:, None] - crate.keypoints, axis=-1)
    assert on_face.all() and gaps[~np.eye(16, dtype=bool)].min() > 0.02
    given = object_folder / "given.toml"
    points = "[[25, 30, 35], [-25, -30, -35], [25, -30, 35], [-25, 30, 35], [0, 0, 35]]"
    given.write_text((object_folder / "crate.toml").read_text() + f"keypoints = {points}\n")
    own = object_spec(str(given))
    np.testing.assert_allclose(own.keypoints[4], [0, 0, 0.035])
    again = object_spec.__globals__["load_object"](object_folder / "crate.toml")
    assert again.keypoints.tobytes() == crate.keypoints.tobytes()


def test_friction_and_planes(load):
    rod = load("rod")
    geom = load_scene(rod.reference).model.geom("object")
    np.testing.assert_allclose(geom.friction, [0.8, 0.005, 0.0001])
    assert geom.type[0] == mujoco.mjtGeom.mjGEOM_CYLINDER
    np.testing.assert_allclose(rod.half_extent, [0.025, 0.025, 0.03])
    inside = np.random.default_rng(0).uniform(-1, 1, (500, 3)) * [0.0176, 0.0176, 0.03]
    assert all((inside @ normal <= distance + 1e-9).all() for normal, distance in rod.planes)
    assert not rod.symmetry.is_trivial and rod.symmetry.rotations.shape == (2, 4)


def test_a_copy_of_an_object_is_the_same_object(load, tmp_path):
    obj = load("crate")
    assert set(obj.identity["files"]) == {"crate.toml", "crate.obj", "crate.mtl", "quarters.png"}
    store_copy(obj, tmp_path)
    reference = stored_reference(tmp_path, "object", "crate")
    copy = object_spec(reference)
    assert copy.identity == obj.identity and is_same(copy, obj)
    np.testing.assert_array_equal(copy.keypoints, obj.keypoints)
    assert stored_reference(tmp_path, "object", "block") == "block"
    check_stored(tmp_path, "object", obj.identity, tmp_path / "manifest.json")
    (tmp_path / "object/quarters.png").write_bytes(b"")
    with pytest.raises(Exception, match=r"quarters\.png is missing, or its checksum"):
        check_stored(tmp_path, "object", obj.identity, tmp_path / "manifest.json")


def test_loading_is_cached_until_the_file_changes(object_folder, tmp_path):
    path = tmp_path / "rod.toml"
    text = (object_folder / "rod.toml").read_text()
    path.write_text(text)
    first = object_spec(str(path))
    assert object_spec(str(path)) is first
    path.write_text(text.replace("0.05", "0.048"))
    assert object_spec(str(path)).half_extent[0] == pytest.approx(0.024)


def test_an_origin_may_be_moved_to_the_centre(object_folder, tmp_path):
    shutil.copyfile(object_folder / "bracket.stl", tmp_path / "bracket.stl")
    path = tmp_path / "bracket.toml"
    path.write_text(
        'shape = "mesh"\nfile = "bracket.stl"\nscale = 0.001\nmass = 0.06\norigin = "centre"\n'
    )
    obj = object_spec(str(path))
    np.testing.assert_allclose(obj.half_extent, [0.03, 0.03, 0.015], atol=1e-9)
    assert quat_to_matrix(obj.symmetry.rotations[0]).trace() == 3
