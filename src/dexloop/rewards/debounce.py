"""Believing an answer only once it has been given for a while."""

from __future__ import annotations

from collections import deque


def frames(seconds: float, control_hz: float) -> int:
    """So long in frames, at least one."""
    return max(1, round(seconds * control_hz))


class Debounce:
    """k-of-n: true once at least ``share`` of the last ``window`` answers were true."""

    def __init__(self, window: int, share: float) -> None:
        self._recent: deque[bool] = deque(maxlen=window)
        self._needed = max(1, round(window * share))

    def reset(self) -> None:
        """Start anew."""
        self._recent.clear()

    def __call__(self, hit: bool) -> bool:
        self._recent.append(hit)
        return sum(self._recent) >= self._needed
