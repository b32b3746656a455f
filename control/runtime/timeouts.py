"""Drivers that may hang: each call runs beside the loop, which waits only so long for it."""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from opendactyl.control.runtime.interfaces import CameraSource, Hand, HandReading, Views
from opendactyl.geometry.rotation import Array

T = TypeVar("T")
_log = logging.getLogger(__name__)


class _Worker:
    """One thread that makes a driver's calls; a daemon, so that a stuck one hinders no exit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._last: Future[Any] | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def call(self, function: Callable[[], T]) -> T:
        """The function's result.

        Raises:
            TimeoutError: it, or the call before it, has not answered.
        """
        if self._last is not None and not self._last.done():
            raise TimeoutError(f"no answer to an earlier call within {self._seconds:g} s")
        self._last = answer = Future()
        self._calls.put((answer, function))
        try:
            return answer.result(self._seconds)
        except TimeoutError as error:
            if answer.done():  # It is the driver's own.
                raise
            raise TimeoutError(f"no answer within {self._seconds:g} s") from error

    def stop(self, close: Callable[[], None]) -> None:
        """Makes the last call; a driver that does not answer is left as it is."""
        try:
            self.call(close)
        except TimeoutError as error:
            _log.warning("a driver could not be closed: %s", error)
        finally:
            self._calls.put(None)

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            answer, function = job
            try:
                answer.set_result(function())
            except Exception as error:
                answer.set_exception(error)


class AnsweringHand:
    """A hand whose driver may hang; after `seconds` a call raises `TimeoutError` instead."""

    def __init__(self, hand: Hand, seconds: float) -> None:
        """Wraps a hand."""
        self._hand, self._worker = hand, _Worker(seconds)

    def read(self) -> HandReading:
        """The newest measurement."""
        return self._worker.call(self._hand.read)

    def command(self, targets: Array) -> None:
        """Takes joint targets (20,); those that come too late for the loop may still arrive."""
        self._worker.call(lambda: self._hand.command(targets))

    def close(self) -> None:
        """Lets go of the hand."""
        self._worker.stop(self._hand.close)


class AnsweringCameras:
    """Cameras whose driver may hang; after `seconds` a call raises `TimeoutError` instead."""

    def __init__(self, cameras: CameraSource, seconds: float) -> None:
        """Wraps a camera source."""
        self._cameras, self._worker = cameras, _Worker(seconds)

    def read(self) -> Views:
        """The newest images."""
        return self._worker.call(self._cameras.read)

    def close(self) -> None:
        """Lets go of the cameras."""
        self._worker.stop(self._cameras.close)
