import os
import subprocess
import sys

import numpy as np
import pytest

from opendactyl.core.errors import EnvironmentFailure
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import OBJECT
from opendactyl.render.factory import make_renderer
from opendactyl.render.filament.vulkan import count_devices
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec

MIN_PIXELS = 200


def has_vulkan():
    try:
        return count_devices() > 0
    except EnvironmentFailure:
        return False


pytestmark = pytest.mark.skipif(not has_vulkan(), reason="no Vulkan driver")


def sample(preset="dactyl", seed=0):
    rng = np.random.default_rng(seed)
    return sample_appearance(rng, PRESETS[preset], views=3, obj=object_spec("block"))


@pytest.fixture(scope="module")
def pair():
    rig = load_rig("dactyl-200")
    with (
        make_renderer("classic", rig=rig, image_size=128) as classic,
        make_renderer("filament", rig=rig, image_size=128) as filament,
    ):
        yield classic, filament


@pytest.fixture(scope="module")
def states(scene):
    return [settled_state(scene, np.random.default_rng(seed)) for seed in range(3)]


def compare_masks(pair, state, appearance):
    """Asserts the IoU of each view's masks; returns the number of views compared."""
    classic, filament = pair
    for renderer in pair:
        renderer.render(state, appearance)
    compared = 0
    for a, b in zip(classic.segment() == OBJECT, filament.segment() == OBJECT, strict=True):
        if a.sum() >= MIN_PIXELS:
            compared += 1
            assert (a & b).sum() / (a | b).sum() >= 0.97
    return compared


def test_masks_depth_and_visibility_agree_with_classic(pair, states):
    assert sum(compare_masks(pair, s, sample("wide", i)) for i, s in enumerate(states)) >= 3
    classic, filament = pair
    assert np.median(np.abs(classic.depth() - filament.depth())) < 1e-4
    np.testing.assert_allclose(classic.visible_fraction(), filament.visible_fraction(), atol=0.03)


@pytest.mark.slow
def test_masks_agree_with_classic_on_a_hundred_states(pair, scene):
    compared = 0
    for seed in range(100):
        state = settled_state(scene, np.random.default_rng([7, seed]))
        compared += compare_masks(pair, state, sample("wide", seed))
    assert compared > 200


def test_images_are_independent_of_previous_ones(pair, states):
    _, filament = pair
    first = filament.render(states[0], sample())
    filament.visible_fraction()
    filament.render(states[1], sample("wide", 5))
    np.testing.assert_array_equal(filament.render(states[0], sample()), first)


def test_second_renderer_gives_the_same_labels_and_nearly_the_same_images(pair, states):
    _, filament = pair
    first, segment = filament.render(states[0], sample()), filament.segment()
    with make_renderer("filament", rig=load_rig("dactyl-200"), image_size=128) as other:
        second = other.render(states[0], sample())
        np.testing.assert_array_equal(other.segment(), segment)
    assert np.mean(first != second) < 1e-3


def test_images_correlate_with_classic_but_differ(pair, states):
    classic, filament = pair
    for state in states:
        a, b = (r.render(state, sample("calibrated")).astype(float) for r in (classic, filament))
        assert 5 < np.abs(a - b).mean() < 80
        assert 30 < b.mean() < 220
        assert b.std() > 15
        correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert correlation > 0.7


def test_closed_renderer_raises(states):
    renderer = make_renderer("filament", rig=load_rig("dactyl-200"), image_size=32)
    renderer.close()
    renderer.close()
    with pytest.raises(RuntimeError, match="closed"):
        renderer.render(states[0], sample())


def test_process_exits_cleanly_with_an_open_renderer():
    program = (
        "from opendactyl.geometry.rig import load_rig\n"
        "from opendactyl.render.factory import make_renderer\n"
        "renderer = make_renderer('filament', rig=load_rig('dactyl'), image_size=32)\n"
    )
    # This variable also disables C's buffers, whose late flush this test is about.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, env=buffered
    )
    assert (result.returncode, result.stdout) == (0, b"")


def test_missing_driver_is_a_failure_of_the_environment(monkeypatch):
    monkeypatch.setenv("VK_ICD_FILENAMES", "/nonexistent.json")
    monkeypatch.setenv("VK_DRIVER_FILES", "/nonexistent.json")
    with pytest.raises(EnvironmentFailure, match=r"no Vulkan .*mesa-vulkan-drivers"):
        count_devices()


@pytest.mark.parametrize(
    ("library", "reason"), [(None, "no Vulkan loader"), ("libnosuch.so.1", "loader is broken")]
)
def test_missing_loader_is_a_failure_of_the_environment(monkeypatch, library, reason):
    monkeypatch.setattr("ctypes.util.find_library", lambda name: library)
    with pytest.raises(EnvironmentFailure, match=f"{reason}.*libvulkan1"):
        count_devices()
