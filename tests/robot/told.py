"""What a robot was told at every tick, and whether it gives way to what its fingers feel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from benchmarks.oracle import TINY, Oracle
from benchmarks.shapes import Array, Placed
from tests.robot.drive import SAFETY, TICK, Run, Tick

from dexloop.robot.plant import Setpoint
from dexloop.robot.safety import SafetyLimits

SAG = 0.002 + TINY
"""How far the hand may sink while a finger presses, on a way that is straight in the joints [m]."""
# So many ticks after it presses a finger has braked and backs off, in steps of at least so much until it is so near to
# where it shall be. With less room than this its way may be barred [m].
_SOON, _STEP, _NEAR, _ROOM = 7, 2e-4, 1e-3, 0.03


class Told:
    """The N ticks of a robot that begins at rest, as arrays.

    before, at (N, 12): setpoints, joints first. before_speed, speed (N, 12): from setpoint to setpoint. braked (N, 12):
    what is left of that speed where everything brakes as hard as it may. force (N, 6) [N] and measured (N, 6): of the
    fingers. doing, span (N,): see ``Tick``.
    """

    def __init__(self, start: Setpoint, ticks: Sequence[Tick], safety: SafetyLimits = SAFETY) -> None:
        self.safety, self.path = safety, [start, *(tick.at for tick in ticks)]
        path = np.array([np.concatenate([at.joints, at.fingers]) for at in self.path])
        speeds = np.concatenate([np.zeros((1, 12)), np.diff(path, axis=0) / TICK])
        self.before, self.at = path[:-1], path[1:]
        self.before_speed, self.speed = speeds[:-1], speeds[1:]
        self._most = np.repeat([safety.joint_acceleration, safety.finger_acceleration], 6) * TICK
        self.braked = self._after_braking(self.before_speed)
        self.force = np.array([tick.state.force for tick in ticks])
        self.measured = np.array([tick.state.fingers for tick in ticks])
        self.doing = np.array([tick.doing for tick in ticks])
        self.span = np.array([tick.span for tick in ticks])

    @classmethod
    def of(cls, run: Run) -> Told:
        return cls(run.start, run.ticks)

    def presses(self, force: float) -> Array:
        """Whether (N,) any finger presses harder, either way [N]; a force nobody measures is none."""
        return (np.abs(self.force) > force).any(axis=1)

    @property
    def arm_brakes(self) -> Array:
        """Whether (N,) every joint is as slow as braking can have made it."""
        return (np.abs(self.speed[:, :6]) <= np.abs(self.braked[:, :6]) + TINY).all(axis=1)

    def sinks_to(self, tick: int, oracle: Oracle) -> float:
        """The lowest height of the end effector [m] on the way to rest, if everything brakes from a tick on."""
        at, speed = self.before[tick].copy(), self.before_speed[tick]
        path = [at]
        while np.abs(speed).max() > TINY:
            speed = self._after_braking(speed)
            path.append(path[-1] + speed * TICK)
        return float(oracle.shapes.place([Setpoint(p[:6], p[6:]) for p in path]).ee[:, 2, 3].min())

    def _after_braking(self, speed: Array) -> Array:
        return speed - np.clip(speed, -self._most, self._most)


def check_speeds(told: Told, placed: Placed, oracle: Oracle, *, homing: bool = False) -> None:
    """No point and no joint is faster than allowed where it is, but an arm that has yet to brake for a contact."""
    touching = told.presses(told.safety.contact_force)
    braking = touching & told.arm_brakes
    over = oracle.shapes.carried(placed) / TICK - oracle.point_speeds(placed, touching)
    over = np.where(braking, 0.0, over)
    assert over.max() <= TINY, f"tick {over.argmax()}: a point is {over.max():.4f} m/s too fast"
    if not homing:
        over = np.abs(told.speed[:, :6]).max(axis=1) - oracle.joint_speeds(placed)
        over = np.where(braking, 0.0, over)
        assert over.max() <= TINY, f"tick {over.argmax()}: a joint is {over.max():.4f} rad/s too fast"


def check_contact(told: Told) -> None:
    """Fingers of a hand that touches are slow, or brake."""
    touching = told.presses(told.safety.contact_force)
    slow = np.maximum(told.safety.contact_share * told.safety.finger_speed, np.abs(told.braked[:, 6:]))
    over = np.where(touching, (np.abs(told.speed[:, 6:]) - slow).max(axis=1), 0.0)
    assert over.max() <= TINY, f"tick {over.argmax()}: a finger is {over.max():.4f} too fast"


def check_back_off(told: Told, oracle: Oracle) -> None:
    """A finger that presses too hard goes no further that way in that span, but for braking; with room it backs off."""
    for sign in (1.0, -1.0):
        at, force = sign * told.at[:, 6:], sign * told.force
        coasting = sign * told.before[:, 6:] + np.maximum(sign * told.braked[:, 6:], 0.0) * TICK
        begins = np.minimum(sign * told.before[:, 6:], sign * told.measured) - told.safety.back_off
        ends = 0.0 if sign > 0 else -1.0
        for span in np.unique(told.span[told.doing != "rest"]):
            ticks = np.flatnonzero((told.span == span) & (told.doing != "rest"))
            # Pressed from both sides, a finger rather opens.
            counts = np.ones(6, bool) if sign > 0 else ~(told.force[ticks] > told.safety.force).any(axis=0)
            for finger in np.flatnonzero(counts & (force[ticks] > told.safety.force).any(axis=0)):
                since = ticks[np.argmax(force[ticks, finger] > told.safety.force) :]
                allowed = max(begins[since[0], finger], ends)
                over = at[since, finger] - np.maximum(allowed, coasting[since, finger])
                assert over.max() <= TINY, f"tick {since[over.argmax()]}: finger {finger} goes {over.max():.4f} further"
                late = since[_SOON:]
                stays = at[late, finger] > sign * told.before[late, 6 + finger] - _STEP
                stays &= at[late, finger] > allowed + _NEAR
                stuck = [tick for tick in late[stays] if oracle.room(told.path[tick + 1]) > _ROOM]
                assert not stuck, f"tick {stuck[0]}: finger {finger} does not back off"


def check_not_lowered(told: Told, placed: Placed, oracle: Oracle) -> None:
    """While a finger presses too hard, the end effector sinks no deeper than braking took it, and after a rest not."""
    heights, pressing = placed.ee[:, 2, 3], told.presses(told.safety.force) & (told.doing != "home")
    resting = ~told.before_speed[:, :6].any(axis=1)
    held, floor = False, 0.0
    for tick in range(len(told.at)):
        if pressing[tick] and not held:
            floor = told.sinks_to(tick, oracle)
        elif resting[tick]:
            floor = max(floor, heights[tick])
        held = pressing[tick]
        sunk = floor - heights[tick + 1] if held else 0.0
        assert sunk <= SAG, f"tick {tick}: lowered {sunk:.4f} m"


def check_stops(told: Told) -> None:
    """The arm brakes as hard as it may while a finger presses far too hard, but on its way home; and at rest."""
    braked = (told.presses(told.safety.highest_force) & (told.doing != "home")) | (told.doing == "rest")
    assert told.arm_brakes[braked].all(), f"ticks {np.flatnonzero(braked & ~told.arm_brakes)}: the arm does not brake"
