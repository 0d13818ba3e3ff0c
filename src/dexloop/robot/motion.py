"""Setpoints from actions: one action a control period, within every limit, and rest where there is none."""

from __future__ import annotations

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.devices import Array
from dexloop.robot.limits import MotionLimiter
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.robot.safety import SafetyLimits
from dexloop.sim.control import ARM, FINGERS, ActionCodec
from dexloop.sim.kinematics import ArmKinematics
from dexloop.sim.servo import ArmServo
from dexloop.types import FloatArray

# How far outside the workspace, or into the table's clearance, the place where the arm would come to rest may be [m].
_OUTSIDE = 0.0005
# A measured angle this far beyond its limit is taken for one at it [rad].
_ROUNDING = 0.01
# A robot that rests farther than this from where it was told to goes on from where it is [rad].
_OFF = 0.05
# At home is who is this near [rad, closed fraction].
_THERE = 1e-3


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
        self.settle(start)
        self.start_here()

    def settle(self, at: Setpoint) -> None:
        """Rest at this setpoint from now on, whatever was before; raises DexloopError for joints beyond limits."""
        limits = self._safety.joints()
        beyond = np.maximum(limits.low - at.joints, at.joints - limits.high)
        if float(beyond.max()) > _ROUNDING:
            joint = int(beyond.argmax())
            raise DexloopError(
                f"joint {joint + 1} is at {np.degrees(at.joints[joint]):.1f} degrees, beyond its limit of "
                f"{np.degrees(limits.high[joint]):.1f}; move it back by hand"
            )
        self._joints = MotionLimiter(limits, self._tick, at.joints)
        self._fingers = MotionLimiter(self._safety.fingers(), self._tick, at.fingers)
        self.rest()

    def start_here(self) -> None:
        """Poses are relative to this one from now on."""
        start = self._kinematics.forward(self._joints.position)
        self._servo = ArmServo(self._kinematics, self._codec, self._tick * self._per_period, start)
        self.target = self._reached()

    @property
    def setpoint(self) -> Setpoint:
        """The newest."""
        return Setpoint(self._joints.position.copy(), self._fingers.position.copy())

    @property
    def at_rest(self) -> bool:
        """Whether the setpoints stand still."""
        return self._joints.at_rest and self._fingers.at_rest

    def relative(self, joints: Array) -> Array:
        """The pose (6,) at these joints (6,), relative to the start [m, rad]."""
        pose = self._kinematics.forward(joints)
        return self._servo.relative(pose[:3, 3], pose[:3, :3])

    def begin(self, action: FloatArray, left: int, state: PlantState) -> None:
        """Execute an action (12,) in the ``left`` ticks that remain of this control period."""
        if self._goal is None:
            if self.at_rest and float(np.abs(state.joints - self._joints.position).max()) > _OFF:
                self.settle(Setpoint(state.joints, self._fingers.position))
            self.target = self._reached()
        wanted = self._codec.decode(action, self.target)
        goal = self._servo.move(self._joints.position, self.target, wanted).joints
        share = min(1.0, self._safety.hurry * left / self._per_period)
        joints, fingers = self._joints.position, self._fingers.position
        self._go(Setpoint(joints + share * (goal - joints), fingers + share * (wanted[FINGERS] - fingers)), left)

    def travel(self, goal: Setpoint, speed: float, finger_speed: float) -> None:
        """Go straight to a setpoint, no joint faster than ``speed`` [rad/s], no finger than ``finger_speed`` [1/s].

        The way may lead outside the workspace, and takes as many control periods as it needs.
        """
        way = float(np.abs(goal.joints - self._joints.position).max()) / speed
        closing = float(np.abs(goal.fingers - self._fingers.position).max()) / finger_speed
        self._go(goal, max(1, int(np.ceil(max(way, closing) / self._tick))))
        self._travelling = True

    @property
    def arrived(self) -> bool:
        """Whether the setpoints are where ``travel`` leads."""
        if self._goal is None or self._left > 0:
            return False
        away = np.concatenate([self._goal.joints - self._joints.position, self._goal.fingers - self._fingers.position])
        return float(np.abs(away).max()) < _THERE

    def rest(self) -> None:
        """Brake, and rest where that ends."""
        self._goal: Setpoint | None = None
        self._left = 0
        self._travelling = False
        self._ceiling = np.ones(6)

    def advance(self, state: PlantState) -> Setpoint:
        """The next setpoint."""
        if self._goal is None:
            return Setpoint(self._joints.brake(), self._fingers.brake())
        left = max(1, self._left)
        joints = self._reference + (self._goal.joints - self._reference) / left
        fingers = self._finger_reference + (self._goal.fingers - self._finger_reference) / left
        speed = (joints - self._reference) / self._tick
        finger_speed = (fingers - self._finger_reference) / self._tick
        self._reference, self._finger_reference = joints, fingers
        self._left -= 1

        # Once a control period: whether backing off helped shows only after a while.
        presses = self._safety.pressing(state) & (self._ceiling == 1.0)
        self._ceiling = np.where(presses, self._fingers.position - self._safety.back_off, self._ceiling)
        held = fingers > self._ceiling
        fingers, finger_speed = np.minimum(fingers, self._ceiling), np.where(held, 0.0, finger_speed)
        follow = self._joints.follow if self._travelling else self._guarded
        return Setpoint(follow(joints, speed), self._fingers.follow(fingers, finger_speed))

    def finish(self) -> FloatArray:
        """A control period has ended: what was done in it as an action (12,); the target is what was reached."""
        before, self.target = self.target, self._reached()
        if self._goal is not None and not self._travelling:
            self._go(self.setpoint, 0)
        return self._codec.encode(before, self.target)

    def _go(self, goal: Setpoint, left: int) -> None:
        self._goal, self._left, self._travelling = goal, left, False
        self._ceiling = np.ones(6)
        self._reference, self._finger_reference = self._joints.position.copy(), self._fingers.position.copy()

    def _guarded(self, reference: Array, speed: Array) -> Array:
        """The next joint setpoint (6,) towards a reference, unless braking could not end inside the workspace then."""
        limiter = self._joints
        before, speed_before = limiter.position, limiter.speed
        joints = limiter.follow(reference, speed)
        outside = self._outside()
        if outside <= _OUTSIDE:
            return joints
        after, speed_after = limiter.position, limiter.speed
        limiter.position, limiter.speed = before, speed_before
        # Who is outside already may come back in.
        if outside > self._outside():
            return limiter.brake()
        limiter.position, limiter.speed = after, speed_after
        return joints

    def _outside(self) -> float:
        """How far outside the workspace the arm would come to rest [m]."""
        rest = self._joints.position + self._joints.speed * np.abs(self._joints.speed) / (
            2.0 * self._joints.limits.acceleration
        )
        return self._servo.outside(self._kinematics.forward(rest))

    def _reached(self) -> Array:
        target = np.empty(12)
        target[ARM] = self.relative(self._joints.position)
        target[FINGERS] = self._fingers.position
        return target
