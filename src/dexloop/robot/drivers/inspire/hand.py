"""The Inspire RH56 hand as dexloop's Hand, over any of its wires."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dexloop.robot.devices import DeviceError, HandState
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.calibration import Calibration
from dexloop.robot.drivers.inspire.registers import Register
from dexloop.robot.drivers.inspire.transport import LineError, Transport
from dexloop.sim.hand import FINGER_NAMES

Array = NDArray[np.float64]
T = TypeVar("T")

ADJACENT = (
    (registers.ANGLE_ACT,),
    (registers.FORCE_ACT, registers.CURRENT, registers.ERROR, registers.STATUS, registers.TEMPERATURE),
)
"""State in two reads. What lies between the two is not documented, and is not read."""
ONE_BY_ONE = tuple((r,) for block in ADJACENT for r in block)
"""State in one read for each register, for a hand that refuses longer reads."""

_FIRST_TRY = 0.4  # share of the timeout that the first try may take, so that a second one still fits
_ROUNDING = 1e-6  # of a register step: 1.0 N there and back is not to lose a gram


@dataclass(frozen=True, slots=True)
class HandConfig:
    """timeout: no call takes longer [s]. period: the shortest time between commands [s]: two reads and a write take
    some 20 ms on a serial line. repeat: speed and force are written when they change, and again after so long [s],
    since a hand that lost its power for a moment has forgotten them. blocks: registers read at once.
    """

    timeout: float = 0.05
    period: float = 0.025
    repeat: float = 1.0
    blocks: Sequence[Sequence[Register]] = ADJACENT


@dataclass(frozen=True, slots=True)
class HandReading:
    """What the hand says of itself, finger by finger.

    angle: ANGLE_ACT [0, 1000]. force [g]. current [mA]. temperature [°C]. errors: of each finger, in words; empty
    without one. status: in words.
    """

    angle: tuple[int, ...]
    force: tuple[int, ...]
    current: tuple[int, ...]
    temperature: tuple[int, ...]
    errors: tuple[tuple[str, ...], ...]
    status: tuple[str, ...]

    @property
    def fault(self) -> str | None:
        """The fingers with errors and what they are; None without one."""
        faults = [f"{name}: {', '.join(e)}" for name, e in zip(FINGER_NAMES, self.errors, strict=True) if e]
        return "; ".join(faults) or None


class InspireHand:
    """Implements ``dexloop.robot.devices.Hand``. One exchange at a time, from any thread.

    A finger at ``HOLD`` (-1) keeps its target. Other values are clipped to what the hand takes; values that are not
    finite are refused before a byte is sent. An exchange that fails is repeated once, within the timeout; a second
    failure is a DeviceError, after which the next call begins afresh.

    The hand's own force limit is no safety limit: at full speed the force passes it by a multiple before the finger
    stops. Lower the speed near contact.
    """

    def __init__(
        self, transport: Transport, calibration: Calibration | None = None, config: HandConfig | None = None
    ) -> None:
        self._transport = transport
        self._calibration = calibration or Calibration()
        self._config = config or HandConfig()
        self._lock = threading.Lock()
        self._written: dict[str, tuple[float, bytes]] = {}

    @property
    def period(self) -> float:
        return self._config.period

    def state(self) -> HandState:
        reading = self.reading()
        return HandState(
            fingers=self._calibration.fractions(reading.angle),
            force=np.array(reading.force) * registers.FORCE_ACT.scale,
            temperature=np.array(reading.temperature, np.float64),
            seconds=time.monotonic(),
            fault=reading.fault,
        )

    def reading(self) -> HandReading:
        """All that the hand reports, in its own units; raises DeviceError as ``state``."""
        with self._line() as deadline:
            values: dict[str, tuple[int, ...]] = {}
            for block in self._config.blocks:
                values |= self._read(block, deadline)
        return _reading(values)

    def command(self, fingers: Array, speed: Array, force: Array) -> None:
        angles = self._calibration.values(_six("fingers", fingers))
        speeds = _at_most(_six("speed", speed), registers.SPEED_SET)
        forces = _at_most(_six("force", force), registers.FORCE_SET)
        with self._line() as deadline:
            # Limits first: the fingers are not to set off at the ones of the command before.
            self._write_if_new(registers.SPEED_SET, speeds, deadline)
            self._write_if_new(registers.FORCE_SET, forces, deadline)
            self._write(registers.ANGLE_SET, angles, deadline)

    def clear_fault(self) -> None:
        with self._line() as deadline:
            self._written.clear()
            self._write(registers.CLEAR_ERROR, [1], deadline)

    def zero_forces(self) -> None:
        """Have the hand take what its force sensors say for zero; nothing may touch the fingers.

        The hand then opens and bends its fingers by itself, for about 15 s, say users of public drivers, and is to be
        left alone until it has ended; no register tells when. Raises DeviceError as ``state``.
        """
        with self._line() as deadline:
            self._write(registers.FORCE_CLB, [1], deadline)

    def close(self) -> None:
        """Let go of the wire; the fingers stay where they are. Again does nothing."""
        with self._line():
            self._transport.close()

    @contextmanager
    def _line(self) -> Generator[float]:
        """The wire for one call; yields the call's deadline [s]."""
        deadline = time.monotonic() + self._config.timeout
        if not self._lock.acquire(timeout=self._config.timeout):
            raise DeviceError("the hand is busy with another thread's call")
        try:
            yield deadline
        finally:
            self._lock.release()

    def _read(self, block: Sequence[Register], deadline: float) -> Mapping[str, tuple[int, ...]]:
        start, end = block[0].address, block[-1].end
        data = self._twice(lambda until: self._transport.read(start, end - start, until), deadline)
        return {r.name: registers.decode(r, data[r.address - start : r.end - start]) for r in block}

    def _write_if_new(self, register: Register, values: Sequence[int], deadline: float) -> None:
        written, data = self._written.get(register.name, (-np.inf, b""))
        wanted = registers.encode(register, values)
        if data != wanted or time.monotonic() - written > self._config.repeat:
            self._write(register, values, deadline)
            self._written[register.name] = (time.monotonic(), wanted)

    def _write(self, register: Register, values: Sequence[int], deadline: float) -> None:
        data = registers.encode(register, values)
        self._twice(lambda until: self._transport.write(register.address, data, until), deadline)

    def _twice(self, exchange: Callable[[float], T], deadline: float) -> T:
        try:
            with suppress(LineError):
                return exchange(self._not_too_late(deadline, _FIRST_TRY))
            return exchange(self._not_too_late(deadline, 1.0))
        except LineError:
            self._transport.reset()
            self._written.clear()  # what failed may be a hand that has lost its power, and with it its limits
            raise

    def _not_too_late(self, deadline: float, share: float) -> float:
        """When to give up a try that begins now; LineError where it would begin too late, as a command must not."""
        now = time.monotonic()
        if now >= deadline:
            raise LineError(f"the hand did not answer within {self._config.timeout} s")
        return min(deadline, now + share * self._config.timeout)


