"""Renderers: images agree with the geometry and are independent of previous ones."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.transforms import pose_matrix, transform_points
from opendactyl.render.appearance.config import PRESETS
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


def sample(preset="dactyl", seed=0):
    rng = np.random.default_rng(seed)
    return sample_appearance(rng, PRESETS[preset], views=3, obj=BLOCK)


@pytest.fixture(scope="module")
def renderer():
    with make_renderer(rig=load_rig("dactyl-200"), image_size=96) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def states(scene):
    return [settled_state(scene, np.random.default_rng(seed)) for seed in range(4)]


def test_same_state_and_appearance_give_the_same_bytes(renderer, states):
    first = renderer.render(states[0], sample())
    renderer.render(states[1], sample("wide", 5))
    out = np.empty_like(first)
    assert renderer.render(states[0], sample(), out) is out
    np.testing.assert_array_equal(out, first)


def test_images_are_exposed_and_differ_between_views(renderer, states):
    images = renderer.render(states[0], sample("calibrated"))
    assert images.shape == (3, 96, 96, 3)
    assert images.dtype == np.uint8
    for image in images:
        assert 20 < image.mean() < 230
        assert image.std() > 10
    assert np.abs(images[0].astype(int) - images[1]).mean() > 5


@pytest.mark.parametrize("kind", ["classic", "filament"])
def test_projected_corners_bound_the_mask_within_half_a_pixel(kind, states):
    fine = 3  # masks of 200-pixel views, at a resolution of a third of a pixel
    with make_renderer(kind, rig=load_rig("dactyl-200"), image_size=200 * fine) as renderer:
        for seed, state in enumerate(states[: 1 if kind == "filament" else 2]):
            appearance = sample(seed=seed)
            renderer.render(state, appearance)
            pose = pose_matrix(state.position, state.quaternion)
            corners = transform_points(pose, BLOCK.corners)
            cameras = renderer.cameras(appearance)
            for camera, mask in zip(cameras, renderer.unoccluded_mask(), strict=True):
                rows, columns = np.nonzero(mask)
                pixels, depth = camera.project(corners)
                assert np.all(depth > 0.3)
                low = pixels.min(axis=0) - [columns.min(), rows.min()]
                high = pixels.max(axis=0) - [columns.max() + 1, rows.max() + 1]
                assert np.abs([low, high]).max() / fine <= 0.5


@pytest.mark.parametrize("kind", ["classic", "filament"])
def test_principal_point_offset_shifts_the_image(kind, states):
    rig = load_rig("dactyl-200").resized(128)
    offset = Rig(rig.name, tuple(shifted(camera) for camera in rig.cameras))
    masks = []
    for cameras in (rig, offset):
        with make_renderer(kind, rig=cameras, image_size=128) as renderer:
            renderer.render(states[0], sample("calibrated"))
            masks.append(renderer.unoccluded_mask())
    np.testing.assert_array_equal(np.roll(masks[0], (-7, 5), axis=(1, 2)), masks[1])


def shifted(camera):
    intrinsics = camera.K.copy()
    intrinsics[:2, 2] += [5.0, -7.0]
    return dataclasses.replace(camera, K=intrinsics)


def test_segmentation_and_depth_agree_with_geometry(renderer, states):
    appearance = sample("calibrated")
    renderer.render(states[0], appearance)
    classes, depth = renderer.segment(), renderer.depth()
    assert set(np.unique(classes)) == {0, 1, 2}
    for camera, segment, metres in zip(renderer.cameras(appearance), classes, depth, strict=True):
        _, centre = camera.project(states[0].position)
        on_block = metres[segment == OBJECT]
        assert abs(np.median(on_block) - centre) < 0.05
        assert np.all(metres[segment == 0] > on_block.min())


def test_visible_fraction_is_one_without_occlusion(renderer, states):
    renderer.render(states[0], sample("calibrated"))
    fraction = renderer.visible_fraction()
    assert fraction.shape == (3,)
    assert np.all((fraction > 0) & (fraction <= 1))
    lifted = dataclasses.replace(states[0], position=np.array([0.0, 0.0, 0.12]))
    renderer.render(lifted, sample("calibrated"))
    assert renderer.visible_fraction()[2] == pytest.approx(1.0, abs=0.02)


def test_appearances_are_independent_of_previous_ones(renderer):
    model = renderer.render_scene.model

    def model_fields():
        return np.concatenate(
            [np.asarray(getattr(model, name), dtype=float).ravel() for name in MODEL_FIELDS]
        )

    apply_appearance(renderer.render_scene, sample())
    before = model_fields()
    apply_appearance(renderer.render_scene, sample("wide", 3))
    assert not np.array_equal(model_fields(), before)
    apply_appearance(renderer.render_scene, sample())
    np.testing.assert_array_equal(model_fields(), before)


def test_distractors_never_cover_a_whole_view(renderer, states):
    covered_views = 0
    for seed in range(12):
        appearance = sample("wide", seed)
        without_distractors = dataclasses.replace(appearance, distractors=())
        renderer.render(states[0], without_distractors)
        without, fractions = renderer.depth(), renderer.visible_fraction()
        renderer.render(states[0], appearance)
        covered = np.mean(renderer.depth() < without - 1e-3, axis=(1, 2))
        covered_views += bool(np.any(covered > 0))
        assert np.all(covered < 0.5)
        assert np.any(renderer.visible_fraction() > 0.5 * fractions)
    assert covered_views > 3


CYCLES = """
import os, resource, sys
import numpy as np
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.factory import make_renderer
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene

