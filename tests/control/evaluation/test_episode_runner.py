"""How episodes are divided among processes."""

import itertools
from contextlib import closing
from types import SimpleNamespace

from opendactyl.control.evaluation import episode_runner
from opendactyl.control.evaluation.episode_runner import split_batches


def test_the_last_batches_are_single_episodes():
    assert [*split_batches(1, 8, 2, workers=2)] == [(1, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)]
    assert [*split_batches(0, 3, 2, workers=2)] == [(0, 1), (1, 1), (2, 1)]
    assert [*split_batches(0, 5, 2, workers=1)] == [(0, 2), (2, 2), (4, 1)]
    assert [*split_batches(4, 4, 2, workers=2)] == []


def test_batches_of_an_endless_run_are_submitted_when_they_are_due(monkeypatch):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield number, 1

    monkeypatch.setattr(episode_runner._Process, "run", lambda self, batch: [{"episode": batch[0]}])
    config = SimpleNamespace(renderer="classic")
    with closing(episode_runner._in_processes(config, endless(), workers=2)) as found:
        assert [next(found)[0]["episode"] for _ in range(5)] == list(range(5))
    assert len(taken) <= 5 + 2 * episode_runner.SUBMITTED
