"""The Realman RM65-B arm."""

from __future__ import annotations

import threading
import time

from dexloop.robot.devices import ArmState, Array, DeviceError
from dexloop.robot.drivers.realman.faults import system_error
from dexloop.robot.drivers.realman.link import Link
from dexloop.robot.drivers.realman.pacing import Pacer
from dexloop.robot.drivers.realman.protocol import (
    ETHERNET_PERIOD,
    FRAME_SPEED,
    FRAME_STEP,
    Message,
    errors_in,
    millidegrees,
    movej_canfd,
    radians,
    set_realtime_push,
)
from dexloop.robot.drivers.realman.push import PushReceiver


class RealmanArm:
    """An ``Arm`` over TCP, whose state comes by UDP.

    Joint targets are streamed (movej_canfd), unanswered by controllers of the third generation. A fault that the arm
    reports is remembered until clear_fault(), and no target is sent meanwhile: the arm would take one as the wish to
    clear its error and to go on.
    """

    def __init__(
        self,
        host: str,
        port: int = 8080,
        push_port: int = 8089,
        *,
        period: float = ETHERNET_PERIOD,
        timeout: float = 1.0,
        stale: float = 0.2,
        push_cycle: int = 1,
    ) -> None:
        """Connect, have the arm send its state here, and wait for the first one.

        push_port: UDP port of this machine for the state, 0 for any free one. period: shortest time between two
        targets [s]; 0.02 over Ethernet, 0.01 on the high-speed port. timeout: of every call [s]. stale: age at which
        a state becomes a fault [s]. push_cycle: time between two states [5 ms]. Raises DeviceError where the arm
        does not answer.
        """
        self._period, self._timeout, self._stale, self._cycle = period, timeout, stale, push_cycle
        self._commanding = threading.Lock()
        self._sent: tuple[int, ...] | None = None
        self._sent_at = -float("inf")
        self._pacer = Pacer(period)
        self._with_hand = False
        self.link = Link(host, port, timeout)
        try:
            self.pushes = PushReceiver(self.link.local_ip, push_port, self.link.remote_ip)
        except DeviceError:
            self.link.close()
            raise
        self.link.overhear(self._heard)
        try:
            self.configure_push(hand=False)
            self.pushes.wait(timeout)
        except DeviceError:
            self.close()
            raise

    @property
    def period(self) -> float:
        """The shortest time between two commands [s]."""
        return self._period

    @property
    def timeout(self) -> float:
        """The longest that a call waits for the arm [s]."""
        return self._timeout

    def configure_push(self, *, hand: bool) -> None:
        """Have the state sent here, with or without that of a relayed hand."""
        self._with_hand = hand
        message = set_realtime_push(self.link.local_ip, self.pushes.port, self._cycle, hand=hand)
        self.link.request(message, "state")

    def state(self) -> ArmState:
        """The newest state; does not wait. Raises DeviceError for a lost connection or a state that is none."""
        self.link.check()
        newest = self.pushes.newest()
        faults = (self.pushes.fault, self.silence(newest.seconds))
        return ArmState(
            radians(newest.push.angles), newest.seconds, "; ".join(fault for fault in faults if fault) or None
        )

    def command(self, joints: Array) -> None:
        """Go to these joint angles (6,) [rad]; waits where commands come faster than the period.

        Raises DeviceError, and sends nothing, for angles that are not finite or beyond the joint limits; for a step
        from the last target that the arm would not respond to (10 degrees, or 180 degrees/s); while the arm
        reports a fault, or no state. After a rest the step counts from where the arm is.
        """
        angles = millidegrees(joints)
        with self._commanding:
            fault = self.state().fault
            if fault is not None:
                raise DeviceError(f"arm command refused: {fault}")
            elapsed = time.monotonic() - self._sent_at
            fresh = self._sent if elapsed <= self._stale else None
            origin = fresh or self.pushes.newest().push.angles
            _check_step(origin, angles, max(elapsed, self._period))
            self._pacer.wait()
            self.link.send(movej_canfd(angles))
            self._sent, self._sent_at = angles, time.monotonic()

    def stop(self) -> None:
        """Brake to rest now (set_arm_stop), after a command that is under way, if one is.

        Raises DeviceError where the arm does not confirm it.
        """
        with self._commanding:
            self._sent = None
            self.link.request({"command": "set_arm_stop"}, "arm_stop")

    def clear_fault(self) -> None:
        """Have the arm clear its errors, and forget them if it reports none then; it may stay in a fault.

        A connection that broke is made anew. Raises DeviceError where the arm refuses or does not answer. Joints that
        lost their enable are enabled at the arm, not from here.
        """
        if self.link.broken:
            self._reconnect()
        deadline = time.monotonic() + self._timeout
        push = self.pushes.newest().push
        for i, code in enumerate(push.joint_errors):
            if code:
                message: Message = {"command": "set_joint_clear_err", "joint_clear_err": i + 1}
                self.link.request(message, "joint_clear_err", deadline - time.monotonic())
        self.link.request({"command": "clear_system_err"}, "clear_state", deadline - time.monotonic())
        self._sent = None
        self.pushes.forget(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """End the connection and its threads; the arm holds its last target."""
        self.link.close()
        self.pushes.close()

    def silence(self, seconds: float) -> str | None:
        """The fault of a state that came at ``seconds`` and no newer one since, None for a fresh one."""
        age = time.monotonic() - seconds
        return f"no state for {age:.1f} s" if age > self._stale else None

    def _reconnect(self) -> None:
        began = time.monotonic()
        with self._commanding:
            if self.link.broken:
                self.link.reconnect()
        # An arm that lost its power has forgotten where its state goes.
        self.configure_push(hand=self._with_hand)
        self.pushes.wait(self._timeout, since=began)

    def _heard(self, message: Message) -> None:
        """An error may be told in any answer; controllers of the second generation answer every target with theirs."""
        codes = errors_in(message)
        if codes:
            self.pushes.note("; ".join(map(system_error, codes)))


def _check_step(origin: tuple[float, ...], angles: tuple[int, ...], seconds: float) -> None:
    """Raises DeviceError for a step that the arm would leave unanswered [0.001 degrees]."""
    allowed = min(FRAME_STEP, FRAME_SPEED * seconds + 1)
    for i, (a, b) in enumerate(zip(origin, angles, strict=True)):
        if abs(b - a) > allowed:
            raise DeviceError(
                f"arm command: joint {i + 1} would step {abs(b - a) / 1e3:.4g} degrees at once, "
                f"and the arm follows at most {FRAME_STEP / 1e3:g} degrees or {FRAME_SPEED / 1e3:g} degrees/s"
            )
