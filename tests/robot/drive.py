"""What clients, fingers and bystanders may do to a robot, drawn by hypothesis, and what it did at every tick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dexloop.robot.motion import Motion
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.robot.safety import SafetyLimits
from dexloop.robot.simulated_plant import SimulatedPlant
from dexloop.sim.config import SimConfig
from dexloop.sim.control import ActionCodec, ControlLimits
from dexloop.sim.kinematics import JOINT_LIMITS

TICK, TICKS = 0.01, 10
SAFETY = SafetyLimits()
TASKS = ("cup", "cube", "scanner", "loopy")
PLANTS = {task: SimulatedPlant(SimConfig(task=task, observation="privileged")) for task in TASKS}
UNMEASURED, NONE = np.full(6, np.nan), np.zeros(6)
STILL = Setpoint(NONE, NONE)


def measured(setpoint: Setpoint, force: float = math.nan) -> PlantState:
    """A robot that is where it was told to be."""
    return PlantState(setpoint.joints, setpoint.fingers, np.full(6, force), UNMEASURED)


def motion_of(task: str, seed: int, safety: SafetyLimits = SAFETY) -> Motion:
    plant = PLANTS[task]
    codec = ActionCodec("delta", ControlLimits(), TICK * TICKS)
    return Motion(plant.kinematics, codec, safety, TICK, TICKS, plant.reset(seed))


@dataclass(frozen=True)
class Ask:
    """What a client does for some control periods: an action from this tick on, reversed every so many ticks.

    pushed (6,): how far somebody holds the joints off their setpoints meanwhile [rad].
    """

    action: np.ndarray
    periods: int
    begins: int
    reverses: int
    silent: bool
    pushed: np.ndarray


@dataclass(frozen=True)
class Feel:
    """What the fingers feel for some ticks: force (6,) [N]; kept (6,): how far off their setpoints they are kept."""

    ticks: int
    force: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Leg:
    """A way of so many ticks at most, to a place so far from where it begins: joints (6,) [rad], fingers (6,)."""

    joints: np.ndarray
    fingers: np.ndarray
    speed: float
    finger_speed: float
    ticks: int


def six(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, 6, elements=st.floats(low, high))


Tasks, Seeds = st.sampled_from(TASKS), st.integers(0, 9)
Actions = arrays(np.float32, 12, elements=st.floats(-1, 1, width=32)) | arrays(
    np.float32, 12, elements=st.sampled_from([-1.0, 0.0, 1.0])
)
Whims = st.builds(
    Ask,
    Actions,
    st.integers(1, 12),
    st.integers(0, 9),
    # Seldom at every tick: each time takes an inverse kinematics.
    st.sampled_from([0, 0, 2, 1, 10]),
    st.booleans(),
    st.just(NONE) | six(-0.5, 0.5),
)
Asks = st.lists(Whims, min_size=1, max_size=5)
Forces = arrays(np.float64, 6, elements=st.sampled_from([math.nan, 0.0, 3.0, -3.0, 12.0, -12.0, 25.0])) | six(-30, 30)
Feels = st.lists(
    st.builds(Feel, st.integers(1, 15), st.just(NONE) | Forces, st.just(NONE) | six(-0.3, 0.3)), min_size=1, max_size=12
)
NOTHING = [Feel(1, UNMEASURED, NONE)]
Legs = st.lists(
    st.builds(
        Leg,
        six(-0.5, 0.5) | six(-4.0, 4.0),
        six(0.0, 1.0),
        st.sampled_from([0.2, 0.5, 2.0, 10.0]),
        st.sampled_from([0.5, 1.0, 3.0]),
        st.integers(1, 120),
    ),
    min_size=1,
    max_size=3,
)
Jumps = st.tuples(six(-0.3, 0.3) | six(-3.0, 3.0), six(-0.2, 1.2))
"""How far off its setpoint an arm is found by whoever rearms it [rad], and its fingers as measured."""

Doing = Literal["rest", "act", "home"]


@dataclass(frozen=True)
class Tick:
    """One tick: what was measured, what the robot was at, and where it was told to be.

    span: the control period; on the way home, the way to the next place.
    """

    state: PlantState
    doing: Doing
    span: int
    at: Setpoint


class Run:
    """A robot and all that it did, from rest at ``start``, while its fingers feel ``feels`` over and over."""

    def __init__(self, motion: Motion, feels: Sequence[Feel] = NOTHING) -> None:
        self.motion, self.start = motion, motion.setpoint
        self.ticks: list[Tick] = []
        self._feels = [feel for feel in feels for _ in range(feel.ticks)]
        self._pushed = NONE
        self._span = 0
        self._doing: Doing = "rest"

    @property
    def path(self) -> list[Setpoint]:
        """Every setpoint."""
        return [self.start, *(tick.at for tick in self.ticks)]

    def ask(self, ask: Ask) -> None:
        """A client's whim."""
        self._pushed = ask.pushed
        for _ in range(ask.periods):
            sign = 1.0
            for tick in range(TICKS):
                again = ask.reverses > 0 and tick % ask.reverses == 0
                state = self._state()
                if ask.silent:
                    self._rest()
                elif tick == ask.begins or again:
                    self.motion.begin(np.float32(sign) * ask.action, TICKS - tick, state)
                    self._doing = "act"
                    sign = -sign if again else sign
                self._advance(state)
            self._end_period()

    def travel(self, leg: Leg) -> range:
        """On the way home, until there or out of ticks; which ticks that took."""
        here, first = self.motion.setpoint, len(self.ticks)
        goal = Setpoint(np.clip(here.joints + leg.joints, -JOINT_LIMITS, JOINT_LIMITS), leg.fingers)
        self._pushed, self._doing = NONE, "home"
        self._span += 1
        self.motion.travel(goal, leg.speed, leg.finger_speed)
        while len(self.ticks) < first + leg.ticks and not self.motion.arrived:
            self._advance(self._state())
            if len(self.ticks) % TICKS == 0:
                self._end_period()
        return range(first, len(self.ticks))

    def rest(self, ticks: int | None = None) -> None:
        """Nothing for so many ticks, or to the end of all motion."""
        self._rest()
        while not self.motion.at_rest if ticks is None else ticks > 0:
            self._advance(self._state())
            ticks = None if ticks is None else ticks - 1

    def _end_period(self) -> None:
        executed = self.motion.finish()
        assert np.isfinite(executed).all() and np.abs(executed).max() <= 1.0
        self._span += self._doing != "home"

    def _rest(self) -> None:
        self.motion.rest()
        self._doing = "rest"

    def _state(self) -> PlantState:
        feel = self._feels[len(self.ticks) % len(self._feels)]
        at = self.motion.setpoint
        fingers = np.clip(at.fingers + feel.kept, 0.0, 1.0)
        return PlantState(at.joints + self._pushed, fingers, feel.force, UNMEASURED)

    def _advance(self, state: PlantState) -> None:
        self.ticks.append(Tick(state, self._doing, self._span, self.motion.advance(state)))
