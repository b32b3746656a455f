import os
import subprocess
import sys

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import OBJECT
from opendactyl.render.factory import make_renderer
from opendactyl.render.filament.vulkan import count_devices
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec

ENOUGH_PIXELS = 200


def has_vulkan():
    try:
        return count_devices() > 0
    except InputError:
        return False


pytestmark = pytest.mark.skipif(not has_vulkan(), reason="no Vulkan driver")


def look(preset="dactyl", seed=0):
    rng = np.random.default_rng(seed)
    return sample_appearance(rng, PRESETS[preset], views=3, obj=object_spec("block"))


@pytest.fixture(scope="module")
def pair():
    rig = load_rig("dactyl")
    with (
        make_renderer("classic", rig=rig, image_size=128) as classic,
        make_renderer("filament", rig=rig, image_size=128) as filament,
    ):
        yield classic, filament


@pytest.fixture(scope="module")
def states(scene):
    return [settled_state(scene, np.random.default_rng(seed)) for seed in range(3)]


def masks_agree(pair, state, appearance):
    """The number of views compared; asserts the overlap of each."""
    classic, filament = pair
    for renderer in pair:
        renderer.render(state, appearance)
    compared = 0
    for a, b in zip(classic.segment() == OBJECT, filament.segment() == OBJECT, strict=True):
        if a.sum() >= ENOUGH_PIXELS:
            compared += 1
            assert (a & b).sum() / (a | b).sum() >= 0.97
    return compared


def test_masks_depth_and_visibility_agree_with_classic(pair, states):
    assert sum(masks_agree(pair, s, look("wide", i)) for i, s in enumerate(states)) >= 3
    classic, filament = pair
    assert np.median(np.abs(classic.depth() - filament.depth())) < 1e-4
    np.testing.assert_allclose(classic.visible_fraction(), filament.visible_fraction(), atol=0.03)


@pytest.mark.slow
def test_masks_agree_with_classic_on_a_hundred_states(pair, scene):
    compared = 0
    for seed in range(100):
        state = settled_state(scene, np.random.default_rng([7, seed]))
        compared += masks_agree(pair, state, look("wide", seed))
    assert compared > 200


def test_pictures_repeat_to_the_byte_whatever_came_before(pair, states):
    _, filament = pair
    first = filament.render(states[0], look())
    filament.visible_fraction()
    filament.render(states[1], look("wide", 5))
    np.testing.assert_array_equal(filament.render(states[0], look()), first)


def test_another_renderer_gives_the_same_labels_and_all_but_the_same_picture(pair, states):
    _, filament = pair
    first, seen = filament.render(states[0], look()), filament.segment()
    with make_renderer("filament", rig=load_rig("dactyl"), image_size=128) as other:
        second = other.render(states[0], look())
        np.testing.assert_array_equal(other.segment(), seen)
    assert np.mean(first != second) < 1e-3


def test_pictures_are_another_make_but_alike_in_content(pair, states):
    classic, filament = pair
    for state in states:
        a, b = (r.render(state, look("calibrated")).astype(float) for r in (classic, filament))
        assert 5 < np.abs(a - b).mean() < 80
        assert 30 < b.mean() < 220
        assert b.std() > 15
        correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert correlation > 0.7


def test_closed_renderers_say_so(states):
    renderer = make_renderer("filament", rig=load_rig("dactyl"), image_size=32)
    renderer.close()
    renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(states[0], look())


def test_a_process_may_end_with_a_renderer_open():
    program = (
        "from opendactyl.geometry.rig import load_rig\n"
        "from opendactyl.render.base import make_renderer\n"
        "renderer = make_renderer('filament', rig=load_rig('dactyl'), image_size=32)\n"
    )
    # Python would turn off C's buffers, too, and with them what this is about.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, env=buffered
    )
    assert (result.returncode, result.stdout) == (0, b"")


def test_missing_driver_is_an_input_error(monkeypatch):
    monkeypatch.setenv("VK_ICD_FILENAMES", "/nonexistent.json")
    monkeypatch.setenv("VK_DRIVER_FILES", "/nonexistent.json")
    with pytest.raises(InputError, match="mesa-vulkan-drivers"):
        count_devices()
