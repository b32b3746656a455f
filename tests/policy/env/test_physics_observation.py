"""Touch and actuator forces: of the hands that sense them, in the simulation's measurements."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.observations import (
    LAYOUTS,
    HandSize,
    Measurement,
    build_observation,
    field_sizes,
    layout_size,
)


def test_fingers_that_close_feel_the_block():
    env = HandEnv(EnvConfig(layout="physics", randomization="vision"), 4, seed=0)
    observation, _ = env.reset()
    assert observation.shape == (4, 75) and np.isfinite(observation).all()
    touched = np.zeros((4, 5), dtype=bool)
    for _ in range(12):
        step = env.step(np.full((4, 20), 9))
        touch, forces = env.measured.touch, env.measured.forces
        assert np.array_equal(step.policy[:, 50:], np.hstack([touch, forces]).astype(np.float32))
        touched |= touch > 0
        limit = np.abs(env.scene.model.actuator_forcerange).max(axis=1)
        assert (np.abs(forces) <= limit + 1e-9).all()
    assert touched.any(axis=1).all()
    assert (touch >= 0).all() and np.abs(forces).max() > 0


def test_the_layout_begins_with_that_of_recurrent_policies():
    default, physics = LAYOUTS["default"], LAYOUTS["physics"]
    assert physics[: len(default)] == default
    size = HandSize(24, 20, 5)
    assert layout_size(physics, size) - layout_size(default, size) == 25
    assert field_sizes(size)["touch"] == 5


def test_what_a_hand_does_not_measure_is_nan():
    identity = np.array([[1.0, 0, 0, 0]])
    measured = Measurement(np.zeros((1, 5, 3)), np.zeros((1, 3)), identity, np.zeros((1, 24)))
    values = build_observation(LAYOUTS["physics"], measured, identity, np.zeros((1, 20)))
    assert np.isnan(values[0, 50:]).all() and np.isfinite(values[0, :50]).all()


def test_a_hand_file_names_one_sensor_for_each_fingertip(tmp_path):
    from opendactyl.sim.hands.load import load_hand
    from opendactyl.sim.hands.model import hand_model
    from opendactyl.sim.hands.shipped import hand_spec

    shadow = hand_spec().path.read_text()
    path = tmp_path / "hand.toml"
    path.write_text(shadow.replace('"ST_Tch_fftip", ', ""))
    with pytest.raises(InputError, match="5 touch sensors, one for each fingertip"):
        load_hand(path)
    path.write_text(shadow.replace("ST_Tch_fftip", "ST_Tch_none"))
    with pytest.raises(InputError, match="no touch sensor 'robot0:ST_Tch_none'"):
        hand_model(load_hand(path))
