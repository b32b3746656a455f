"""Views that together exceed the largest framebuffer."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.factory import make_renderer
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec

RIG = load_rig("dactyl-200")


@pytest.fixture(scope="module")
def frame(scene):
    """A state and an appearance."""
    rng = np.random.default_rng(4)
    state = settled_state(scene, rng)
    return state, sample_appearance(rng, PRESETS["dactyl"], views=3, obj=object_spec("block"))


def test_views_are_drawn_in_rows(frame, monkeypatch):
    """As at sizes beyond 2,730 pixels; two views fit into this framebuffer."""
    whole = make_renderer(rig=RIG, image_size=96)
    monkeypatch.setattr("opendactyl.render.opengl.renderer.MAX_FRAMEBUFFER", 2 * 2 * 96)
    with whole, make_renderer(rig=RIG, image_size=96) as rows:
        np.testing.assert_array_equal(rows.render(*frame), whole.render(*frame))
        for name in ("segment", "unoccluded_mask", "visible_fraction"):
            np.testing.assert_array_equal(getattr(rows, name)(), getattr(whole, name)())
        # Interpolation rounds differently in another column of the framebuffer.
        np.testing.assert_allclose(rows.depth(), whole.depth(), atol=1e-5)


def test_filament_names_its_largest_size():
    with pytest.raises(InputError, match="at most 2730 pixels per view with 3 cameras, not 2731"):
        make_renderer("filament", rig=RIG, image_size=2731)


@pytest.mark.slow
def test_the_largest_size_is_rendered(frame):
    with make_renderer(rig=RIG, image_size=4096) as large:
        images = large.render(*frame)
    assert images.shape == (3, 4096, 4096, 3) and images.std() > 5
