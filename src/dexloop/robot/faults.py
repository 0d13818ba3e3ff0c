"""Faults that no single measured state shows: errors, fingers that press for long, and cameras that stand still."""

from __future__ import annotations

from collections.abc import Mapping

from dexloop.errors import DexloopError
from dexloop.robot.devices import Array, Frame
from dexloop.sim.hand import FINGER_NAMES


def said(error: Exception) -> str:
    """An error that ends an episode, as a fault."""
    return str(error) if isinstance(error, DexloopError) else f"controller: {error!r}"


class PressWatch:
    """Notices fingers that press harder than ``force`` [N] for longer than ``seconds``.

    A finger that meets something presses several times as hard for a moment as it was set to, which nothing can
    prevent any more once it is measured.
    """

    def __init__(self, force: float, seconds: float) -> None:
        self._force, self._seconds = force, seconds
        self._since: dict[str, float] = {}

    def forget(self) -> None:
        """Whoever presses has only begun to."""
        self._since.clear()

    def fault_of(self, force: Array, now: float) -> str | None:
        """The first finger that has; force: of each (6,) [N]; ``now``: monotonic time [s]."""
        for name, newtons in zip(FINGER_NAMES, force, strict=True):
            # A force nobody measures is none.
            if not abs(newtons) > self._force:
                self._since.pop(name, None)
            elif now - self._since.setdefault(name, now) >= self._seconds:
                return f"finger {name} presses with {abs(newtons):.1f} N, more than {self._force:g} for too long"
        return None


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
