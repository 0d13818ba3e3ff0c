"""How a controller drives a robot through an episode."""

from __future__ import annotations

from dataclasses import dataclass, field

from dexloop.robot.safety import SafetyLimits
from dexloop.sim.control import ActionForm, ControlLimits


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """What actions mean and how an episode goes.

    task: its name. control_hz: control rate [Hz]. max_steps: the deadline, in control periods in which an action was
    executed. reset_seconds: robot time that a reset is taken to cost [s]. action: see ``dexloop.sim.control``. limits:
    of commanded motion. homing_speed [rad/s], homing_finger_speed [closed fraction/s]: on the way home. safety: what
    no action can exceed.
    """

    task: str
    control_hz: float = 10.0
    max_steps: int = 100
    reset_seconds: float = 3.0
    action: ActionForm = "delta"
    limits: ControlLimits = field(default_factory=ControlLimits)
    homing_speed: float = 0.5
    homing_finger_speed: float = 1.0
    safety: SafetyLimits = field(default_factory=SafetyLimits)
