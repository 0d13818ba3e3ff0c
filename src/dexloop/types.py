"""The values that travel between the parts of dexloop; numpy only, all immutable.

Conventions: arrays are float32 unless said otherwise; lengths are metres, angles radians, times
seconds. ``A`` is the number of action dimensions, ``P`` of proprioception, ``S`` of the simulation's
privileged state. Actions are dimensionless in [-1, 1]; what they mean in metres and radians is the
robot's business (see ``dexloop.sim.control``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
ImageArray = NDArray[np.uint8]

HAND_VIEW = "_hand"
"""A camera's nearer look at the hand is a camera of its own, named after it with this at the end."""


@dataclass(frozen=True, slots=True)
class ActionGroup:
    """A named run of action dimensions [start, stop) that one person or policy drives as a whole.

    velocity: whether they are velocities or steps, so that half of an action goes the same way at half the speed.
    """

    name: str
    start: int
    stop: int
    velocity: bool = False


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """Continuous actions of shape (A,), each in [-1, 1], split into named groups (arm, hand, ...)."""

    size: int
    groups: tuple[ActionGroup, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservationSpec:
    """Sizes of an observation: proprioception (P,), cameras {name: (height, width)}, privileged (S,)."""

    proprio: int
    cameras: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    privileged: int = 0
    proprio_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RobotSpec:
    """What a robot is to everything above it.

    control_hz: control rate [Hz]. max_steps: the task's deadline in control steps. reset_seconds:
    robot time that one reset costs [s], counted in robot minutes. can_hold: whether the robot can
    rest in mid-task without the task's clock running.
    """

    name: str
    task: str
    action: ActionSpec
    observation: ObservationSpec
    control_hz: float
    max_steps: int
    reset_seconds: float = 0.0
    can_hold: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """proprio (P,) float32; images {camera: (H, W, 3) uint8 RGB}; privileged (S,) float32 or None."""

    proprio: FloatArray
    images: Mapping[str, ImageArray] = field(default_factory=dict[str, ImageArray])
    privileged: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What the robot answers to one action.

    executed: (A,) the action after every limit, in action units. success: the environment's own
    verdict, None where it has none (a real robot). fault: the name of a fault, or None.
    """

    observation: Observation
    executed: FloatArray
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the policy wants: action (A,) in [-1, 1]; and what it knows about it: scores by name."""

    action: FloatArray
    scores: Mapping[str, float] = field(default_factory=dict[str, float])


class Verdict(Enum):
    """A person's judgement of a whole episode."""

    SUCCESS = "success"
    FAILURE = "failure"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class OperatorInput:
    """What the operator does at one step.

    action (A,) with control (A,) bool, True where the operator drives; both None when hands are
    off. verdict: ends the episode with that label. stop: ends the session. pause: hold the robot.
    """

    action: FloatArray | None = None
    control: BoolArray | None = None
    verdict: Verdict | None = None
    stop: bool = False
    pause: bool = False


HANDS_OFF = OperatorInput()


@dataclass(frozen=True, slots=True)
class Decision:
    """Who drives: control (A,) bool, True where the operator does; hold: nobody, the robot rests.

    ask: help is requested from the operator; reason: why, for people.
    """

    control: BoolArray
    hold: bool = False
    ask: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A reward model's word on one step; terminated: the task is over because of it."""

    reward: float
    success: bool
    terminated: bool
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Transition:
    """One control step.

    proposed (A,): the policy's wish; executed (A,): what the robot did, after take-over and limits.
    control (A,) bool: True where the operator drove. success: the reward model's verdict at this
    step; true_success: the environment's, None where it has none.
    """

    observation: Observation
    proposed: FloatArray
    executed: FloatArray
    control: BoolArray
    reward: float
    next_observation: Observation
    terminated: bool
    truncated: bool
    success: bool = False
    true_success: bool | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished episode.

    success: the reward model's verdict, or the operator's; False where the episode is not valid.
    true_success: the simulation's, None on a real robot. robot_seconds: control steps at the control
    rate plus the reset [s]. wall_seconds: what it took in fact [s]. valid: False when a fault or the
    operator voided it. info: "fault", the name of the fault that ended it; "verdict", the operator's
    that did.
    """

    transitions: tuple[Transition, ...]
    task: str
    seed: int
    success: bool
    true_success: bool | None
    robot_seconds: float
    wall_seconds: float
    valid: bool = True
    stop: bool = False
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __len__(self) -> int:
        return len(self.transitions)

    @property
    def operator_steps(self) -> int:
        """Control steps in which the operator drove at least one dimension."""
        return sum(bool(t.control.any()) for t in self.transitions)
