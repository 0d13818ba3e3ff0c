"""The pipe between an actor and its learner process: ready, finish, leave, and the death of either.

A pipe and no shared events or locks: whoever is killed with a shared lock in its hand blocks the other for ever and
leaves shared memory behind, while the other end of a pipe learns of it at once.
"""

from __future__ import annotations

from contextlib import suppress
from multiprocessing.connection import Connection

_READY, _FINISH, _LEAVE = b"ready", b"finish", b"leave"


class ActorEnd:
    """What the actor tells its learner; telling one that is gone does nothing."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def is_ready(self, patience: float) -> bool:
        """Whether the learner says, within ``patience`` [s], that it has caught up."""
        try:
            return self._pipe.poll(patience) and self._pipe.recv_bytes() == _READY
        except (EOFError, OSError):
            return False

    def finish(self) -> None:
        """End once no updates are left to make."""
        self._send(_FINISH)

    def leave(self) -> None:
        """End now."""
        self._send(_LEAVE)

    def _send(self, order: bytes) -> None:
        with suppress(OSError):
            self._pipe.send_bytes(order)


class LearnerEnd:
    """What the learner has been told so far; an actor that is gone means leave."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._told: set[bytes] = set()

    def ready(self) -> None:
        """Tell the actor that it may begin."""
        with suppress(OSError):
            self._pipe.send_bytes(_READY)

    @property
    def finishing(self) -> bool:
        """Whether to end once no updates are left to make."""
        return _FINISH in self._listen()

    @property
    def wanted(self) -> bool:
        """Whether to go on at all."""
        return _LEAVE not in self._listen()

    def _listen(self) -> set[bytes]:
        try:
            while self._pipe.poll():
                self._told.add(self._pipe.recv_bytes())
        except (EOFError, OSError):
            self._told.add(_LEAVE)
        return self._told
