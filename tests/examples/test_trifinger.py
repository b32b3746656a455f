"""The files of `examples/trifinger`; the robot's model is not part of any dependency."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.render.appearance.config import load_appearance
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene
from opendactyl.sim.scene_states import SceneStates
from opendactyl.sim.scenery.reference import scenery

FILES = Path(__file__).parents[2] / "examples/trifinger"


def test_the_files_are_valid(monkeypatch):
    scene, cube = scenery(FILES / "scene.toml"), object_spec(str(FILES / "cube.toml"))
    assert [model.name for model in scene.models] == ["robot", "arena"]
    np.testing.assert_allclose(cube.half_extent, 0.0325)
    assert load_appearance(str(FILES / "appearance.toml")).face_hue == 0.04
    monkeypatch.setenv("OPENDACTYL_ASSETS", "/nonexistent")
    with pytest.raises(InputError, match=r"trifingerpro\.urdf .*get it with `pip download"):
        _ = scenery(FILES / "scene.toml").assets


@pytest.mark.slow
def test_states_of_the_robot_are_drawn():
    try:
        _ = scenery(FILES / "scene.toml").assets
    except InputError as error:
        pytest.skip(str(error))
    scene = load_scene(str(FILES / "cube.toml"), f"scene:{FILES / 'scene.toml'}")
    assert len(scene.hand.joints) == 10  # nine of the fingers, and the floor's
    states = SceneStates(scene)
    positions = [states.sample(np.random.default_rng(i)).position for i in range(50)]
    assert np.linalg.norm(np.array(positions)[:, :2], axis=1).max() <= 0.17
