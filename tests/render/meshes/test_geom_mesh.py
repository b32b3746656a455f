"""The surfaces of all kinds of geoms."""

import mujoco
import numpy as np
import pytest

from opendactyl.render.meshes.geom_mesh import geom_mesh

KINDS = {
    "box": ("0.1 0.2 0.3", 8 * 0.1 * 0.2 * 0.3),
    "cylinder": ("0.1 0.3", 2 * np.pi * 0.1**2 * 0.3),
    "capsule": ("0.1 0.3", np.pi * 0.1**2 * (2 * 0.3 + 4 / 3 * 0.1)),
    "sphere": ("0.1", 4 / 3 * np.pi * 0.1**3),
    "ellipsoid": ("0.1 0.2 0.3", 4 / 3 * np.pi * 0.1 * 0.2 * 0.3),
}


def model(kind, size):
    geom = f'<geom type="{kind}" size="{size}" pos="1 2 3" quat="0.8 0 0.6 0"/>'
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geom}</worldbody></mujoco>")


@pytest.mark.parametrize("kind", KINDS)
def test_a_surface_has_the_size_and_place_of_its_geom(kind):
    size, volume = KINDS[kind]
    mesh = geom_mesh(model(kind, size), 0)
    assert mesh.volume == pytest.approx(volume, rel=0.05)
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), [1, 2, 3], atol=1e-6)


def test_a_plane_has_none():
    with pytest.raises(ValueError, match="no surface"):
        geom_mesh(model("plane", "1 1 1"), 0)
