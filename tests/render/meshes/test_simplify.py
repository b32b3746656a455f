import numpy as np
import pytest
import trimesh

from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import HAND
from opendactyl.render.meshes.visibility import seen_by, seen_from_outside
from opendactyl.render.opengl.renderer import ClassicRenderer
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec


def nested_spheres():
    """Corners (F, 3, 3) of a sphere of 4 cm, and of a smaller one inside it, at the hand."""
    outer, inner = trimesh.creation.icosphere(2, 0.04), trimesh.creation.icosphere(2, 0.03)
    return np.concatenate([outer.triangles, inner.triangles]), len(outer.faces)


def test_what_is_inside_is_not_seen():
    corners, outside = nested_spheres()
    seen = seen_from_outside(corners)
    assert seen[:outside].all()
    assert not seen[outside:].any()


def test_a_rig_sees_the_side_that_faces_it():
    corners, outside = nested_spheres()
    rig = load_rig("dactyl")
    seen = seen_by(rig, corners)
    assert not seen[outside:].any()
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:outside]
    centres = corners.mean(axis=1)[:outside]
    eyes = [-camera.cam_from_hand[:3, :3].T @ camera.cam_from_hand[:3, 3] for camera in rig.cameras]
    facing = [((eye - centres) * normals).sum(axis=1) > 0 for eye in eyes]
    assert seen[:outside][np.any(facing, axis=0)].all()
    assert 0.3 < seen[:outside].mean() < 0.95


def test_what_no_camera_has_in_view_is_not_kept():
    corners, _ = nested_spheres()
    assert not seen_by(load_rig("dactyl"), corners + [0.0, 0.0, 3.0]).any()


@pytest.mark.parametrize("preset", ["dactyl", "wide"])
def test_a_simplified_hand_covers_what_the_whole_one_does(scene, preset):
    rig = load_rig("dactyl").resized(128)
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
            both, either = masks[0] & masks[1], masks[0] | masks[1]
            assert both.sum() / either.sum() > 0.98
