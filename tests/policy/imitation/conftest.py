"""Toy tracks that go straight from goal to goal, and the composition of examples from them."""

import numpy as np
import pytest

from opendactyl.geometry.rotation import quat_multiply, quat_to_rotvec, random_quat
from opendactyl.policy.imitation import codes
from opendactyl.policy.imitation.dataset import Composer
from opendactyl.policy.imitation.forms import sample_program, training_programs
from opendactyl.policy.imitation.segments import Motions
from opendactyl.policy.imitation.tracks import Track

NOISE = np.eye(3) * 1e-8
MOVING, RESTING = 20, 12


def slerp_track(program, rng):
    """A track that goes straight from goal to goal and rests there."""
    reached, track, marks = [random_quat(rng)], [], [0]
    track.append(reached[0])
    for action in program.actions:
        goal = action.goal(np.array(reached))
        relative = quat_to_rotvec(quat_multiply(goal, reached[-1] * [1, -1, -1, -1]))
        for part in np.append(np.linspace(0, 1, MOVING)[1:], np.ones(RESTING)):
            angle = np.linalg.norm(relative) * part / 2
            axis = relative / max(np.linalg.norm(relative), 1e-9)
            step = np.append(np.cos(angle), np.sin(angle) * axis)
            track.append(quat_multiply(step, reached[-1]))
        reached.append(goal)
        marks.append(len(track) - 1)
    return Track(program, np.array(track), np.array(marks))


def toy_tracks(seed, count):
    rng = np.random.default_rng(seed)
    return [slerp_track(sample_program(rng), rng) for _ in range(count)]


@pytest.fixture(scope="session")
def tracks():
    """Makes tracks, given a seed and a number."""
    return toy_tracks


@pytest.fixture(scope="session")
def perform():
    """Makes the track of a program."""
    return slerp_track


@pytest.fixture(scope="session")
def noise():
    return NOISE


@pytest.fixture(scope="session")
def forms():
    """Programs of a training, as codes."""
    return codes.encode_programs(training_programs(np.random.default_rng(0), 40))


@pytest.fixture(scope="session")
def composer():
    return Composer(Motions(toy_tracks(0, 30)), NOISE)
