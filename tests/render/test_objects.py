"""Both renderers show the surfaces, textures and vertex colours of a user's object."""

import numpy as np
import pytest

from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rotation import matrix_to_quat
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import OBJECT
from opendactyl.render.factory import make_renderer
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.state import State

RED, GREEN, BLUE, YELLOW = "red", "green", "blue", "yellow"
KINDS = ("classic", "filament")


def name_of(rgb):
    """The name of the strongest colour."""
    r, g, b = map(float, rgb)
    if min(r, g) > 1.5 * b:
        return YELLOW if max(r, g) < 1.6 * min(r, g) else (RED if r > g else GREEN)
    return (RED, GREEN, BLUE)[int(np.argmax([r, g, b]))]


@pytest.fixture
def seen(object_folder, scene):
    """The image from above (H, W, 3) and the object's pixels (N, 2), row and column."""

    def render(kind, name, rotation):
        obj = object_spec(str(object_folder / f"{name}.toml"))
        appearance = sample_appearance(
            np.random.default_rng(0), PRESETS["calibrated"], views=1, obj=obj
        )
        state = State(
            np.clip(0.0, *scene.joint_range.T), np.array([0.0, 0.0, 0.1]), matrix_to_quat(rotation)
        )
        rig = Rig("top", (load_rig("dactyl-200").cameras[2],))
        with make_renderer(kind, rig=rig, object_name=obj.reference, image_size=96) as renderer:
            image = renderer.render(state, appearance)[0]
            mask = renderer.segment()[0] == OBJECT
            np.testing.assert_allclose(renderer.visible_fraction(), 1.0)
            pixels, _ = renderer.cameras(appearance)[0].project(
                state.position + obj.keypoints @ rotation.T
            )
        rows, columns = np.nonzero(mask)
        assert len(rows) > 100
        # Keypoints lie on the surface: those that are seen are in the mask or at its border.
        for column, row in pixels:
            assert np.min(np.hypot(rows + 0.5 - row, columns + 0.5 - column)) < 1.5
        return image, np.column_stack([rows, columns])

    return render


def quarters(image, pixels):
    """Colours of the four quarters of the object: upper left, upper right, lower left, right."""
    middle = (pixels.min(axis=0) + pixels.max(axis=0)) / 2
    reach = np.ptp(pixels, axis=0) / 4.5
    points = [(middle + reach * [y, x]).astype(int) for y in (-1, 1) for x in (-1, 1)]
    return [name_of(image[row, column]) for row, column in points]


# The camera over the hand: x of the hand frame is up in its image, y is left.
UPRIGHT = np.eye(3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_texture_is_seen_the_right_way_round(kind, seen):
    image, pixels = seen(kind, "crate", UPRIGHT)
    # The picture on +z has its top towards +y and its left towards -x: see `_write_objects`.
    assert quarters(image, pixels) == [GREEN, YELLOW, RED, BLUE]


@pytest.mark.parametrize("kind", KINDS)
def test_vertex_colours_are_seen(kind, seen):
    # Standing on its tip it is red above; lying, one half is red and the other blue.
    image, pixels = seen(kind, "egg", UPRIGHT)
    assert set(quarters(image, pixels)) == {RED}
    lying = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # its z axis along x of the hand
    image, pixels = seen(kind, "egg", lying)
    assert quarters(image, pixels) == [RED, RED, BLUE, BLUE]


@pytest.mark.parametrize("kind", KINDS)
def test_materials_and_pictures_of_solids_are_seen(kind, seen):
    image, pixels = seen(kind, "tool", UPRIGHT)
    middle = ((pixels.min(axis=0) + pixels.max(axis=0)) / 2).astype(int)
    assert name_of(image[tuple(middle)]) == GREEN and RED in quarters(image, pixels)
    lying = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    image, pixels = seen(kind, "can", lying)
    assert len(set(quarters(image, pixels))) >= 2
    image, pixels = seen(kind, "bracket", UPRIGHT)
    rows, columns = pixels.T
    full = np.ptp(rows) * np.ptp(columns)
    assert len(pixels) < 0.75 * full  # the notch of the L is free


def test_appearances_tint_surfaces(object_folder):
    obj = object_spec(str(object_folder / "can.toml"))
    rng = np.random.default_rng(0)
    appearance = sample_appearance(rng, PRESETS["dactyl"], views=3, obj=obj)
    assert len(appearance.faces) == 3 and len(appearance.letters) == 2
