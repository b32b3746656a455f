"""Malformed files and command lines: an error of ours in one line, no traceback, no hang."""

import signal
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings

from opendactyl.core.errors import OpenDactylError

TOTAL, SHARE = 10_000, 200
"""Inputs of the slow test and of the default one, over all kinds."""
SECONDS = 120
"""Time after which one input counts as a hang."""
KINDS = ("rig", "physics", "appearance", "object", "manifest", "label", "shard", "bundle",
         "recording", "command")  # fmt: skip


@contextmanager
def no_hang():
    def stop(*_):
        raise AssertionError(f"no end within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(kind, kinds, tmp_path, count, *, repeatable):
    """Gives malformed inputs of a kind to its reader; any error but ours fails."""
    strategy, read = kinds[kind]
    folder = tmp_path / "target"
    folder.mkdir()
    tried = []

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=repeatable,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def attempt(value):
        tried.append(None)
        with no_hang(), suppress(OpenDactylError):
            read(folder, value)
        assert [path.name for path in tmp_path.iterdir()] == ["target"]

    attempt()
    assert len(tried) >= count * 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_inputs_are_refused(kind, kinds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(kind, kinds, tmp_path, SHARE // len(KINDS), repeatable=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_malformed_inputs_are_refused(kind, kinds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(kind, kinds, tmp_path, TOTAL // len(KINDS), repeatable=False)
