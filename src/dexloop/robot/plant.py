"""What a real-time controller drives at every tick: a simulation, or an arm with a hand and cameras."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dexloop.robot.backend import Truth
from dexloop.robot.devices import Array, Frame
from dexloop.sim.kinematics import ArmKinematics


@dataclass(frozen=True, slots=True)
class Setpoint:
    """Where the robot is told to be: joints (6,) [rad], fingers (6,) as closed fractions."""

    joints: Array
    fingers: Array


@dataclass(frozen=True, slots=True)
class PlantState:
    """What is measured: joints (6,) [rad], fingers (6,) as closed fractions, force (6,) [N], temperature (6,) [°C].

    Forces and temperatures that nobody measures are NaN. fault: what a device reports of itself, None without one.
    """

    joints: Array
    fingers: Array
    force: Array
    temperature: Array
    fault: str | None = None


class Plant(Protocol):
    """A robot without a mind of its own. The controller calls everything but ``rearm`` from one thread.

    Raises DeviceError where a device does not answer, which the controller makes a fault of.
    """

    @property
    def name(self) -> str:
        """Of the robot, for people."""
        ...

    @property
    def tick(self) -> float:
        """The time between two setpoints [s]; divides the control period."""
        ...

    @property
    def kinematics(self) -> ArmKinematics:
        """Of the arm with its hand, in the world."""
        ...

    @property
    def cameras(self) -> Mapping[str, tuple[int, int]]:
        """Height and width of each camera's pictures [pixels]."""
        ...

    @property
    def privileged(self) -> int:
        """The size of ``truth().privileged``; 0 where there is no truth to be known."""
        ...

    def state(self) -> PlantState:
        """The newest measurements, without waiting for newer ones."""
        ...

    def command(self, setpoint: Setpoint) -> None:
        """Be there one tick from now."""
        ...

    def advance(self) -> None:
        """A simulation steps its physics by one tick; for hardware time passes by itself."""
        ...

    def frames(self) -> Mapping[str, Frame]:
        """The newest picture of each camera."""
        ...

    def truth(self) -> Truth | None:
        """What only a simulation knows, asked for once a control period; None on hardware."""
        ...

    def way_home(self, joints: Array, fingers: Array, *, straight: bool = False) -> Sequence[Setpoint]:
        """Where to pass from these joints (6,) and fingers (6,) on the way to a start state; the controller goes there
        straight, within every limit, at ``homing_speed``. straight: by no detour, since one was blocked. Raises
        DexloopError where there is no way."""
        ...

    def reset(self, seed: int) -> Setpoint:
        """The setpoint in the start state, at which the robot rests: a simulation is put there, hardware is there."""
        ...

    def halt(self) -> None:
        """Brake by the devices' own means, since they take no setpoints any more."""
        ...

    def rearm(self) -> None:
        """Have the devices leave their fault states: a person has looked. Raises DeviceError where they do not."""
        ...

    def close(self) -> None: ...


def tick_for(control_hz: float, shortest: float) -> float:
    """The shortest tick of at least ``shortest`` [s] that divides the control period.

    >>> tick_for(20.0, 0.02)
    0.025
    """
    period = 1.0 / control_hz
    return period / max(1, math.floor(period / shortest + 1e-9))
