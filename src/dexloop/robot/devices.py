"""What a controller needs of an arm, a hand and a camera, whatever wire they hang on.

Units are SI and dexloop's: joint angles in radians, forces in newtons, temperatures in degrees Celsius, fingers as
closed fractions (0 open, 1 closed) in the order of ``dexloop.sim.hand.FINGER_NAMES``. A driver converts, and nothing
above it knows the maker's units. Times are ``time.monotonic()`` of this machine, at which a value was received [s].

Drivers raise DeviceError for a device that does not answer or answers nonsense; what a device reports about itself is
no error but a ``fault``. A driver never clears a fault unasked, and never waits longer than its ``timeout``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dexloop.errors import DexloopError
from dexloop.types import ImageArray

Array = NDArray[np.float64]


class DeviceError(DexloopError):
    """A device could not be reached, or said something that is not its protocol."""


@dataclass(frozen=True, slots=True)
class ArmState:
    """joints (6,) [rad], as measured; seconds: when it was received; fault: in words, None without one."""

    joints: Array
    seconds: float
    fault: str | None = None


class Arm(Protocol):
    """Six joints that follow position targets; the controller interpolates, limits and brakes."""

    @property
    def period(self) -> float:
        """The shortest time between two commands [s]."""
        ...

    def state(self) -> ArmState:
        """The newest state; never blocks for longer than the driver's timeout."""
        ...

    def command(self, joints: Array) -> None:
        """Go to these joint angles (6,) [rad] within one period."""
        ...

    def stop(self) -> None:
        """Brake to rest now, by the arm's own means. Not an emergency stop."""
        ...

    def clear_fault(self) -> None:
        """Ask the arm to leave its fault state; a person has looked."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HandState:
    """fingers (6,): closed fractions; force (6,) [N]; temperature (6,) [°C]; seconds, fault: as an arm's."""

    fingers: Array
    force: Array
    temperature: Array
    seconds: float
    fault: str | None = None


class Hand(Protocol):
    """Six actuators that follow closed fractions at a speed and up to a force."""

    @property
    def period(self) -> float:
        """The shortest time between two commands [s]."""
        ...

    def state(self) -> HandState:
        """The newest state; never blocks for longer than the driver's timeout."""
        ...

    def command(self, fingers: Array, speed: Array, force: Array) -> None:
        """Close to these fractions (6,), at most at these speeds (6,) [share of the highest] and forces (6,) [N]."""
        ...

    def clear_fault(self) -> None:
        """Ask the hand to leave its fault state; a person has looked."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """image (H, W, 3) uint8 RGB; counter: the camera's own, grows with every new picture; seconds: when received.
    whole (h, w, 3) uint8 RGB: the device's picture of which image is a part, resized; None where image is all of it."""

    image: ImageArray
    counter: int
    seconds: float
    whole: ImageArray | None = None


class Camera(Protocol):
    """A source of pictures. A counter that stands still is a fault, which the controller notices."""

    @property
    def name(self) -> str:
        """Under which it appears in observations: chest, head."""
        ...

    def read(self) -> Frame:
        """The newest picture; never blocks for longer than the driver's timeout."""
        ...

    def close(self) -> None: ...
