import dataclasses

import numpy as np
import pytest

from opendactyl.files.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.rigid import pose_matrix, transform_points
from opendactyl.render.appearance import (
    PRESETS,
    Appearance,
    load_appearance,
    randomization_table,
)
from opendactyl.render.draw import sample_appearance
from opendactyl.render.renderer import OBJECT, make_renderer
from opendactyl.render.studio import dress
from opendactyl.sim.objects import object_spec
from opendactyl.sim.settle import settled_state

BLOCK = object_spec("block")


def look(preset="dactyl", seed=0):
    rng = np.random.default_rng(seed)
    return sample_appearance(rng, PRESETS[preset], views=3, thing=BLOCK)


@pytest.fixture(scope="module")
def renderer():
    with make_renderer(rig=load_rig("dactyl"), image_size=96) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def states(scene):
    return [settled_state(scene, np.random.default_rng(seed)) for seed in range(4)]


def test_same_state_and_appearance_give_the_same_bytes(renderer, states):
    first = renderer.render(states[0], look())
    renderer.render(states[1], look("wide", 5))
    out = np.empty_like(first)
    assert renderer.render(states[0], look(), out) is out
    np.testing.assert_array_equal(out, first)


def test_images_are_neither_black_nor_blown_out_nor_alike(renderer, states):
    images = renderer.render(states[0], look("calibrated"))
    assert images.shape == (3, 96, 96, 3)
    assert images.dtype == np.uint8
    for image in images:
        assert 20 < image.mean() < 230
        assert image.std() > 10
    assert np.abs(images[0].astype(int) - images[1]).mean() > 5


def test_projected_corners_frame_the_rendered_object(renderer, states):
    for seed, state in enumerate(states):
        appearance = look(seed=seed)
        renderer.render(state, appearance)
        alone = renderer.object_alone()
        corners = transform_points(pose_matrix(state.position, state.quaternion), BLOCK.corners)
        for camera, mask in zip(renderer.cameras(appearance), alone, strict=True):
            rows, columns = np.nonzero(mask)
            pixels, depth = camera.project(corners)
            assert np.all(depth > 0.3)
            # A pixel belongs to the mask when its centre, at +0.5, does; letters stand out a little.
            np.testing.assert_allclose(pixels.min(axis=0), [columns.min(), rows.min()], atol=1.1)
            np.testing.assert_allclose(
                pixels.max(axis=0), [columns.max() + 1, rows.max() + 1], atol=1.1
            )


def test_segments_and_depth_agree_with_geometry(renderer, states):
    appearance = look("calibrated")
    renderer.render(states[0], appearance)
    classes, depth = renderer.segment(), renderer.depth()
    assert set(np.unique(classes)) == {0, 1, 2}
    for camera, seen, metres in zip(renderer.cameras(appearance), classes, depth, strict=True):
        _, centre = camera.project(states[0].position)
        on_block = metres[seen == OBJECT]
        assert abs(np.median(on_block) - centre) < 0.05
        assert np.all(metres[seen == 0] > on_block.min())


def test_visible_fraction_is_one_without_a_hand_in_the_way(renderer, states):
    renderer.render(states[0], look("calibrated"))
    fraction = renderer.visible_fraction()
    assert fraction.shape == (3,)
    assert np.all((fraction > 0) & (fraction <= 1))
    lifted = dataclasses.replace(states[0], position=np.array([0.0, 0.0, 0.12]))
    renderer.render(lifted, look("calibrated"))
    assert renderer.visible_fraction()[2] == pytest.approx(1.0, abs=0.02)


def test_nothing_of_an_appearance_stays_for_the_next(renderer):
    model = renderer.studio.model

    def everything():
        return np.concatenate(
            [
                np.asarray(getattr(model, name), dtype=float).ravel()
                for name in ("cam_pos", "cam_intrinsic", "light_pos", "light_diffuse", "mat_rgba",
                             "mat_shininess", "geom_pos", "geom_size", "geom_rgba", "light_castshadow")
            ]
        )  # fmt: skip

    dress(renderer.studio, look())
    before = everything()
    dress(renderer.studio, look("wide", 3))
    assert not np.array_equal(everything(), before)
    dress(renderer.studio, look())
    np.testing.assert_array_equal(everything(), before)


def test_appearance_survives_json():
    for preset in PRESETS:
        appearance = look(preset, 7)
        assert Appearance.from_dict(appearance.to_dict()) == appearance


def test_calibrated_has_no_width():
    fixed = {
        "lights",
        "ambient",
        "shadow",
        "hand",
        "faces",
        "letters",
        "camera_offset",
        "camera_fovy",
    }
    a, b = look("calibrated", 1).to_dict(), look("calibrated", 2).to_dict()
    assert all(a[key] == b[key] for key in fixed)


def test_drawn_values_stay_in_their_ranges():
    config = PRESETS["dactyl"]
    for seed in range(50):
        a = look(seed=seed)
        assert 4 <= len(a.lights) <= 6
        total = sum(light.intensity for light in a.lights)
        assert config.light_total[0] - 1e-9 <= total <= config.light_total[1] + 1e-9
        assert np.max(np.abs(a.camera_offset)) <= config.camera_position
        assert np.max(np.linalg.norm(a.camera_rotvec, axis=1)) <= config.camera_rotation
        assert all(light.position[2] > 0 for light in a.lights)


def test_textures_differ_by_the_thousand():
    drawn = [look("wide", seed) for seed in range(500)]
    prints = {backdrop_texture(b, 16).tobytes() for a in drawn for b in (a.floor, a.wall)}
    assert len(prints) >= 990


def test_table_names_every_field_with_a_source():
    rows = randomization_table(PRESETS["dactyl"])
    assert len(rows) == len(dataclasses.fields(PRESETS["dactyl"]))
    assert all(what and source for what, _, _, source in rows)


def test_appearance_files(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "wide"\nface_hue = 0.2\nlight_total = [1.0, 1.5]\n')
    config = load_appearance(str(path))
    assert (config.face_hue, config.light_total) == (0.2, (1.0, 1.5))
    path.write_text("face_colour = 1\n")
    with pytest.raises(InputError, match="face_hue"):
        load_appearance(str(path))
    with pytest.raises(InputError, match="calibrated, dactyl, wide"):
        load_appearance("purple")


def test_closed_renderers_say_so(states):
    renderer = make_renderer(rig=load_rig("dactyl"), image_size=32)
    renderer.close()
    renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(states[0], look())


def test_unknown_renderer():
    with pytest.raises(InputError, match="classic"):
        make_renderer("raytraced", rig=load_rig("dactyl"))
