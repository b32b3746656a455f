"""Renderers: pictures that agree with geometry, whatever was rendered before."""

import dataclasses
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.transforms import pose_matrix, transform_points
from opendactyl.render.appearance.config import (
    PRESETS,
)
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import OBJECT
from opendactyl.render.factory import make_renderer
from opendactyl.render.scene import apply_appearance
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec

BLOCK = object_spec("block")
MODEL_FIELDS = (
    "cam_pos", "cam_quat", "cam_intrinsic", "light_pos", "light_dir", "light_diffuse",
    "light_castshadow", "light_cutoff", "mat_rgba", "mat_shininess", "mat_texrepeat", "geom_pos",
    "geom_size", "geom_rgba", "geom_type",
)  # fmt: skip


def look(preset="dactyl", seed=0):
    rng = np.random.default_rng(seed)
    return sample_appearance(rng, PRESETS[preset], views=3, obj=BLOCK)


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


@pytest.mark.parametrize("kind", ["classic", "filament"])
def test_projected_corners_frame_the_rendered_object_to_half_a_pixel(kind, states):
    fine = 4  # Masks of 200-pixel views, looked at in quarter pixels.
    with make_renderer(kind, rig=load_rig("dactyl"), image_size=200 * fine) as renderer:
        for seed, state in enumerate(states[:2]):
            appearance = look(seed=seed)
            renderer.render(state, appearance)
            pose = pose_matrix(state.position, state.quaternion)
            corners = transform_points(pose, BLOCK.corners)
            cameras = renderer.cameras(appearance)
            for camera, mask in zip(cameras, renderer.object_alone(), strict=True):
                rows, columns = np.nonzero(mask)
                pixels, depth = camera.project(corners)
                assert np.all(depth > 0.3)
                low = pixels.min(axis=0) - [columns.min(), rows.min()]
                high = pixels.max(axis=0) - [columns.max() + 1, rows.max() + 1]
                assert np.abs([low, high]).max() / fine <= 0.5


@pytest.mark.parametrize("kind", ["classic", "filament"])
def test_an_off_centre_principal_point_moves_the_picture(kind, states):
    rig = load_rig("dactyl").resized(128)
    moved = Rig(rig.name, tuple(shifted(camera) for camera in rig.cameras))
    masks = []
    for one in (rig, moved):
        with make_renderer(kind, rig=one, image_size=128) as renderer:
            renderer.render(states[0], look("calibrated"))
            masks.append(renderer.object_alone())
    np.testing.assert_array_equal(np.roll(masks[0], (-7, 5), axis=(1, 2)), masks[1])


def shifted(camera):
    intrinsics = camera.K.copy()
    intrinsics[:2, 2] += [5.0, -7.0]
    return dataclasses.replace(camera, K=intrinsics)


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
    model = renderer.render_scene.model

    def everything():
        return np.concatenate(
            [np.asarray(getattr(model, name), dtype=float).ravel() for name in MODEL_FIELDS]
        )

    apply_appearance(renderer.render_scene, look())
    before = everything()
    apply_appearance(renderer.render_scene, look("wide", 3))
    assert not np.array_equal(everything(), before)
    apply_appearance(renderer.render_scene, look())
    np.testing.assert_array_equal(everything(), before)


def test_distractors_never_cover_a_whole_view(renderer, states):
    seen = 0
    for seed in range(12):
        appearance = look("wide", seed)
        bare = dataclasses.replace(appearance, distractors=())
        renderer.render(states[0], bare)
        without, fractions = renderer.depth(), renderer.visible_fraction()
        renderer.render(states[0], appearance)
        covered = np.mean(renderer.depth() < without - 1e-3, axis=(1, 2))
        seen += bool(np.any(covered > 0))
        assert np.all(covered < 0.5)
        assert np.any(renderer.visible_fraction() > 0.5 * fractions)
    assert seen > 3


@pytest.mark.parametrize("times", [15, pytest.param(500, marks=pytest.mark.slow)])
def test_renderers_leave_no_memory_behind(states, times):
    rig, appearance = load_rig("dactyl"), look()

    def cycles(count):
        for _ in range(count):
            with make_renderer(rig=rig, image_size=32) as renderer:
                renderer.render(states[0], appearance)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20, len(os.listdir("/proc/self/fd"))

    cycles(5)
    before, files_before = cycles(1)
    after, files_after = cycles(times)
    assert after - before < 30
    assert files_after <= files_before


def test_closed_renderers_say_so(states):
    renderer = make_renderer(rig=load_rig("dactyl"), image_size=32)
    renderer.close()
    renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(states[0], look())


def test_unknown_renderer():
    with pytest.raises(InputError, match="classic"):
        make_renderer("raytraced", rig=load_rig("dactyl"))
