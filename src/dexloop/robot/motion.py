"""Setpoints from actions: one action a control period, within every limit, and rest where there is none."""

from __future__ import annotations

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.cone import into_cone
from dexloop.robot.devices import Array
from dexloop.robot.guard import Guard
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.control import ARM, FINGERS, ActionCodec
from dexloop.sim.kinematics import ArmKinematics
from dexloop.sim.servo import ArmServo
from dexloop.types import FloatArray

# A measured angle this far beyond its limit is taken for one at it [rad].
_ROUNDING = 0.01
# A robot that something keeps farther than this from where it was told to rest goes on from where it is [rad].
_OFF = 0.05
# At home is who is this near [rad, closed fraction].
_THERE = 1e-3
# On the way home the reference waits for who is farther behind it than this [rad].
_LEAD = 0.1
_STILL = Setpoint(np.zeros(6), np.zeros(6))


class Motion:
    """Follows actions from where it was last put; ``target`` (12,) is the codec's.

    tick: between two setpoints [s]. per_period: ticks in a control period. start: the setpoint at which it rests.
    """

    def __init__(
        self,
        kinematics: ArmKinematics,
        codec: ActionCodec,
        safety: SafetyLimits,
        tick: float,
        per_period: int,
        start: Setpoint,
    ) -> None:
        self._kinematics, self._codec, self._safety = kinematics, codec, safety
        self._tick, self._per_period = tick, per_period
        self._check_range(start)
        self._guard = Guard(kinematics, safety, tick, start)
        self.rest()
        self.start_here()

    def settle(self, at: Setpoint) -> None:
        """Rest at this setpoint from now on, whatever was before; raises DexloopError for joints beyond limits."""
        self._check_range(at)
        self._guard.settle(at)
        self.rest()

    def start_here(self) -> None:
        """Poses are relative to this one from now on, and its tool axis is the middle of the cone."""
        self._guard.start_here()
        start = self._kinematics.forward(self._guard.joints.position)
        self._servo = ArmServo(self._kinematics, self._codec, self._tick * self._per_period, start)
        self.target = self._reached()

    @property
    def setpoint(self) -> Setpoint:
        """The newest."""
        return self._guard.setpoint

    @property
    def at_rest(self) -> bool:
        """Whether the setpoints stand still."""
        return self._guard.at_rest

    @property
    def held_by(self) -> tuple[str, ...]:
        """Which limits of place (``envelope.CONSTRAINTS``) the last step on the way would have broken."""
        return self._guard.held_by

    def relative(self, joints: Array) -> Array:
        """The pose (6,) at these joints (6,), relative to the start [m, rad]."""
        pose = self._kinematics.forward(joints)
        return self._servo.relative(pose[:3, 3], pose[:3, :3])

    def begin(self, action: FloatArray, left: int, state: PlantState) -> None:
        """Execute an action (12,) in the ``left`` ticks that remain of this control period."""
        here = self._guard.setpoint
        origin = here.joints
        if self._goal is None:
            # The way from setpoint to action then leads through where it is, and is no jump.
            if self.at_rest and float(np.abs(state.joints - origin).max()) > _OFF:
                origin = state.joints
            self.target = self._at(origin)
        wanted = self._codec.decode(action, self.target)
        wanted[3:6] = into_cone(wanted[3:6], self._servo.rotation, self._safety.cone)
        if self._presses(state, self._safety.force):
            # What presses may be the table, and no finger gives way to that.
            wanted[2] = max(wanted[2], self.target[2])
        goal = self._servo.move(origin, self.target, wanted).joints
        share = min(1.0, self._safety.hurry * left / self._per_period)
        fingers = here.fingers + share * (wanted[FINGERS] - here.fingers)
        way = Setpoint(here.joints + share * (goal - here.joints), fingers)
        shorter = self._guard.reachable(way, left, touching=self._touches(state))
        self._go(Setpoint(here.joints + shorter * (way.joints - here.joints), fingers), left)
        self._acting = True

    def travel(self, goal: Setpoint, speed: float, finger_speed: float) -> None:
        """Go straight to a setpoint, no joint faster than ``speed`` [rad/s], no finger than ``finger_speed`` [1/s].

        The way may lead outside the workspace, and takes as many control periods as it needs; it ends early before
        what arm or hand would run into.
        """
        here = self._guard.setpoint
        way = float(np.abs(goal.joints - here.joints).max()) / speed
        closing = float(np.abs(goal.fingers - here.fingers).max()) / finger_speed
        self._go(goal, max(1, int(np.ceil(max(way, closing) / self._tick))))
        self._travelling = True

    @property
    def arrived(self) -> bool:
        """Whether the setpoints are where ``travel`` leads."""
        if self._goal is None or not self.arm_arrived:
            return False
        return float(np.abs(self._goal.fingers - self._guard.fingers.position).max()) < _THERE

    @property
    def arm_arrived(self) -> bool:
        """Whether the joints are, wherever the fingers may be."""
        if self._goal is None or self._left > 0:
            return False
        return float(np.abs(self._goal.joints - self._guard.joints.position).max()) < _THERE

    def rest(self) -> None:
        """Brake, and rest where that ends."""
        self._goal: Setpoint | None = None
        self._left = 0
        self._travelling = self._acting = False
        self._floor, self._ceiling = np.zeros(6), np.ones(6)

    def advance(self, state: PlantState) -> Setpoint:
        """The next setpoint."""
        if self._goal is None:
            return self._guard.brake()
        if self._travelling and float(np.abs(self._reference - self._guard.joints.position).max()) > _LEAD:
            # Whoever is held up on the way must not hurry after.
            return self._guard.follow(
                Setpoint(self._reference, self._finger_reference), _STILL, touching=self._touches(state), homing=True
            )
        if self._acting and self._presses(state, self._safety.highest_force):
            # The arm stays; fingers may still back off.
            self._goal = Setpoint(self._reference, self._goal.fingers)
        left = max(1, self._left)
        joints = self._reference + (self._goal.joints - self._reference) / left
        fingers = self._finger_reference + (self._goal.fingers - self._finger_reference) / left
        speed = (joints - self._reference) / self._tick
        finger_speed = (fingers - self._finger_reference) / self._tick
        self._reference, self._finger_reference = joints, fingers
        self._left -= 1

        # Once a control period: whether backing off helped shows only after a while. From where the finger is, since
        # what it presses keeps it from its setpoint. A force nobody measures is none.
        at = self._guard.fingers.position
        closes = (state.force > self._safety.force) & (self._ceiling == 1.0)
        self._ceiling = np.where(closes, np.minimum(at, state.fingers) - self._safety.back_off, self._ceiling)
        opens = (state.force < -self._safety.force) & (self._floor == 0.0)
        self._floor = np.where(opens, np.maximum(at, state.fingers) + self._safety.back_off, self._floor)
        held = (fingers > self._ceiling) | (fingers < self._floor)
        # Pressed from both sides within a control period, a finger rather opens.
        fingers = np.clip(np.minimum(np.maximum(fingers, self._floor), self._ceiling), 0.0, 1.0)
        finger_speed = np.where(held, 0.0, finger_speed)
        return self._guard.follow(
            Setpoint(joints, fingers),
            Setpoint(speed, finger_speed),
            touching=self._touches(state),
            homing=self._travelling,
        )

    def finish(self) -> FloatArray:
        """A control period has ended: what was done in it as an action (12,); the target is what was reached.

        The arm goes on as fast as it was for one tick, in which whoever sees the end of this period may answer, and
        brakes then: braking at once would be a jerk in every period. Fingers brake at once, since they may touch.
        """
        before, self.target = self.target, self._reached()
        if self._goal is not None and not self._travelling:
            here, on = self._guard.setpoint, self._tick * self._guard.joints.speed
            self._go(Setpoint(here.joints + on, here.fingers) if self._acting else here, 1)
        return self._codec.encode(before, self.target)

    def _touches(self, state: PlantState) -> bool:
        return bool((state.force > self._safety.contact_force).any())

    def _presses(self, state: PlantState, force: float) -> bool:
        return bool((np.abs(state.force) > force).any())

    def _check_range(self, at: Setpoint) -> None:
        limits = self._safety.joints()
        beyond = np.maximum(limits.low - at.joints, at.joints - limits.high)
        if float(beyond.max()) > _ROUNDING:
            joint = int(beyond.argmax())
            raise DexloopError(
                f"joint {joint + 1} is at {np.degrees(at.joints[joint]):.1f} degrees, beyond its limit of "
                f"{np.degrees(limits.high[joint]):.1f}; move it back by hand"
            )

    def _go(self, goal: Setpoint, left: int) -> None:
        self._goal, self._left = goal, left
        self._travelling = self._acting = False
        self._floor, self._ceiling = np.zeros(6), np.ones(6)
        here = self._guard.setpoint
        self._reference, self._finger_reference = here.joints, here.fingers

    def _reached(self) -> Array:
        return self._at(self._guard.joints.position)

    def _at(self, joints: Array) -> Array:
        target = np.empty(12)
        target[ARM] = self.relative(joints)
        target[FINGERS] = self._guard.fingers.position
        return target
