"""What the hand's driver needs of a wire."""

from __future__ import annotations

from typing import Protocol

from dexloop.robot.devices import DeviceError


class LineError(DeviceError):
    """One exchange failed, by silence or by garbled bytes; asking again may help."""


class Transport(Protocol):
    """One exchange with the hand at a time. Deadlines are of ``time.monotonic()`` [s] and bound every wait.

    A wire without numbered exchanges (EB90, Modbus-RTU) drops what arrived before it asks. A reply that comes even
    later can be taken for the next one, where it is for the same registers; it is then as old as the line is slow.
    """

    def read(self, address: int, size: int, deadline: float) -> bytes:
        """The bytes [address, address + size) of the hand's registers.

        Raises LineError for silence and garbled replies, DeviceError where the hand refuses.
        """
        ...

    def write(self, address: int, data: bytes, deadline: float) -> None:
        """Set the registers from this address, and wait for the hand's word that it has; raises as ``read``."""
        ...

    def reset(self) -> None:
        """Forget what has failed: nothing of it is to reach the hand later, when a broken wire is whole again."""
        ...

    def close(self) -> None:
        """Let go of the wire; again does nothing."""
        ...