def _reading(values: Mapping[str, tuple[int, ...]]) -> HandReading:
    status = values[registers.STATUS.name]
    errors = zip(values[registers.ERROR.name], status, strict=True)
    return HandReading(
        angle=values[registers.ANGLE_ACT.name],
        force=values[registers.FORCE_ACT.name],
        current=values[registers.CURRENT.name],
        temperature=values[registers.TEMPERATURE.name],
        errors=tuple(_errors(bits, s) for bits, s in errors),
        status=tuple(registers.STATUS_WORDS.get(s, f"status {s}") for s in status),
    )


def _errors(bits: int, status: int) -> tuple[str, ...]:
    words = [*registers.ERROR_WORDS, *(f"error bit {i}" for i in range(len(registers.ERROR_WORDS), 8))]
    errors = tuple(word for i, word in enumerate(words) if bits >> i & 1)
    if not errors and status in registers.FAULTY_STATUS:
        return (registers.STATUS_WORDS[status],)
    return errors


def _six(name: str, values: Array) -> Array:
    array = np.asarray(values, np.float64)
    if array.shape != (registers.FINGERS,):
        raise DeviceError(f"{name} of a hand's command has shape {array.shape}, not ({registers.FINGERS},)")
    if not np.isfinite(array).all():
        raise DeviceError(f"{name} of a hand's command is not finite: {array.tolist()}")
    return array


def _at_most(values: Array, register: Register) -> list[int]:
    """The highest register values that do not exceed these, which are in dexloop's unit and clipped to its range."""
    clipped = np.clip(values, register.low * register.scale, register.high * register.scale)
    return [int(v) for v in np.floor(clipped / register.scale + _ROUNDING)]
