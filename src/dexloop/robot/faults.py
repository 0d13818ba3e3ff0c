"""Faults that no measured state shows: errors, and cameras that stand still."""

from __future__ import annotations

from collections.abc import Mapping

from dexloop.errors import DexloopError
from dexloop.robot.devices import Frame


def said(error: Exception) -> str:
    """An error that ends an episode, as a fault."""
    return str(error) if isinstance(error, DexloopError) else f"controller: {error!r}"


class CameraWatch:
    """Notices cameras whose counter stands still for longer than ``frozen`` [s]."""

    def __init__(self, frozen: float) -> None:
        self._frozen = frozen
        self._seen: dict[str, tuple[int, float]] = {}

    def forget(self) -> None:
        """Nobody looked for a while."""
        self._seen.clear()

    def fault_of(self, frames: Mapping[str, Frame], now: float) -> str | None:
        """The first camera that stands still; ``now``: monotonic time [s]."""
        for name, frame in frames.items():
            counter, since = self._seen.get(name, (-1, now))
            if counter != frame.counter:
                self._seen[name] = (frame.counter, now)
            elif now - since > self._frozen:
                return f"camera {name} shows nothing new for {now - since:.1f} s"
        return None
