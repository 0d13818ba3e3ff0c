"""Setpoints within every limit, by a look ahead: no step is taken from which braking would lead beyond one.

The path that braking takes is looked at before every step, setpoint by setpoint. Where it stays within every limit the
step is taken; else a shorter one is tried; else the robot brakes along the path that was looked at a tick earlier. So
what holds at rest holds at every tick. Who is beyond a limit from the start may come back, and never goes farther out.
"""

from __future__ import annotations

import numpy as np

from dexloop.robot.devices import Array
from dexloop.robot.envelope import CONSTRAINTS, Envelope, Outlook
from dexloop.robot.hand_shape import HandShape, hand_shape
from dexloop.robot.limits import MotionLimiter
from dexloop.robot.plant import Setpoint
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.kinematics import ArmKinematics

# A step that is too fast is tried once more, a little slower than allowed.
_SLOWER = 0.98
_UNHURRIED = 0.9
_ROUNDING = 1e-9
_ANY_PACE = (1.0, 1.0)


class Guard:
    """Moves joints and fingers from ``start``, at rest; ``tick``: between two setpoints [s]."""

    def __init__(self, kinematics: ArmKinematics, safety: SafetyLimits, tick: float, start: Setpoint) -> None:
        self._safety, self._tick = safety, tick
        self._shape: tuple[Array, HandShape] | None = None
        self._envelope = Envelope(kinematics, safety, tick)
        self._mounted = kinematics.tool_rotation
        self._touching = self._homing = False
        self._floor, self._pace = -np.inf, _ANY_PACE
        self.held_by: tuple[str, ...] = ()
        """Which of CONSTRAINTS the last step that ``follow`` was asked for would have broken."""
        self.settle(start)
        self.start_here()

    def settle(self, at: Setpoint) -> None:
        """Rest at this setpoint from now on, whatever was before; cone and posture stay what they were."""
        self.joints = MotionLimiter(self._safety.joints(), self._tick, at.joints)
        self.fingers = MotionLimiter(self._safety.fingers(), self._tick, at.fingers)
        self._before, self._fingers_before = self.joints.state, self.fingers.state
        self._allow(self._envelope.look(self.joints.position[None], self._hand()))

    def start_here(self) -> None:
        """Cone and posture are those of the present setpoint."""
        self._envelope.start(self.joints.position)
        self._allow(self._envelope.look(self.joints.position[None], self._hand()))

    @property
    def setpoint(self) -> Setpoint:
        """The newest."""
        return Setpoint(self.joints.position.copy(), self.fingers.position.copy())

    @property
    def at_rest(self) -> bool:
        """Whether the setpoints stand still."""
        return self.joints.at_rest and self.fingers.at_rest

    def brake(self) -> Setpoint:
        """The next setpoint on the shortest way to rest."""
        return Setpoint(self.joints.brake(), self.fingers.brake())

    def sinks_to(self) -> float:
        """How high the end effector is at least from here to rest, if the arm brakes now [m]."""
        path = np.concatenate([self.joints.position[None], self.joints.braking()])
        return float(self._envelope.heights(path).min())

    def follow(
        self,
        reference: Setpoint,
        speed: Setpoint,
        *,
        touching: bool = False,
        homing: bool = False,
        floor: float = -np.inf,
        pace: tuple[float, float] = _ANY_PACE,
    ) -> Setpoint:
        """The next setpoint towards a reference that moves: where it is one tick from now, and its speed [1/s].

        touching, homing, floor: see ``Envelope.look``; a hand that touches closes more slowly, and a new floor must be
        no higher than ``sinks_to``. pace: the shares of their speed limits that joints and fingers may go at.
        """
        self._before, self._fingers_before = self.joints.state, self.fingers.state
        self._touching, self._homing, self._floor, self._pace = touching, homing, floor, pace

        self._close(reference, speed)
        self.joints.follow(reference.joints, speed.joints, pace[0])
        first = outlook = self._look()
        broken = (first.beyond[1:] > self._allowed).any(axis=0)
        self.held_by = tuple(name for name, is_broken in zip(CONSTRAINTS, broken, strict=True) if is_broken)
        if not self._within(outlook):
            wanted = self._slower(reference.joints, outlook)
            self.joints.state = self._before
            self.joints.move(wanted)
            outlook = self._look()
        if not self._within(outlook) and not self._places_within(first) and not self.fingers.at_rest:
            # Perhaps only the fingers are in the way.
            self._hold_fingers()
            outlook = self._look()
        if self._within(outlook):
            self._allow(outlook, newest=1)
            return self.setpoint

        # Braking was looked at a tick ago, but with the fingers where they were going then.
        self.joints.state = self._before
        self.joints.brake()
        self.fingers.state = self._fingers_before
        self._close(reference, speed)
        outlook = self._look()
        if not self._within(outlook):
            moved = self.fingers.state
            self._hold_fingers()
            if self._places_within(outlook) and not self._within(self._look()):
                # Whatever the fingers do, as where the arm has yet to become slow enough for a contact.
                self.fingers.state = moved
        return self.setpoint

    def reachable(self, goal: Setpoint, ticks: int, *, touching: bool = False) -> float:
        """The share of the straight way to a goal that ``ticks`` ticks can lead along, at an even speed.

        Within the limits of place, with the fingers as they are and as they shall be, and no faster than a little less
        than allowed, so that there is room to catch up.
        """
        shares = np.arange(ticks + 1)[:, None] / ticks
        path = self.joints.position + shares * (goal.joints - self.joints.position)
        hand = hand_shape(np.stack([self.fingers.position, goal.fingers]), self._mounted)
        outlook = self._envelope.look(path, hand, touching=touching)
        within = (outlook.beyond[1:] <= self._allowed).all(axis=1)
        far = 1.0 if within.all() else float(np.argmin(within)) / ticks
        return min(far, _UNHURRIED / max(outlook.hastiest, _UNHURRIED))

    def _hand(self) -> HandShape:
        """With the fingers where they are and where they come to rest."""
        braking = self.fingers.braking()
        places = np.stack([self.fingers.position, braking[-1]]) if len(braking) else self.fingers.position[None]
        if self._shape is None or not np.array_equal(places, self._shape[0]):
            # Most of the time the fingers rest.
            self._shape = (places, hand_shape(places, self._mounted))
        return self._shape[1]

    def _close(self, reference: Setpoint, speed: Setpoint) -> None:
        share = self._safety.contact_share if self._touching else 1.0
        self.fingers.follow(reference.fingers, speed.fingers, min(share, self._pace[1]))

    def _hold_fingers(self) -> None:
        self.fingers.state = self._fingers_before
        self.fingers.brake()

    def _slower(self, reference: Array, outlook: Outlook) -> Array:
        """Joint speeds (6,) to try after those that led to ``outlook`` [rad/s]."""
        if self._places_within(outlook):
            return self.joints.speed * (_SLOWER / outlook.hastiest)
        # Every axis on its own leaves the straight way, and with it what was looked at before. Slow enough to rest a
        # tick later, the arm keeps to it, and so slides along a limit.
        limits = self.joints.limits
        away = reference - self._before.position
        most = float((np.abs(away) / (limits.acceleration * self._tick)).max())
        return away / max(most, self._tick)

    def _look(self) -> Outlook:
        path = np.concatenate([self._before.position[None], self.joints.position[None], self.joints.braking()])
        return self._envelope.look(path, self._hand(), touching=self._touching, homing=self._homing, floor=self._floor)

    def _within(self, outlook: Outlook) -> bool:
        return outlook.hastiest <= 1.0 + _ROUNDING and self._places_within(outlook)

    def _places_within(self, outlook: Outlook) -> bool:
        return bool((outlook.beyond[1:] <= self._allowed).all())

    def _allow(self, outlook: Outlook, newest: int = 0) -> None:
        """From the newest setpoint on, nothing goes farther beyond a limit than it is there."""
        self._allowed = np.maximum(outlook.beyond[newest], 0.0) + _ROUNDING
