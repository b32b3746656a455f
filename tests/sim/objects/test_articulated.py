"""Objects whose parts turn about hinges: the shipped face cube and a user's box with a lid."""

import mujoco
import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.sim.initial_states import random_state, settled_state
from opendactyl.sim.object_geoms import part_name
from opendactyl.sim.objects.resting import rests
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene

BOX = 'shape = "box"\nsize = [0.05, 0.05, 0.05]\nmass = 0.1\n'
PART = '[[part]]\nname = "lid"\nshape = "box"\nsize = [0.05, 0.05, 0.01]\nmass = 0.02\n'
HINGE = "[part.hinge]\naxis = [1, 0, 0]\n"


@pytest.fixture(scope="module", params=["face-cube", "chest"])
def articulated(request, object_folder):
    shipped = request.param == "face-cube"
    return load_scene(request.param if shipped else str(object_folder / "chest.toml"))


def test_keypoints_are_those_of_the_simulation(articulated):
    obj, model = object_spec(articulated.object_name), articulated.model
    data = mujoco.MjData(model)
    state = random_state(articulated, np.random.default_rng(3))
    articulated.set_state(data, state)
    bodies = [data.body("object"), *(data.body(part_name(p.hinge.name)) for p in obj.attached)]
    own = [obj.keypoints[: obj.attached[0].hinge.keypoints[0]]]
    own += [part.body.keypoints for part in obj.attached]
    in_world = [p @ b.xmat.reshape(3, 3).T + b.xpos for p, b in zip(own, bodies, strict=True)]
    root = bodies[0]
    in_object = (np.concatenate(in_world) - root.xpos) @ root.xmat.reshape(3, 3)
    np.testing.assert_allclose(obj.articulation.at(state.hinges), in_object, atol=1e-12)
    np.testing.assert_array_equal([b.id for b in bodies], articulated.object_bodies)


def test_states_draw_angles_within_the_limits(articulated):
    hinges = articulated.articulation.hinges
    for make, slack in ((random_state, 1e-9), (settled_state, 0.1)):
        states = [make(articulated, np.random.default_rng(seed)) for seed in range(4)]
        angles = np.array([state.hinges for state in states])
        assert angles.shape == (4, len(hinges)) and np.ptp(angles, axis=0).min() > 0.05
        for hinge, values in zip(hinges, angles.T, strict=True):
            low, high = hinge.limits or (-np.pi, np.pi)
            assert low - slack <= values.min() and values.max() <= high + slack
        again = make(articulated, np.random.default_rng(0))
        np.testing.assert_array_equal(again.hinges, angles[0])


def test_the_lid_opens_about_its_edge(object_folder):
    obj = object_spec(str(object_folder / "chest.toml"))
    (part,) = obj.attached
    assert part.hinge.axis == (-1.0, 0.0, 0.0) and part.hinge.rest == pytest.approx(np.deg2rad(10))
    # Opened by 90°, the front upper edge of the lid is above the hinge, and its top is behind.
    points = part.body.keypoints + part.position
    front = np.flatnonzero(np.isclose(points[:, 1], -0.02) & np.isclose(points[:, 2], 0.025))[0]
    moved = obj.articulation.at([np.pi / 2])[part.hinge.keypoints[0] + front]
    np.testing.assert_allclose(moved[1:], [0.02 + 0.01, 0.015 + 0.04], atol=1e-12)
    # Closed, it rests on the bottom of the box: half of 30 mm below the centre.
    found = rests(obj, np.zeros(1))
    assert found.heights[np.argmax(found.quaternions[:, 0])] == pytest.approx(0.015)


def test_the_layers_of_the_face_cube_make_a_cube():
    obj = object_spec("face-cube")
    np.testing.assert_allclose(obj.reach, 0.0285)
    assert sum(body.mass for body in obj.bodies) == pytest.approx(0.078)
    scene = load_scene("face-cube")
    for name in ("top", "bottom"):
        assert not scene.model.joint(part_name(name)).limited[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PART, "part 1, hinge: axis is missing; it must be three numbers"),
        (PART + HINGE.replace("1,", "0,"), "axis is [0, 0, 0]; it must be three numbers, not all"),
        (PART + HINGE + "limits = [0, 90]\nrest = 120\n",
         "rest is 120 degrees, outside of the limits from 0 to 90 degrees; correct rest or limits"),
        (PART + HINGE + "limits = [90, 0]\n", "limits is [90, 0]; it must be two angles"),
        (PART + HINGE + "friction = -1\n", "friction is -1; it must be zero or a positive number"),
        (PART + HINGE + "angle = 1\n", "unknown key 'angle'; the keys are: axis, anchor, limits"),
        (PART + "keypoints = []\n" + HINGE, "part 1: keypoints is []; it must be 4 to 64 points"),
        (PART + "keypoints = [[1e-3, 0, 0], [2e-3, 0, 0], [3e-3, 0, 0], [4e-3, 0, 0]]\n" + HINGE,
         "part 1: its keypoints lie on the axis of its hinge"),
        (PART.replace("name", "unit"), "part 1: unknown key 'unit'; the keys are: name, shape"),
        (PART.replace('"lid"', '"a b"') + HINGE, "name is 'a b'; it must be letters"),
        (PART.replace('name = "lid"\n', "") + HINGE, "part 1: name is missing"),
        (2 * (PART + HINGE), "two parts are named 'lid'; rename one"),
        (PART + HINGE + "[symmetry]\naxis = [0, 0, 1]\n", "cannot have a symmetry"),
        ("part = 3\n", "part is 3; it must be tables [[part]]"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(tmp_path, text, message):
    path = tmp_path / "chest.toml"
    path.write_text(BOX + text)
    if "symmetry" in message:
        path.write_text(BOX + text.replace(
            "axis = [0, 0, 1]\n", "rotations = [{axis = [0, 0, 1], degrees = 90}]\n"))  # fmt: skip
    with pytest.raises(InputError) as caught:
        object_spec(str(path))
    assert message in str(caught.value) and "\n" not in str(caught.value)
