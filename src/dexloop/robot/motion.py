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
# A hand whose finger presses may sink by so much, since a way that is straight in the joints' angles sags [m].
_SAG = 0.002


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
        self._forget_presses()
        self.rest()
        self.start_here()

    def settle(self, at: Setpoint) -> None:
        """Rest at this setpoint from now on, whatever was before; raises DexloopError for joints beyond limits."""
        self._check_range(at)
        self._guard.settle(at)
        self._forget_presses()
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
        else:
            self._floor = -np.inf
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
        self._forget_presses()
        self._go(goal, max(1, int(np.ceil(max(way, closing) / self._tick))))
        self._pace = min(1.0, speed / self._safety.joint_speed), min(1.0, finger_speed / self._safety.finger_speed)
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

    def advance(self, state: PlantState) -> Setpoint:
        """The next setpoint."""
        if self._goal is None:
            return self._guard.brake()
        if not self._travelling and self._presses(state, self._safety.force):
            # A finger may press at any time, and joints that start one sooner than the other sink on a level way.
            self._floor = max(self._floor, self._guard.sinks_to() - _SAG)
        if not self._travelling and self._presses(state, self._safety.highest_force):
            # The arm brakes, also where it has to catch up; fingers may still back off.
            self._reference = self._guard.joints.stop
            self._goal = Setpoint(self._reference, self._goal.fingers)
        joints, fingers = self._reference, self._finger_reference
        # Whoever is held up on the way home must not hurry after.
        if not self._travelling or float(np.abs(joints - self._guard.joints.position).max()) <= _LEAD:
            left = max(1, self._left)
            self._reference = joints + (self._goal.joints - joints) / left
            self._finger_reference = fingers + (self._goal.fingers - fingers) / left
            self._left -= 1
        speed = (self._reference - joints) / self._tick
        finger_speed = (self._finger_reference - fingers) / self._tick
        fingers = self._backed_off(self._finger_reference, state)
        finger_speed = np.where(fingers == self._finger_reference, finger_speed, 0.0)
        return self._guard.follow(
            Setpoint(self._reference, fingers),
            Setpoint(speed, finger_speed),
            touching=self._touches(state),
            homing=self._travelling,
            floor=self._floor,
            pace=self._pace,
        )

    def finish(self) -> FloatArray:
        """A control period has ended: what was done in it as an action (12,); the target is what was reached.

        The arm goes on as fast as it was for one tick, in which whoever sees the end of this period may answer, and
        brakes then: braking at once would be a jerk in every period. Fingers brake at once, since they may touch.
        """
        before, self.target = self.target, self._reached()
        if not self._travelling:
            self._free_fingers()
            if self._goal is not None:
                here, on = self._guard.setpoint, self._tick * self._guard.joints.speed
                self._go(Setpoint(here.joints + on, here.fingers) if self._acting else here, 1)
        return self._codec.encode(before, self.target)

    def _backed_off(self, fingers: Array, state: PlantState) -> Array:
        """These fingers (6,), but for those that pressed too hard in this control period.

        Once a control period: whether backing off helped shows only after a while. From where the finger is, since what
        it presses keeps it from its setpoint. A force nobody measures is none.
        """
        at, force, safety = self._guard.fingers.position, state.force, self._safety
        closes = (force > safety.force) & (self._most == 1.0)
        self._most = np.where(closes, np.minimum(at, state.fingers) - safety.back_off, self._most)
        opens = (force < -safety.force) & (self._least == 0.0)
        self._least = np.where(opens, np.maximum(at, state.fingers) + safety.back_off, self._least)
        # Pressed from both sides within a control period, a finger rather opens.
        return np.clip(np.minimum(np.maximum(fingers, self._least), self._most), 0.0, 1.0)

    def _touches(self, state: PlantState) -> bool:
        return self._presses(state, self._safety.contact_force)

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
        self._pace = (1.0, 1.0)
        here = self._guard.setpoint
        self._reference, self._finger_reference = here.joints, here.fingers

    def _free_fingers(self) -> None:
        """What pressed may close and open again."""
        self._least, self._most = np.zeros(6), np.ones(6)

    def _forget_presses(self) -> None:
        self._free_fingers()
        self._floor = -np.inf

    def _reached(self) -> Array:
        return self._at(self._guard.joints.position)

    def _at(self, joints: Array) -> Array:
        target = np.empty(12)
        target[ARM] = self.relative(joints)
        target[FINGERS] = self._guard.fingers.position
        return target
