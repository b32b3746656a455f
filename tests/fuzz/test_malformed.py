"""Malformed files and command lines: an error of ours in one line, no traceback, no hang."""

import copy
import math
import os
import signal
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings

from opendactyl.core.errors import OpenDactylError

TOTAL, SHARE = int(os.environ.get("OPENDACTYL_FUZZ", 10_000)), 200
"""Inputs of the slow test and of the default one, over all kinds."""
SECONDS = 120
"""Time after which one input counts as a hang."""
KINDS = ("rig", "physics", "appearance", "object", "hand", "scene", "manifest", "label", "bundle",
         "shard", "recording", "command")  # fmt: skip


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
    folder = tmp_path / "a/b/target"  # inputs that escape by two levels are found
    folder.mkdir(parents=True)
    outside = set(tmp_path.rglob("*"))
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
        assert {p for p in tmp_path.rglob("*") if folder not in p.parents} == outside

    attempt()
    assert len(tried) >= count * 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_inputs_are_refused(kind, kinds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(kind, kinds, tmp_path, math.ceil(SHARE / len(KINDS)), repeatable=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_malformed_inputs_are_refused(kind, kinds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(kind, kinds, tmp_path, math.ceil(TOTAL / len(KINDS)), repeatable=False)


def retyped(document, path=()):
    """Copies of a document with one value of another type each, and where it is."""
    node = document
    for key in path:
        node = node[key]
    for value in ([1], {"a": 1}, -1.5, True, "text") if path else ():
        changed = copy.deepcopy(document)
        parent = changed
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = value
        yield f"{path} = {value!r}", changed
    if isinstance(node, dict | list):
        # The first entries of a list stand for the others.
        keys = list(node) if isinstance(node, dict) else range(min(len(node), 2))
        for key in keys:
            yield from retyped(document, (*path, key))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:9])
def test_values_of_every_other_type_are_refused(
    kind, documents, read_document, tmp_path, monkeypatch
):
    """Each value of a valid file in turn, replaced by some of every type."""
    monkeypatch.chdir(tmp_path)
    failed = {}
    for what, changed in (found for d in documents[kind] for found in retyped(d)):
        try:
            with no_hang(), suppress(OpenDactylError):
                read_document(kind, tmp_path, changed)
        except Exception as error:
            failed[what] = repr(error)
    assert not failed
