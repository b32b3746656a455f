"""Automatic domain randomization: bounds converge, buffers hold results of one version only."""

import json
import math

import numpy as np
import pytest

from opendactyl.core.adr_bounds import AdrBounds, AdrSettings, Bound
from opendactyl.core.errors import InputError

SMALL = AdrSettings(buffer=20, widen=0.7, narrow=0.3, step=0.05)
BOTH = {"mass": ("low", "high"), "noise": ("high",)}


def test_bounds_converge_to_the_frontier_of_a_toy_problem():
    """An episode succeeds with a probability that falls from 1 to 0 around a known extent."""
    frontier = {Bound("mass", "low"): 0.5, Bound("mass", "high"): 1.2, Bound("noise", "high"): 0.3}
    rng = np.random.default_rng(0)
    bounds = AdrBounds(BOTH, SMALL)
    for _ in range(30_000):
        snapshot = bounds.snapshot()
        bound = list(frontier)[rng.integers(3)]
        distance = snapshot.extents[bound] - frontier[bound]
        success = rng.random() < 1 / (1 + math.exp(20 * distance))
        bounds.record(bound, snapshot.versions[bound], success)
    reached = bounds.snapshot().extents
    for bound, extent in frontier.items():
        assert reached[bound] == pytest.approx(extent, abs=0.1)


def test_scores_of_older_bounds_are_discarded():
    bounds, bound = AdrBounds(BOTH, SMALL), Bound("noise", "high")
    for _ in range(SMALL.buffer):
        bounds.record(bound, 0, 1.0)
    assert bounds.snapshot().extents[bound] == pytest.approx(0.05)
    assert bounds.snapshot().versions[bound] == 1
    for _ in range(10 * SMALL.buffer):
        assert not bounds.record(bound, 0, 0.0)
    assert bounds.to_dict()["noise/high"]["scores"] == []
    for _ in range(SMALL.buffer):
        bounds.record(bound, 1, 0.0)
    assert bounds.snapshot().extents[bound] == 0


def test_scores_between_the_thresholds_move_nothing():
    bounds, bound = AdrBounds(BOTH, SMALL), Bound("mass", "low")
    for _ in range(SMALL.buffer):
        bounds.record(bound, 0, 0.5)
    assert bounds.snapshot().versions[bound] == 0
    assert bounds.to_dict()["mass/low"]["scores"] == []


def test_bounds_stay_between_zero_and_the_limit():
    settings = AdrSettings(buffer=1, widen=0.7, narrow=0.3, step=0.3, limit=0.5)
    bounds, bound = AdrBounds(BOTH, settings), Bound("mass", "high")
    assert not bounds.record(bound, 0, 0.0)
    for expected in (0.3, 0.5, 0.5):
        bounds.record(bound, bounds.snapshot().versions[bound], 1.0)
        assert bounds.snapshot().extents[bound] == pytest.approx(expected)


def test_the_entropy_is_finite_at_the_start_and_grows():
    bounds = AdrBounds(BOTH, AdrSettings(buffer=1, widen=0.7, narrow=0.3, step=0.1))
    assert bounds.entropy == pytest.approx(math.log(1e-3))
    bounds.record(Bound("mass", "low"), 0, 1.0)
    bounds.record(Bound("mass", "high"), 0, 1.0)
    bounds.record(Bound("noise", "high"), 0, 1.0)
    assert bounds.entropy == pytest.approx((math.log(0.2) + math.log(0.1)) / 2)


def test_the_state_survives_a_json_file_with_its_buffers():
    bounds, bound = AdrBounds(BOTH, SMALL), Bound("mass", "high")
    for _ in range(SMALL.buffer + 3):
        bounds.record(bound, bounds.snapshot().versions[bound], 1.0)
    again = AdrBounds(BOTH, SMALL)
    again.load(json.loads(json.dumps(bounds.to_dict())))
    assert again.to_dict() == bounds.to_dict()
    assert len(again.to_dict()["mass/high"]["scores"]) == 3


def test_the_state_of_other_parameters_is_refused():
    bounds = AdrBounds(BOTH, SMALL)
    with pytest.raises(InputError, match="noise/high"):
        bounds.load(AdrBounds({"mass": ("low", "high")}, SMALL).to_dict())


@pytest.mark.parametrize(
    "options", [{"buffer": 0}, {"step": 0.0}, {"widen": 5.0}, {"boundary_probability": 1.5}]
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(InputError):
        AdrSettings(**options)
