"""What every worker process does first."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading


def obey_parent() -> None:
    """Leaves Ctrl-C to the parent, and ends when the parent is gone.

    Ctrl-C goes to the whole group of processes, and the parent alone decides what happens then. A
    parent that was killed cannot tell its workers; they would wait for work for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
