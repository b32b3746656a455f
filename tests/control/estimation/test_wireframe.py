"""Edges of convex hulls."""

import numpy as np
import pytest

from opendactyl.control.estimation.wireframe import convex_edges
from opendactyl.sim.objects.shipped import object_spec


@pytest.mark.parametrize(("name", "count"), [("block", 12), ("prism", 24)])
def test_the_edges_of_the_shipped_objects(name, count):
    spec = object_spec(name)
    rounded = spec.keypoints.astype(np.float32)
    edges = convex_edges(rounded)
    assert edges.shape == (count, 2, 3)
    corners = {tuple(corner) for corner in rounded[: len(spec.corners)].astype(float)}
    assert {tuple(end) for edge in edges for end in edge} == corners


def test_points_inside_and_on_edges_add_none():
    tetrahedron = np.vstack([np.zeros(3), np.eye(3)])
    middle = (tetrahedron[1] + tetrahedron[2]) / 2
    assert len(convex_edges([*tetrahedron, [0.1, 0.1, 0.1], middle])) == 6
