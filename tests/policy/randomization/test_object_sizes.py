"""Objects of users in randomized sizes: as if the file had other lengths."""

import numpy as np
import pytest
from mujoco.batch import Batch

from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.randomization.model_fields import MESH_SIZES, sized_scene
from opendactyl.sim.object_geoms import OBJECT_BODY
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene

FIELDS = ("geom_size", "geom_rbound", "geom_aabb", "geom_pos", "body_ipos", "body_mass",
          "body_inertia")  # fmt: skip


@pytest.mark.parametrize("name", ["bracket", "can", "tool"])
def test_a_size_is_that_of_a_larger_object(object_folder, tmp_path, name):
    reference = object_folder / f"{name}.toml"
    env = HandEnv(EnvConfig(object=str(reference), randomization="dactyl"), 4, seed=3, threads=1)
    env.reset()
    size = env.randomizer.physics[0].object_size
    if name != "can":
        size = float(MESH_SIZES[np.abs(MESH_SIZES - size).argmin()])
    mass = env.randomizer.physics[0].object_mass
    fields = env.randomizer._fields
    text = reference.read_text()
    if name == "can":
        text = text.replace("= 50", f"= {50 * size}").replace("= 70", f"= {70 * size}")
    else:
        text += f"scale = {size}\n"
    for file in object_folder.iterdir():
        if file.suffix != ".toml":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / f"{name}.toml").write_text(text)
    larger = load_scene(str(tmp_path / f"{name}.toml")).model
    body = larger.body(OBJECT_BODY).id
    geoms = [g for g in range(larger.ngeom) if larger.geom_bodyid[g] == body]
    assert len(geoms) == (2 if name == "bracket" else 1)
    for field in FIELDS:
        where = body if field.startswith("body") else geoms
        expected = getattr(larger, field)[where]
        if field in ("body_mass", "body_inertia"):
            expected = expected * mass
        given = fields._own.get(field)
        actual = getattr(env.scene.model, field)[where] if given is None else given[0][where]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7, err_msg=field)


def test_an_episode_with_a_users_object(object_folder):
    reference = str(object_folder / "bracket.toml")
    env = HandEnv(EnvConfig(object=reference, randomization="dactyl"), 4, seed=0, threads=1)
    env.reset()
    for _ in range(5):
        step = env.step(np.full((4, 20), 5))
    assert np.isfinite(step.policy).all()
    assert isinstance(env.randomizer._fields._batch, Batch)
    assert sized_scene(reference).model.nmesh == 2 * (1 + len(MESH_SIZES)) + 1  # the forearm's too
    assert len(object_spec(reference).planes) > 20
