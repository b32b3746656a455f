"""Set-up of worker processes."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading


def obey_parent() -> None:
    """Ignores Ctrl-C, and ends the process when its parent ends. Call it first in a worker.

    Ctrl-C reaches the whole process group, but only the parent decides how to stop. The workers of
    a parent that was killed would otherwise never end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
