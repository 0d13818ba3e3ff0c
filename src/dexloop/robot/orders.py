"""What clients ask of a controller and what it may do, kept where every thread may look."""

from __future__ import annotations

import threading

from dexloop.errors import DexloopError, RobotFault
from dexloop.robot.backend import Command, Deliver

STOPPED = "the robot is stopped: call rearm() before moving it again"
ABANDONED = "nobody controls the robot any more"
_OVER = "the episode is over: call reset() before step()"


class Orders:
    """The newest action, who listens, and whether the robot may move; any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: Command | None = None
        self._stopped = False
        self._running = False
        self._rest_asked = False
        self._executing: int | None = None
        self._gone = 0
        self.deliver: Deliver | None = None
        self.acknowledged = 0
        self.expired = 0
        self.fault: str | None = None

    # What clients ask.

    def attach(self, deliver: Deliver) -> None:
        """Samples go to ``deliver`` from now on; sequence numbers begin anew."""
        with self._lock:
            self.deliver, self._pending = deliver, None
            self.acknowledged = 0

    def detach(self) -> None:
        """Who was in control is gone, and the episode with it."""
        with self._lock:
            self.deliver = self._pending = None
            self._running, self._rest_asked = False, True
            self._gone += 1

    def submit(self, command: Command, now: float, next_period: float) -> None:
        """Take an action in place of one that waits; ``next_period``: when it begins if one is executed now [s].

        Raises DexloopError while stopped or in a fault, outside an episode, and for one that expires before it begins.
        """
        with self._lock:
            self._check_armed()
            if not self._running:
                raise DexloopError(_OVER)
            begins = next_period if self._executing is not None else now
            if command.expires < begins:
                raise DexloopError(f"expires {1000 * (begins - command.expires):.0f} ms before it would begin")
            self._pending = command

    def stop(self) -> None:
        """No motion until ``rearm``."""
        with self._lock:
            # The next sample tells whoever waits.
            self._stopped, self._pending = True, None

    def check_waiting(self, prepared: int) -> None:
        """Raises DexloopError while stopped or in a fault, and where who ``prepared`` an episode is gone."""
        with self._lock:
            self._check_waiting(prepared)

    # What the controller's thread does with it.

    @property
    def halted(self) -> str | None:
        """Why nothing moves, in words; None where it may."""
        return self.fault or (STOPPED if self._stopped else None)

    @property
    def running(self) -> bool:
        """Whether an episode is under way."""
        return self._running

    def latch(self, fault: str) -> None:
        """The first fault stays until ``rearm``."""
        with self._lock:
            self.fault, self._pending = self.fault or fault, None

    def rearm(self) -> None:
        """Motion again; an episode with a fault is over."""
        with self._lock:
            self._running = self._running and self.fault is None
            self._stopped, self.fault, self._pending = False, None, None

    def next(self, now: float, *, closing: bool, busy: bool) -> tuple[bool, Command | None]:
        """Whether to brake to rest, and the action to begin at ``now`` [s] if any; ``busy``: with something else."""
        with self._lock:
            rest = self.halted is not None or self._rest_asked or closing
            self._rest_asked = False
            if rest or self._executing is not None or self._pending is None:
                return rest, None
            command, self._pending = self._pending, None
            if busy:
                return False, None
            if now > command.expires:
                self.expired += 1
                command.refuse(f"expired {1000 * (now - command.expires):.0f} ms before it could begin")
                return False, None
            self._executing = command.sequence
            return False, command

    def executed(self) -> bool:
        """A control period has ended; whether an action was executed in it."""
        with self._lock:
            if self._executing is None:
                return False
            self.acknowledged, self._executing = self._executing, None
            return True

    def prepare(self) -> int:
        """An episode shall begin: the one before is over; what ``begin`` asks for.

        Raises DexloopError while stopped or in a fault.
        """
        with self._lock:
            self._check_armed()
            self._running, self._pending = False, None
            return self._gone

    def depart(self, prepared: int) -> None:
        """The way home begins, for whoever ``prepared`` an episode; raises as ``check_waiting`` does."""
        with self._lock:
            self._check_waiting(prepared)
            # Of whoever had control before; who has it now was there when this was checked.
            self._rest_asked = False

    def begin(self, prepared: int | None = None) -> None:
        """An episode begins, for whoever had control when it was ``prepared``.

        Raises DexloopError while stopped or in a fault, and where that client is gone.
        """
        with self._lock:
            self._check_waiting(self._gone if prepared is None else prepared)
            self._running, self._pending, self._executing = True, None, None

    def end(self) -> None:
        """The episode is over."""
        with self._lock:
            self._running = False
            self._drop(_OVER)

    def hold(self) -> None:
        """What waits is not done."""
        with self._lock:
            self._drop("the robot holds")

    def _drop(self, why: str) -> None:
        command, self._pending = self._pending, None
        if command is not None:
            command.refuse(why)

    def _check_waiting(self, prepared: int) -> None:
        self._check_armed()
        if prepared != self._gone:
            raise DexloopError(ABANDONED)

    def _check_armed(self) -> None:
        if self.fault is not None:
            raise RobotFault(f"the robot is in a fault, call rearm() once somebody has looked: {self.fault}")
        if self._stopped:
            raise RobotFault(STOPPED)
