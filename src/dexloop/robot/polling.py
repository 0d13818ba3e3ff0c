"""A device that is read in a thread of its own, at its own rate, so that nobody else waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from dexloop.errors import DexloopError
from dexloop.robot.devices import DeviceError

T = TypeVar("T")


class Poller(Generic[T]):
    """Calls ``read`` every ``period`` [s] and keeps the newest result; its thread ends with ``close``.

    The first call is made at once and by the caller, and its error is the caller's. A later one is kept until
    ``forget``. name: of the device, for messages. stale: age at which the newest result is an error [s].
    """

    def __init__(self, name: str, period: float, read: Callable[[], T], stale: float) -> None:
        self._name, self._period, self._read, self._stale = name, period, read, stale
        self._changed = threading.Condition()
        self._began = time.monotonic()
        self._newest, self._seconds = read(), time.monotonic()
        self._error: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"dexloop-{name}", daemon=True)
        self._thread.start()

    def newest(self) -> T:
        """The newest result, without waiting. Raises DeviceError for one that failed since ``forget`` or is stale."""
        with self._changed:
            newest, age, error = self._newest, time.monotonic() - self._seconds, self._error
        if error is not None:
            raise DeviceError(f"{self._name}: {error}")
        if age > self._stale:
            raise DeviceError(f"{self._name}: nothing new for {age:.1f} s")
        return newest

    def forget(self, timeout: float) -> T:
        """Forget errors, and wait for a result that begins after this. Raises DeviceError for none in time [s]."""
        with self._changed:
            since, self._error = time.monotonic(), None
            # The read that is under way may be older than what was done to the device.
            if not self._changed.wait_for(lambda: self._error or self._began > since, timeout):
                raise DeviceError(f"{self._name}: no answer within {timeout:g} s")
        return self.newest()

    def close(self) -> None:
        """End the thread, after the call that it is in."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            due = max(due + self._period, began)
            try:
                newest, error = self._read(), None
            except Exception as problem:
                # Nobody would hear of a thread that ended.
                newest, error = None, str(problem) if isinstance(problem, DexloopError) else repr(problem)
            with self._changed:
                if newest is None:
                    self._error = self._error or error
                else:
                    self._newest, self._seconds, self._began = newest, time.monotonic(), began
                self._changed.notify_all()
