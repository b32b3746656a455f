"""Real-time scheduling of the loop."""

import errno
import os
import threading

import pytest

from opendactyl.control.runtime import realtime
from opendactyl.control.runtime.realtime import FIFO, NORMAL, real_time
from opendactyl.core.errors import InputError


def allowed():
    with real_time() as scheduling:
        return scheduling == FIFO


@pytest.mark.skipif(not allowed(), reason="this user may not schedule in real time")
def test_all_threads_are_scheduled_in_real_time_within_the_block():
    seen, go, done = [], threading.Event(), threading.Event()

    def work():
        for event in (go, done):
            event.wait(10)
            seen.append(os.sched_getscheduler(0))

    before = os.sched_getscheduler(0)
    thread = threading.Thread(target=work)
    thread.start()
    with real_time() as scheduling:
        assert (scheduling, os.sched_getscheduler(0)) == (FIFO, os.SCHED_FIFO)
        go.set()
        while not seen:
            os.sched_yield()
    done.set()
    thread.join()
    assert seen == [os.SCHED_FIFO, before]
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
def test_what_is_not_allowed_is_logged_with_a_remedy(number, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with real_time("auto") as scheduling:
        assert scheduling == NORMAL
    (record,) = caplog.records
    assert "rtprio" in record.getMessage() and "\n" not in record.getMessage()


def test_off_changes_nothing(monkeypatch):
    monkeypatch.setattr(realtime, "_schedule", lambda *_: pytest.fail("was called"))
    with real_time("off") as scheduling:
        assert scheduling == NORMAL


def test_an_unknown_mode_is_refused():
    with pytest.raises(InputError, match="auto or off"), real_time("always"):
        pass
