"""Time limits for drivers that may hang: each call runs in a thread of its own."""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from opendactyl.control.runtime.interfaces import (
    CameraSource,
    Hand,
    HandReading,
    TimedViews,
    Views,
)
from opendactyl.geometry.rotation import Array

T = TypeVar("T")
_log = logging.getLogger(__name__)


class _Worker:
    """A daemon thread that makes a driver's calls; a blocked call does not prevent exit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._last: Future[Any] | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def call(self, function: Callable[[], T]) -> T:
        """Returns the function's result.

        Raises:
            TimeoutError: this call or the previous one has not returned in time.
        """
        if self._last is not None and not self._last.done():
            raise TimeoutError(f"the previous call has not returned within {self._seconds:g} s")
        self._last = answer = Future()
        self._calls.put((answer, function))
        try:
            return answer.result(self._seconds)
        except TimeoutError as error:
            if answer.done():  # Raised by the driver itself.
                raise
            raise TimeoutError(f"no answer within {self._seconds:g} s") from error

    def stop(self, close: Callable[[], None]) -> None:
        """Closes the driver and ends the thread; logs a driver that does not respond."""
        try:
            self.call(close)
        except TimeoutError as error:
            _log.warning("could not close a driver: %s", error)
        finally:
            self._calls.put(None)

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            answer, function = job
            try:
                answer.set_result(function())
            except Exception as error:
                answer.set_exception(error)


class HandWithTimeout:
    """Wraps a hand; a call that takes longer than `seconds` raises `TimeoutError`."""

    def __init__(self, hand: Hand, seconds: float) -> None:
        """Starts the thread."""
        self._hand, self._worker = hand, _Worker(seconds)

    def read(self) -> HandReading:
        """Returns the newest measurement."""
        return self._worker.call(self._hand.read)

    def command(self, targets: Array) -> None:
        """Sends joint targets (20,); after a timeout the driver may still execute them."""
        self._worker.call(lambda: self._hand.command(targets))

    def close(self) -> None:
        """Disconnects from the hand."""
        self._worker.stop(self._hand.close)


class CamerasWithTimeout:
    """Wraps a camera source; a call that takes longer than `seconds` raises `TimeoutError`."""

    def __init__(self, cameras: CameraSource, seconds: float) -> None:
        """Starts the thread."""
        self._cameras, self._worker = cameras, _Worker(seconds)

    def read(self) -> Views | TimedViews:
        """Returns the newest images."""
        return self._worker.call(self._cameras.read)

    def close(self) -> None:
        """Disconnects from the cameras."""
        self._worker.stop(self._cameras.close)
