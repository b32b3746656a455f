"""Appearances: sampled values and their ranges, textures, and configuration files."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.render.appearance.config import PRESETS, Appearance, load_appearance
from opendactyl.render.appearance.elements import Backdrop
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.appearance.textures import backdrop_texture
from opendactyl.sim.objects.shipped import object_spec


def sample(preset="dactyl", seed=0):
    rng = np.random.default_rng(seed)
    return sample_appearance(rng, PRESETS[preset], views=3, obj=object_spec("block"))


def test_dict_round_trip():
    for preset in PRESETS:
        appearance = sample(preset, 7)
        assert Appearance.from_dict(appearance.to_dict()) == appearance


def test_calibrated_is_not_randomized():
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
    a, b = sample("calibrated", 1).to_dict(), sample("calibrated", 2).to_dict()
    assert all(a[key] == b[key] for key in fixed)


def test_sampled_values_are_in_their_ranges():
    config = PRESETS["dactyl"]
    for seed in range(50):
        a = sample(seed=seed)
        assert 4 <= len(a.lights) <= 6
        total = sum(light.intensity for light in a.lights)
        assert config.light_total[0] - 1e-9 <= total <= config.light_total[1] + 1e-9
        assert np.max(np.abs(a.camera_offset)) <= config.camera_position
        assert np.max(np.linalg.norm(a.camera_rotvec, axis=1)) <= config.camera_rotation
        assert all(light.position[2] > 0 for light in a.lights)


def test_a_thousand_textures_differ():
    appearances = [sample("wide", seed) for seed in range(500)]
    backdrops = [b for a in appearances for b in (a.floor, a.wall)]
    assert len({backdrop_texture(b, 16).tobytes() for b in backdrops}) >= 1000 - 10
    assert {b.pattern for b in backdrops} == {"gradient", "stripes", "checker", "noise", "clouds"}


def test_textures_tile_seamlessly():
    for pattern in ("noise", "clouds"):
        backdrop = Backdrop(
            pattern=pattern, first=(0, 0, 0), second=(1, 1, 1), scale=4, tile=1.0, seed=3
        )
        texture = backdrop_texture(backdrop).astype(int)
        inside = np.abs(np.diff(texture, axis=0)).max()
        across = np.abs(texture[0] - texture[-1]).max()
        assert 0 < across <= inside + 1


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


@pytest.mark.parametrize(
    "line",
    [
        'face_hue = "x"', "face_hue = nan", "face_hue = -0.1", "lights = [8, 8]", "lights = [6, 4]",
        "lights = 4", "lights = [4.5, 5.0]", "background_tile = [0, 1]", "distractors = [9, 9]",
        "shadow = true", "hand_random = 1",
    ],
)  # fmt: skip
def test_invalid_values_are_named(tmp_path, line):
    path = tmp_path / "mine.toml"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=line.split(" ")[0]):
        load_appearance(str(path))


def test_a_number_beyond_the_largest_float_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_text(f"light_distance = [{10**400}, 1.5]\n")
    with pytest.raises(InputError, match="light_distance"):
        load_appearance(str(tmp_path / "mine.toml"))
