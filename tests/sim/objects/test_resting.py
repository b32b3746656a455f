"""The faces on which objects rest."""

import numpy as np
import pytest

from opendactyl.geometry.rotation import quat_rotate
from opendactyl.sim.objects.resting import rests
from opendactyl.sim.objects.shipped import object_spec


def below(obj, found):
    """Lowest points of the object at rest, above the plane."""
    heights = [quat_rotate(q, obj.hull_points)[:, 2].min() for q in found.quaternions]
    return found.heights + heights


def test_a_cube_rests_on_six_faces_and_a_prism_on_ten():
    cube, prism = object_spec("block"), object_spec("prism")
    found = rests(cube)
    np.testing.assert_allclose(found.heights, 0.0285)
    np.testing.assert_allclose(found.weights, 1 / 6)
    down = {tuple(np.round(quat_rotate(q, [0, 0, 1.0])).astype(int)) for q in found.quaternions}
    assert down == {(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)}
    found = rests(prism)
    np.testing.assert_allclose(sorted(found.heights), [0.027] * 8 + [0.033] * 2)
    np.testing.assert_allclose(below(prism, found), 0, atol=1e-9)
    assert found.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", ["crate", "egg", "tool", "bracket", "can", "rod"])
def test_meshes_rest_on_their_hulls(object_folder, name):
    obj = object_spec(str(object_folder / f"{name}.toml"))
    found = rests(obj)
    np.testing.assert_allclose(below(obj, found), 0, atol=1e-4)
    assert found.weights.sum() == pytest.approx(1)
    assert np.all(found.weights > 0)


def test_a_tall_box_does_not_stand_on_an_edge_and_falls_on_its_sides(tmp_path):
    path = tmp_path / "bar.toml"
    path.write_text('shape = "box"\nsize = [20, 20, 80]\nunit = "mm"\nmass = 0.03\n')
    found = rests(object_spec(str(path)))
    assert sorted(np.round(found.heights, 4)) == [0.01] * 4 + [0.04] * 2
    assert found.weights[found.heights < 0.02].sum() > 0.9  # solid angle of the long sides
