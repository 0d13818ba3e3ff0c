"""The simulated hand itself: its registers and how its fingers move. It knows of no wire.

Speed, latency and the overshoot of force follow measurements that users of RH56 hands have published: 0.18 to 0.30 s
for a stroke at the highest speed, 50 to 70 ms from a command to motion, and three times the set force at impact.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexloop.errors import DexloopError
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.registers import Register
from dexloop.robot.simulators.inspire.plant import HandPlant

Array = NDArray[np.float64]

_OPENING, _CLOSING, _REACHED, _FORCE_REACHED = 0, 1, 2, 3
_STATUS_OF_ERROR = (6, 7, 5, 7, 7)
"""STATUS of a finger that bit 0 to 4 of ERROR has stopped."""
_FULL = float(registers.ANGLE_SET.high)
_LOCKED_ROTOR = 1
_AWAY = 5.0
"""How far from its target a jammed finger strains [register steps]."""


class RefusedError(DexloopError):
    """The hand does not have the register, or does not take the value."""


@dataclass(frozen=True, slots=True)
class HandDynamics:
    """How the hand moves.

    stroke_seconds: from open to closed at the highest speed [s]. latency: shortest and longest time from a command to
    motion [s], drawn anew for each. stop_seconds: from the set force to standstill [s], in which the force grows on.
    locked_seconds: for how long a jammed finger strains before it reports a locked rotor [s]; a guess, since no
    document says. zero_seconds: for how long the hand sets its force zero [s], less than a real one takes. step: of the
    integration [s]. ambient: temperature at the beginning [°C]. seed: of the latencies.
    """

    stroke_seconds: float = 0.24
    latency: tuple[float, float] = (0.05, 0.07)
    stop_seconds: float = 0.04
    locked_seconds: float = 0.3
    zero_seconds: float = 3.0
    step: float = 0.005
    ambient: int = 30
    seed: int = 0


class HandModel:
    """Registers, read and written as bytes, and six fingers that move in time.

    contact: maps closed fractions (6,) to the force on each finger (6,) [N]; none without it. plant: moves in place of
    the model's fingers, which then only lead it. device: in the ID register. clock: seconds. All methods may be called
    from any thread.

    FORCE_SET stops a finger that closes, some time after the force is reached. A finger with an error does not move.
    CLEAR_ERROR clears all errors. GESTURE_FORCE_CLB opens the fingers, and at its end takes what they feel then for
    zero; until then no target is taken. That a real hand bends them as well is not modelled. CURRENT is not modelled,
    and reads 0.
    """

    def __init__(
        self,
        dynamics: HandDynamics | None = None,
        *,
        contact: Callable[[Array], Array] | None = None,
        plant: HandPlant | None = None,
        device: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dynamics = dynamics or HandDynamics()
        self._contact = contact
        self._plant = plant
        self._clock = clock
        self._random = np.random.default_rng(self._dynamics.seed)
        self._lock = threading.RLock()
        self._time = clock()
        self._pending: deque[tuple[float, Array]] = deque()
        self._setpoint = np.full(registers.FINGERS, _FULL)
        if plant is not None:
            self._setpoint = _FULL * (1.0 - np.clip(plant.fingers(), 0.0, 1.0))
        self._target = self._setpoint.copy()
        self._force = np.zeros(registers.FINGERS)
        self._zero = np.zeros(registers.FINGERS)
        self._zero_due = np.inf
        self._pressed_since = np.full(registers.FINGERS, np.inf)
        self._jammed = np.zeros(registers.FINGERS, np.bool_)
        self._strained = np.zeros(registers.FINGERS)
        self._values: dict[str, NDArray[np.int64]] = {r.name: np.zeros(r.count, np.int64) for r in registers.REGISTERS}
        self._values[registers.ID.name][:] = device
        self._values[registers.ANGLE_SET.name][:] = np.rint(self._target)
        self._values[registers.SPEED_SET.name][:] = registers.SPEED_SET.high
        self._values[registers.FORCE_SET.name][:] = registers.FORCE_SET.high // 2
        self._values[registers.TEMPERATURE.name][:] = self._dynamics.ambient

    @property
    def device(self) -> int:
        """The ID register."""
        return int(self._values[registers.ID.name][0])

    def values(self, register: Register) -> list[int]:
        """What a register holds now."""
        with self._lock:
            self.advance()
            return [int(v) for v in self._values[register.name]]

    def set_error(self, finger: int, bits: int) -> None:
        """Let a finger report these error bits, and stop."""
        with self._lock:
            self.advance()
            self._values[registers.ERROR.name][finger] = bits

    def set_temperature(self, finger: int, celsius: int) -> None:
        """Let a finger report a temperature."""
        with self._lock:
            self._values[registers.TEMPERATURE.name][finger] = celsius

    def drift(self, force: Array) -> None:
        """Let the fingers feel these forces (6,) [N] where there are none."""
        with self._lock:
            self._zero = -np.asarray(force, np.float64)

    def jam(self, finger: int, jammed: bool = True) -> None:
        """Let a finger be stuck, or free it: it does not move, and reports a locked rotor once it has strained."""
        with self._lock:
            self.advance()
            self._jammed[finger] = jammed

    def read(self, address: int, size: int) -> bytes:
        """The bytes [address, address + size); RefusedError where one belongs to no register."""
        with self._lock:
            self.advance()
            data = b"".join(self._bytes(r, address, address + size) for r in registers.REGISTERS)
        if len(data) != size:
            raise RefusedError(f"not every byte of {address} to {address + size - 1} belongs to a register")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Set whole registers that lie side by side, all or none; RefusedError for what cannot be set."""
        with self._lock:
            self.advance()
            for register, values in _parsed(address, data):
                self._set(register, values)

    def advance(self) -> None:
        """Let the fingers move up to now; to be called often where a plant is to follow smoothly."""
        with self._lock:
            now = self._clock()
            if self._at_rest():
                self._time = now
            while self._time < now:
                self._step(min(now, self._time + self._dynamics.step))
            self._publish()

    def _at_rest(self) -> bool:
        alone = self._contact is None and self._plant is None
        moving = self._pending or self._zero_due < np.inf
        return alone and not moving and bool((self._setpoint == self._target).all())

    def _bytes(self, register: Register, start: int, end: int) -> bytes:
        values = (int(v) for v in self._values[register.name])
        data = struct.pack(f"<{register.count}{'B' if register.width == 1 else 'h'}", *values)
        return data[max(start - register.address, 0) : max(end - register.address, 0)]

    def _set(self, register: Register, values: Sequence[int]) -> None:
        old = self._values[register.name]
        new = np.where(np.array(values) == registers.UNCHANGED, old, values)
        self._values[register.name] = new
        if register is registers.CLEAR_ERROR and new[0]:
            self._values[registers.ERROR.name][:] = 0
            self._strained[:] = 0.0
        if register is registers.FORCE_CLB and new[0]:
            self._pending.clear()
            self._target = np.full(registers.FINGERS, _FULL)
            self._zero_due = self._time + self._dynamics.zero_seconds
        if register is registers.ANGLE_SET and self._zero_due == np.inf:
            begins = self._time + self._random.uniform(*self._dynamics.latency)
            before = self._pending[-1][0] if self._pending else begins
            self._pending.append((max(begins, before), new.astype(np.float64)))

    def _step(self, now: float) -> None:
        seconds, self._time = now - self._time, now
        while self._pending and self._pending[0][0] <= now:
            self._target = self._pending.popleft()[1]
        if now >= self._zero_due:
            self._zero, self._zero_due = self._force.copy(), np.inf
        reach = _FULL * seconds / self._dynamics.stroke_seconds * self._values[registers.SPEED_SET.name] / _FULL
        move = np.clip(self._target - self._setpoint, -reach, reach)
        pressed = self._force >= self._values[registers.FORCE_SET.name] * registers.FORCE_SET.scale
        self._pressed_since = np.where(pressed, np.minimum(self._pressed_since, now), np.inf)
        stopped = (move < 0.0) & (now - self._pressed_since >= self._dynamics.stop_seconds)
        move[stopped | self._jammed | (self._values[registers.ERROR.name] != 0)] = 0.0
        strains = self._jammed & (np.abs(self._target - self._setpoint) > _AWAY)
        self._strained = np.where(strains, self._strained + seconds, 0.0)
        self._values[registers.ERROR.name][self._strained > self._dynamics.locked_seconds] |= _LOCKED_ROTOR
        self._setpoint = self._setpoint + move
        if self._plant is not None:
            self._plant.command(1.0 - self._setpoint / _FULL)
        if self._contact is not None:
            self._force = np.asarray(self._contact(self._fractions()), np.float64)

    def _fractions(self) -> Array:
        return 1.0 - self._setpoint / _FULL if self._plant is None else np.clip(self._plant.fingers(), 0.0, 1.0)

    def _publish(self) -> None:
        """Put into the registers what has become of the fingers."""
        force = np.rint((self._force - self._zero) / registers.FORCE_ACT.scale)
        self._values[registers.ANGLE_ACT.name] = np.rint(_FULL * (1.0 - self._fractions())).astype(np.int64)
        self._values[registers.FORCE_ACT.name] = np.clip(
            force, registers.FORCE_ACT.low, registers.FORCE_ACT.high
        ).astype(np.int64)
        self._values[registers.STATUS.name][:] = [self._status(i) for i in range(registers.FINGERS)]

    def _status(self, finger: int) -> int:
        bits = int(self._values[registers.ERROR.name][finger])
        if bits:
            return next((s for i, s in enumerate(_STATUS_OF_ERROR) if bits >> i & 1), 7)
        if self._time - self._pressed_since[finger] >= self._dynamics.stop_seconds:
            return _FORCE_REACHED
        distance = self._target[finger] - self._setpoint[finger]
        return _REACHED if abs(distance) <= 0.5 else _OPENING if distance > 0.0 else _CLOSING


def _parsed(address: int, data: bytes) -> list[tuple[Register, tuple[int, ...]]]:
    parsed: list[tuple[Register, tuple[int, ...]]] = []
    while data:
        register = next((r for r in registers.REGISTERS if r.address == address and r.writable), None)
        if register is None or len(data) < register.size:
            raise RefusedError(f"no register that can be written begins at {address} with {len(data)} bytes or less")
        values = struct.unpack(f"<{register.count}{'B' if register.width == 1 else 'h'}", data[: register.size])
        if not all(register.low <= v <= register.high or v == registers.UNCHANGED for v in values):
            raise RefusedError(f"register {register.name} does not take {values}")
        parsed.append((register, values))
        address, data = register.end, data[register.size :]
    return parsed
