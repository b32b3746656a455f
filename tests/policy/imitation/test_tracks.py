"""Tracks on disk."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import random_quat
from opendactyl.policy.imitation.programs import Program
from opendactyl.policy.imitation.tracks import Track, TrackStore, read_tracks, write_tracks


def tracks(seed, count):
    """Random orientations."""
    rng, program = np.random.default_rng(seed), Program(("yaw 90",))
    return [Track(program, random_quat(rng, (20,)), np.array([0, 12])) for _ in range(count)]


def test_tracks_are_kept_on_disk(tmp_path):
    made = tracks(1, 5)
    write_tracks(tmp_path / "a.npz", made)
    for one, other in zip(read_tracks(tmp_path / "a.npz"), made, strict=True):
        assert one.program.steps == other.program.steps
        np.testing.assert_allclose(one.quaternions, other.quaternions, atol=1e-6)
        np.testing.assert_array_equal(one.waypoints, other.waypoints)
    (tmp_path / "b.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="holds no tracks"):
        read_tracks(tmp_path / "b.npz")


def test_a_damaged_shard_is_named_and_recorded_again(tmp_path, monkeypatch):
    monkeypatch.setattr("opendactyl.policy.imitation.tracks.SHARD", 4)
    store = TrackStore(tmp_path, 4)
    for number in store.missing(10):
        store.add(tracks, number, 2 if number == 2 else 4)
    whole = [path.read_bytes() for path in store.shards]
    for content in (whole[1][:200], b""):
        store.shards[1].write_bytes(content)
        with pytest.raises(InputError, match=r"tracks-00001\.npz holds no tracks"):
            store.load()
    store.shards[1].unlink()
    assert store.missing(10) == [1]
    store.add(tracks, 1, 4)
    assert len(store.shards) == 3 and store.missing(10) == []
    assert store.shards[1].read_bytes() == whole[1]
