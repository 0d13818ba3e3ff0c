"""From actions to targets and back, in both forms; the limits on every commanded motion live here.

A *target* is a float64 vector (12,): displacement of the end effector from its start pose [m, world axes],
rotation from its start orientation as a rotation vector [rad, world axes], closed fraction of the six fingers
[0 open, 1 closed], in the order of ``hand.FINGER_NAMES``.

An *action* (12,) lies in [-1, 1]. Form "delta": the first six are the step of the target, in units of the
highest speed. Form "absolute": they are the target itself, in units of the box of limits (the form of the
paper). In both, the last six are the fingers' absolute target, -1 open and 1 closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dexloop.errors import DexloopError
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.rotations import Array, rotation_matrix, rotation_vector
from dexloop.types import ActionGroup, ActionSpec, FloatArray

ActionForm = Literal["delta", "absolute"]
ACTION_SIZE = 12
ARM = slice(0, 6)
FINGERS = slice(6, 12)


def action_spec(form: ActionForm) -> ActionSpec:
    """What an action of this form is to the episode loop."""
    return ActionSpec(
        size=ACTION_SIZE,
        groups=(ActionGroup("arm", 0, 6, velocity=form == "delta"), ActionGroup("hand", 6, 12)),
        names=("x", "y", "z", "rotation_x", "rotation_y", "rotation_z", *FINGER_NAMES),
    )


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """Limits of commanded motion.

    linear_speed [m/s] and angular_speed [rad/s]: of the target, per axis. finger_speed: closed fraction per
    second. displacement [m] and rotation [rad]: half-widths of the target's box about the start pose, per axis.
    """

    linear_speed: float = 0.25
    angular_speed: float = 1.5
    finger_speed: float = 2.0
    displacement: float = 0.30
    rotation: float = 1.2


def checked_action(action: object) -> FloatArray:
    """The action as a float32 array (12,), clipped to [-1, 1].

    Raises DexloopError when it is not twelve finite numbers: a wrong command must never move the robot.
    """
    try:
        array = np.asarray(action, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DexloopError(f"action must be {ACTION_SIZE} numbers, got {type(action).__name__}") from error
    if array.shape != (ACTION_SIZE,):
        raise DexloopError(f"action must have shape ({ACTION_SIZE},), got {array.shape}")
    if not np.isfinite(array).all():
        raise DexloopError("action must be finite, got NaN or infinity")
    return np.clip(array, -1.0, 1.0)


class ActionCodec:
    """Turns actions into targets within the limits, and targets back into actions.

    form: of the first six dimensions. limits: of the target. period: the control period [s].
    """

    def __init__(self, form: ActionForm, limits: ControlLimits, period: float) -> None:
        self.form = form
        self.limits = limits
        self._box = np.repeat([limits.displacement, limits.rotation], 3)
        self._step = np.repeat([limits.linear_speed, limits.angular_speed], 3) * period
        self.finger_step = limits.finger_speed * period

    @property
    def step(self) -> Array:
        """The largest step of the target in one period (6,) [m, rad]."""
        return self._step

    def decode(self, action: FloatArray, target: Array) -> Array:
        """The next target (12,): what ``action`` (12,) asks for after ``target``, within box and speed limits."""
        wanted = action.astype(np.float64)
        if self.form == "delta":
            step = wanted[ARM] * self._step
        else:
            step = self.difference(wanted[ARM] * self._box, target[ARM])
        return self.limited(target, step, 0.5 * (wanted[FINGERS] + 1.0))

    def limited(self, target: Array, step: Array, fingers: Array) -> Array:
        """``target`` moved by ``step`` (6,) [m, rad] and towards ``fingers`` (6,), within all limits."""
        new = np.empty(ACTION_SIZE)
        for part in (slice(0, 3), slice(3, 6)):
            # The whole vector is shortened, so that a limited motion still goes straight.
            step[part] /= max(1.0, float(np.abs(step[part] / self._step[part]).max()))
        new[0:3] = target[0:3] + step[0:3]
        new[3:6] = rotation_vector(rotation_matrix(step[3:6]) @ rotation_matrix(target[3:6]))
        new[ARM] = np.clip(new[ARM], -self._box, self._box)
        change = np.clip(fingers - target[FINGERS], -self.finger_step, self.finger_step)
        new[FINGERS] = np.clip(target[FINGERS] + change, 0.0, 1.0)
        return new

    def encode(self, target: Array, new: Array) -> FloatArray:
        """The action (12,) that leads from ``target`` to ``new``."""
        action = np.empty(ACTION_SIZE)
        if self.form == "delta":
            action[ARM] = self.difference(new[ARM], target[ARM]) / self._step
        else:
            action[ARM] = new[ARM] / self._box
        action[FINGERS] = 2.0 * new[FINGERS] - 1.0
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def in_box(self, target: Array) -> bool:
        """Whether a pose (6,) lies in the box of limits."""
        return bool((np.abs(target[ARM]) <= self._box).all())

    def difference(self, new: Array, old: Array) -> Array:
        """The step (6,) [m, rad] from the pose ``old`` (6,) to ``new`` (6,)."""
        step = np.empty(6)
        step[0:3] = new[0:3] - old[0:3]
        step[3:6] = rotation_vector(rotation_matrix(new[3:6]) @ rotation_matrix(old[3:6]).T)
        return step
