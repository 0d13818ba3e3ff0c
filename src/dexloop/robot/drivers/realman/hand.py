"""A hand that hangs on the arm's flange and is reached through the arm."""

from __future__ import annotations

import threading

import numpy as np

from dexloop.robot.devices import Array, DeviceError, HandState
from dexloop.robot.drivers.realman.arm import RealmanArm
from dexloop.robot.drivers.realman.pacing import Pacer
from dexloop.robot.drivers.realman.protocol import JOINTS, Message, set_hand_angle
from dexloop.sim.hand import FINGER_NAMES

PUSH_ORDER = ("thumb_bend", "index", "middle", "ring", "little", "thumb_rotation")
"""The order of the fingers in the state, as the maker's JSON protocol has it; in commands they are in dexloop's."""
NEWTONS_PER_UNIT = 9.80665e-3
"""Of the hand's force threshold, which counts grams-force [N]."""
OPEN = 1000
"""An open finger on the wire; a closed one is 0."""


class RelayedHand:
    """An Inspire RH56 behind the arm's connection, as far as the arm relays it.

    The relay cannot give what the ``Hand`` protocol has beyond it: temperatures are NaN; speed and force are one for
    all six fingers, so that the least of the six counts; an error is one number without its meaning; and the hand's
    error cannot be cleared from here. Positions and forces mean something only with ``follow``, for which the hand
    needs the firmware that follows: without it read them elsewhere.
    """

    def __init__(
        self,
        arm: RealmanArm,
        *,
        follow: bool = True,
        period: float = 0.02,
        order: tuple[str, ...] = PUSH_ORDER,
        opened: int = OPEN,
    ) -> None:
        """Have the arm send the hand's state along with its own.

        follow: stream with hand_follow_angle instead of set_hand_angle. period: shortest time between two commands
        [s], at least 0.02 with ``follow``. order: of the fingers in the state. opened: an open finger on the wire in
        commands; firmware that counts 0 to 2000 in hand_follow_angle exists. Raises DeviceError where the arm does
        not answer.
        """
        self._arm, self._follow, self._period, self._opened = arm, follow, period, opened
        self._indices = np.array([order.index(name) for name in FINGER_NAMES])
        self._commanding = threading.Lock()
        self._limits: dict[str, int] = {}
        self._pacer = Pacer(period)
        self._refused: str | None = None
        for name in ("set_hand_angle", "hand_follow_angle", "set_hand_speed", "set_hand_force"):
            arm.link.listen(name, self._answered)
        arm.configure_push(hand=True)
        arm.pushes.wait_for_hand(arm.timeout)

    @property
    def period(self) -> float:
        """The shortest time between two commands [s]."""
        return self._period

    def state(self) -> HandState:
        """The newest state; does not wait. Raises DeviceError where the arm reports no hand."""
        self._arm.link.check()
        newest = self._arm.pushes.newest()
        hand = newest.push.hand
        if hand is None:
            raise DeviceError("the arm reports its hand no longer")
        error = f"hand error {hand.error}" if hand.error else None
        faults = (error, self._refused, self._arm.silence(newest.seconds))
        return HandState(
            fingers=np.clip(1.0 - np.array(hand.position)[self._indices] / OPEN, 0.0, 1.0),
            force=np.array(hand.force)[self._indices] * 1e-3,
            temperature=np.full(JOINTS, np.nan),
            seconds=newest.seconds,
            fault="; ".join(fault for fault in faults if fault) or None,
        )

    def command(self, fingers: Array, speed: Array, force: Array) -> None:
        """Close to these fractions (6,), at the least of these speeds (6,) [share of the highest] and forces (6,) [N].

        Waits where commands come faster than the period. Raises DeviceError, and sends nothing, for what
        is not finite or out of range.
        """
        fingers, speed, force = (np.asarray(values, dtype=np.float64) for values in (fingers, speed, force))
        for name, values in (("fingers", fingers), ("speed", speed), ("force", force)):
            if values.shape != (JOINTS,) or not np.isfinite(values).all() or (values < 0.0).any():
                raise DeviceError(f"hand command: {name} must be six finite numbers of at least 0")
        if max(fingers.max(), speed.max()) > 1.0:
            raise DeviceError("hand command: fingers and speed must not exceed 1")
        targets = [round(float(value) * self._opened) for value in 1.0 - fingers]
        with self._commanding:
            self._pacer.wait()
            self._limit("hand_speed", float(speed.min()) * 1000.0)
            self._limit("hand_force", float(force.min()) / NEWTONS_PER_UNIT)
            self._arm.link.send(set_hand_angle(targets, follow=self._follow))

    def clear_fault(self) -> None:
        """Forget a refused command. Raises DeviceError for an error of the hand, which the relay cannot clear."""
        self._refused = None
        hand = self._arm.pushes.newest().push.hand
        if hand is not None and hand.error:
            raise DeviceError(f"hand error {hand.error} cannot be cleared through the arm")

    def close(self) -> None:
        """Leave the hand as it is; the connection is the arm's."""

    def _limit(self, name: str, value: float) -> None:
        """Set the speed or the force threshold of all fingers, where it changes; the wire has 1 to 1000."""
        count = min(1000, max(1, round(value)))
        if self._limits.get(name) != count:
            self._arm.link.send({"command": f"set_{name}", name: count})
            self._limits[name] = count

    def _answered(self, message: Message) -> None:
        if message.get("set_state") is False:
            self._refused = f"the arm refused {message.get('command')}"
