import numpy as np
import pytest
import trimesh

from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import HAND
from opendactyl.render.meshes.visibility import visible_from_outside, visible_from_rig
from opendactyl.render.opengl.renderer import ClassicRenderer
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec


def nested_spheres():
    """Corners (F, 3, 3) of a sphere of 4 cm and a smaller one inside; faces of the first."""
    outer, inner = trimesh.creation.icosphere(2, 0.04), trimesh.creation.icosphere(2, 0.03)
    return np.concatenate([outer.triangles, inner.triangles]), len(outer.faces)


def test_internal_faces_are_not_visible():
    corners, count = nested_spheres()
    visible = visible_from_outside(corners)
    assert visible[:count].all()
    assert not visible[count:].any()


def test_faces_towards_the_cameras_are_visible():
    corners, count = nested_spheres()
    rig = load_rig("dactyl-200")
    visible = visible_from_rig(rig, corners)
    assert not visible[count:].any()
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:count]
    centres = corners.mean(axis=1)[:count]
    positions = [
        -camera.cam_from_hand[:3, :3].T @ camera.cam_from_hand[:3, 3] for camera in rig.cameras
    ]
    facing = [((position - centres) * normals).sum(axis=1) > 0 for position in positions]
    assert visible[:count][np.any(facing, axis=0)].all()
    assert 0.3 < visible[:count].mean() < 0.95


def test_faces_outside_the_views_are_not_visible():
    corners, _ = nested_spheres()
    assert not visible_from_rig(load_rig("dactyl-200"), corners + [0.0, 0.0, 3.0]).any()


@pytest.mark.parametrize("preset", ["dactyl", "wide"])
def test_simplified_hand_has_nearly_the_same_masks(scene, preset):
    rig = load_rig("dactyl-200").resized(128)
    with ClassicRenderer(rig) as simple, ClassicRenderer(rig, full_meshes=True) as full:
        assert (
            simple.render_scene.model.mesh_facenum.sum()
            < 0.4 * full.render_scene.model.mesh_facenum.sum()
        )
        for seed in range(8):
            rng = np.random.default_rng(seed)
            appearance = sample_appearance(rng, PRESETS[preset], views=3, obj=object_spec("block"))
            state = settled_state(scene, rng)
            masks = []
            for renderer in (simple, full):
                renderer.render(state, appearance)
                masks.append(renderer.segment() == HAND)
            intersection, union = masks[0] & masks[1], masks[0] | masks[1]
            assert intersection.sum() / union.sum() > 0.98
