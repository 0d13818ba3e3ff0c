"""What a controller's server drives: a simulation that waits for actions, or a robot for which time passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dexloop.robot.devices import Frame
from dexloop.types import FloatArray, RobotSpec


def _nobody(why: str) -> None:
    """Nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Command:
    """An accepted action: its sequence number, values (A,) in [-1, 1], and until when it may be executed [s].

    refuse: called with the reason where it is dropped after it was taken.
    """

    sequence: int
    values: FloatArray
    expires: float
    refuse: Callable[[str], None] = _nobody


@dataclass(frozen=True, slots=True)
class Truth:
    """What only a simulation knows: privileged (S,) float32, its verdict, and whether the object is held now."""

    privileged: FloatArray
    success: bool
    holding: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """What there is to see at the end of a control period.

    acknowledged: the newest action executed by now, 0 before any; executed (A,): what was really done; fault: in words;
    truncated: whether the deadline has come; seconds: robot time.
    """

    proprio: FloatArray
    images: Mapping[str, Frame]
    executed: FloatArray
    seconds: float
    acknowledged: int = 0
    fault: str | None = None
    truncated: bool = False
    truth: Truth | None = field(default=None)


Deliver = Callable[[Sample], None]


class Backend(Protocol):
    """A robot behind the service. Robot time is ``time.monotonic()`` of the controller's machine."""

    @property
    def spec(self) -> RobotSpec: ...

    @property
    def real_time(self) -> bool:
        """Whether time passes without actions."""
        ...

    def attach(self, deliver: Deliver) -> None:
        """Somebody has the lease: ``deliver`` is called with a sample for every control period, from any thread."""
        ...

    def detach(self) -> None:
        """Nobody has the lease any more: hold."""
        ...

    def submit(self, command: Command) -> None:
        """Take the next action; one that has expired by the time it would begin is not executed."""
        ...

    def reset(self, seed: int) -> Sample:
        """Bring robot and scene to a start state; raises DexloopError while stopped."""
        ...

    def hold(self) -> Sample:
        """Rest for one control period; the task's clock does not run."""
        ...

    def stop(self) -> None: ...

    def rearm(self) -> None: ...

    def confirm(self) -> str:
        """Somebody has done what a person is asked for before an episode; returns that.

        Raises DexloopError where nothing is asked.
        """
        ...

    def close(self) -> None: ...