rng, rig = np.random.default_rng(0), load_rig("dactyl-200")
state = settled_state(load_scene(), rng)
appearance = sample_appearance(rng, PRESETS["dactyl"], views=3, obj=object_spec("block"))

def cycles(count):
    for _ in range(count):
        with make_renderer(rig=rig, image_size=32) as renderer:
            renderer.render(state, appearance)
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize() / 2**20, len(os.listdir("/proc/self/fd"))

cycles(5)
before, files_before = cycles(1)
after, files_after = cycles(int(sys.argv[1]))
assert after - before < 30, (before, after)
assert files_after <= files_before, (files_before, files_after)
"""


@pytest.mark.parametrize("times", [10, pytest.param(500, marks=pytest.mark.slow)])
def test_renderers_do_not_leak_memory_or_files(times):
    # In a process of its own: what other tests leave to be freed changes the size of this one.
    program = [sys.executable, "-P", "-c", CYCLES, str(times)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_closed_renderer_raises(states):
    renderer = make_renderer(rig=load_rig("dactyl-200"), image_size=32)
    renderer.close()
    renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(states[0], sample())


def test_unknown_renderer_lists_the_known_ones():
    with pytest.raises(InputError, match="classic"):
        make_renderer("raytraced", rig=load_rig("dactyl-200"))


OPENING = """
from opendactyl.core.errors import EnvironmentFailure
from opendactyl.geometry.rig import load_rig
from opendactyl.render.factory import make_renderer
try:
    make_renderer(rig=load_rig('dactyl'), image_size=32)
except EnvironmentFailure as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"MUJOCO_GL": "glfw"}, "DISPLAY"),
        ({"MUJOCO_GL": "disable"}, "GLContext"),
        ({"MUJOCO_GL": "egl", "MUJOCO_EGL_DEVICE_ID": "99"}, "MUJOCO_EGL_DEVICE_ID"),
        ({"MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent.json"}, "EGL"),
    ],
    ids=["glfw without display", "disabled", "unknown device", "no driver"],
)
def test_contexts_that_cannot_be_opened_are_failures_of_the_environment(
    python, environment, reason
):
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    inherited = {key: value for key, value in os.environ.items() if key not in displays}
    result = python("-c", OPENING, env=inherited | environment)
    assert result.returncode == 0, result.stderr
    assert f"MUJOCO_GL={environment['MUJOCO_GL']} cannot open an OpenGL context" in result.stdout
    assert reason in result.stdout
    assert result.stderr == ""


def test_a_backend_that_is_chosen_after_mujoco_was_imported_is_named(python):
    program = f"import os, mujoco\nos.environ['MUJOCO_GL'] = 'egl'\n{OPENING}"
    absent = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
    result = python("-c", program, env={k: v for k, v in os.environ.items() if k not in absent})
    assert result.returncode == 0, result.stderr
    assert (
        "imported before MUJOCO_GL was set to egl; call opendactyl.render.choose" in result.stdout
    )
