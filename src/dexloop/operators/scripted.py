"""A program in the operator's place: it knows the simulation's truth and does a task, cleanly or like a person.

What to do next is decided afresh at every step from what is seen, without memory of what was done before; so
the operator can take over in the middle of an episode, in any state, and tries again after a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from dexloop.errors import DexloopError
from dexloop.sim.config import SimConfig
from dexloop.sim.control import FINGERS, ActionCodec
from dexloop.sim.rotations import Array, rotation_matrix, rotation_vector
from dexloop.sim.state import SceneState, state_from_privileged
from dexloop.sim.tasks.base import GraspPlan, Task, load_task
from dexloop.types import Observation, OperatorInput


@dataclass(frozen=True, slots=True)
class Imperfection:
    """How an operator differs from a perfect one; the default does not.

    speed: range of the episode's speed, as a fraction of the highest. pause: chance of stopping to look
    whenever something new begins; hesitation: chance of it at any step. pause_seconds: range of how long [s].
    overshoot: error of the first aim over a distance of 10 cm or more [m], corrected while moving. bias,
    bias_rotation, bias_fingers: the episode's constant error of the grasp [m, rad, closed fraction]. noise: of
    the motion, as a fraction of the highest speed, correlated over about half a second. All sizes are
    standard deviations.
    """

    speed: tuple[float, float] = (1.0, 1.0)
    pause: float = 0.0
    hesitation: float = 0.0
    pause_seconds: tuple[float, float] = (0.2, 0.8)
    overshoot: float = 0.0
    bias: float = 0.0
    bias_rotation: float = 0.0
    bias_fingers: float = 0.0
    noise: float = 0.0


CLEAN = Imperfection(speed=(0.7, 0.7))
HUMAN = Imperfection(
    speed=(0.30, 0.50),
    pause=0.3,
    pause_seconds=(0.2, 0.5),
    hesitation=0.01,
    overshoot=0.020,
    bias=0.003,
    bias_rotation=0.04,
    bias_fingers=0.03,
    noise=0.05,
)
"""A person at a distance: slow, stopping to look, correcting; most demonstrations succeed."""


class Phase(Enum):
    """What the operator is about to do."""

    RELEASE = "release"
    APPROACH = "approach"
    ADVANCE = "advance"
    CLOSE = "close"
    LIFT = "lift"


@dataclass(frozen=True, slots=True)
class Goal:
    """Where the target shall go: phase, position (3,) [m, world], rotation (3, 3), fingers (6,)."""

    phase: Phase
    position: Array
    rotation: Array
    fingers: Array


# Tolerances of the decision [m, rad, fraction of closing].
_AT_GRASP = 0.008
_STILL_AT_GRASP = 0.025
_ALIGNED = 0.018
_TURNED = 0.15
_CLOSING = 0.05
_CLOSED = 0.97
_EMPTY = 0.10
_FAR = 0.10


def choose(state: SceneState, plan: GraspPlan, position: Array, rotation: Array, fingers: Array) -> Goal:
    """What to do now, from the truth, the plan and the current target (position, rotation, fingers)."""
    span = plan.closed - plan.opened
    closing = float((fingers - plan.opened) @ span / (span @ span))
    measured = float((state.fingers - plan.opened) @ span / (span @ span))
    miss = position - plan.grasp
    in_hand = float(np.linalg.norm(state.ee_position - plan.grasp)) < _STILL_AT_GRASP
    held = state.thumb and state.any_finger
    if closing > _CLOSING:
        # Fingers that closed all the way without resistance hold nothing.
        empty = closing > _CLOSED and measured > _CLOSED - _EMPTY
        if not held and (empty or not in_hand):
            return Goal(Phase.RELEASE, position, rotation, plan.opened)
        if closing > _CLOSED and held:
            top = np.array([position[0], position[1], plan.grasp[2] - state.height + plan.lift])
            return Goal(Phase.LIFT, top, rotation, plan.closed)
        return Goal(Phase.CLOSE, position, rotation, plan.closed)
    turned = float(np.linalg.norm(rotation_vector(plan.rotation @ rotation.T))) < _TURNED
    if turned and float(np.linalg.norm(miss)) < _AT_GRASP:
        return Goal(Phase.CLOSE, position, rotation, plan.closed)
    way = plan.grasp - plan.approach
    length = float(np.linalg.norm(way))
    along = float(miss @ way) / length
    aside = float(np.linalg.norm(miss - along * way / length))
    if turned and aside < _ALIGNED and -length - _ALIGNED < along < _ALIGNED:
        return Goal(Phase.ADVANCE, plan.grasp, plan.rotation, plan.opened)
    return Goal(Phase.APPROACH, plan.approach, plan.rotation, plan.opened)


class ScriptedOperator:
    """Does a simulated task from its privileged observation.

    config: of the robot it drives (task, action form, rate and limits). imperfection: CLEAN, HUMAN or another. task: a
    Task of your own, in place of the configuration's.
    """

    def __init__(self, config: SimConfig, imperfection: Imperfection = CLEAN, task: Task | None = None) -> None:
        self._task = task or load_task(config.task)
        self._period = 1.0 / config.control_hz
        self._codec = ActionCodec(config.action, config.limits, self._period)
        self._imperfection = imperfection
        self._rng = np.random.default_rng(0)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Draw the habits of a new episode."""
        self._rng = np.random.default_rng(seed)
        rng, how = self._rng, self._imperfection
        self._speed = float(rng.uniform(*how.speed))
        self._bias = rng.normal(size=3) * how.bias
        self._bias_rotation = rotation_matrix(rng.normal(size=3) * how.bias_rotation)
        self._bias_fingers = rng.normal(size=6) * how.bias_fingers
        self._noise = np.zeros(6)
        self._aim = np.zeros(3)
        self._pause = 0
        self._phase: Phase | None = None

    def poll(self, observation: Observation, asked: bool = False) -> OperatorInput:
        """The next action, all of it the operator's.

        Raises DexloopError when the observation has no privileged part.
        """
        if observation.privileged is None:
            raise DexloopError("a scripted operator needs the simulation's truth: set SimConfig.privileged")
        proprio = observation.proprio.astype(np.float64)
        measured, target = proprio[0:12], proprio[12:24]
        state = state_from_privileged(observation.privileged, self._task.symmetry, measured[FINGERS])
        # The privileged pose is in the world, the target relative to the start: the measured pose joins them.
        start_position = state.ee_position - measured[0:3]
        start_rotation = rotation_matrix(measured[3:6]).T @ state.ee_rotation
        position = start_position + target[0:3]
        rotation = rotation_matrix(target[3:6]) @ start_rotation
        goal = choose(state, self._biased(self._task.plan(state)), position, rotation, target[FINGERS])

        step, fingers = self._towards(goal, position, rotation, target[FINGERS])
        action = self._codec.encode(target, self._codec.limited(target, step, fingers))
        return OperatorInput(action=action, control=np.ones(action.shape, dtype=np.bool_))

    def _biased(self, plan: GraspPlan) -> GraspPlan:
        """The plan as this operator sees it in this episode."""
        return GraspPlan(
            rotation=self._bias_rotation @ plan.rotation,
            approach=plan.approach + self._bias,
            grasp=plan.grasp + self._bias,
            opened=plan.opened,
            closed=np.clip(plan.closed + self._bias_fingers, 0.0, 1.0),
            lift=plan.lift,
        )

    def _towards(self, goal: Goal, position: Array, rotation: Array, fingers: Array) -> tuple[Array, Array]:
        """The step (6,) [m, rad] and the fingers (6,) of the next target."""
        rng, how = self._rng, self._imperfection
        new = goal.phase is not self._phase
        self._phase = goal.phase
        if new:
            distance = float(np.linalg.norm(goal.position - position))
            self._aim = rng.normal(size=3) * how.overshoot * min(1.0, distance / _FAR)
        # Whoever has decided to close the fingers does so at once; the looking was done before.
        chance = how.pause if new and goal.phase is not Phase.CLOSE else how.hesitation
        if self._pause == 0 and rng.random() < chance:
            self._pause = round(float(rng.uniform(*how.pause_seconds)) / self._period)
        # First-order processes: the aim's error dies out and the noise renews itself within half a second.
        keep = float(np.exp(-self._period / 0.5))
        self._aim = self._aim * keep
        self._noise = keep * self._noise + np.sqrt(1.0 - keep**2) * how.noise * rng.normal(size=6)

        largest = self._codec.step * self._speed
        step = np.zeros(6)
        reach = fingers.copy()
        if self._pause > 0:
            self._pause -= 1
        else:
            moving = goal.phase in (Phase.APPROACH, Phase.ADVANCE, Phase.LIFT)
            step[0:3] = goal.position - position + self._aim * moving
            step[3:6] = rotation_vector(goal.rotation @ rotation.T)
            # Turning and moving arrive together: the slower of the two sets the pace.
            step /= max(1.0, float(np.abs(step / largest).max()))
            finger_step = self._codec.finger_step * self._speed
            reach = fingers + np.clip(goal.fingers - fingers, -finger_step, finger_step)
        step += self._noise * self._codec.step
        return step, reach
