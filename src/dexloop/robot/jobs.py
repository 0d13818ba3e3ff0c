"""Work that other threads hand to the one that controls the robot."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from dexloop.errors import DexloopError

T = TypeVar("T")


class Jobs:
    """Done between two ticks, in the order in which they were asked for; ``alive``: whether anybody does them."""

    def __init__(self, alive: Callable[[], bool]) -> None:
        self._alive = alive
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def ask(self, work: Callable[[], T]) -> T:
        """Have ``work`` done and wait for its result; raises what it raises, and DexloopError when nobody does it."""
        done: Future[T] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self._waiting.put(job)
        while True:
            try:
                return done.result(timeout=0.5)
            except FutureTimeoutError:
                if not self._alive():
                    raise DexloopError("the controller is closed") from None

    def do_all(self) -> None:
        """Do what waits."""
        while not self._waiting.empty():
            self._waiting.get()()
