"""What a policy's memory knows of the object it holds."""

import numpy as np
import pytest

from opendactyl.policy import probe as probing
from opendactyl.policy.probe import reading_accuracy


def test_a_reading_tells_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    larger = rng.random(800) < 0.5
    features = rng.normal(size=(800, 20)).astype(np.float32)
    assert reading_accuracy(features, larger) == pytest.approx(0.5, abs=0.1)
    features[:, 3] += 2.0 * larger
    assert reading_accuracy(features, larger) > 0.75


def test_the_probe_looks_at_every_second(policy_run, monkeypatch):
    monkeypatch.setattr(probing, "ROUNDS", 2)
    monkeypatch.setattr(probing, "HANDS", 8)
    monkeypatch.setattr(probing, "SECONDS", (0.16, 0.4))
    report = probing.probe(policy_run)
    assert len(report["memory"]) == len(report["observation"]) == 2
    assert report["n"] == [16, 16]
    assert all(0 <= share <= 1 for share in report["memory"])
