"""The hand on a serial port, spoken to in EB90 frames."""

from __future__ import annotations

import select
import termios
import time
from typing import TYPE_CHECKING

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.inspire import eb90
from dexloop.robot.drivers.inspire.transport import LineError

if TYPE_CHECKING:
    import serial

BAUD = 115200
"""Bits per second, with eight data bits, no parity and one stop bit, as the hand leaves the factory."""


class SerialLine:
    """EB90 over a serial port.

    port: its name, such as /dev/ttyUSB0. device: the hand's ID register, 1 as delivered. Raises DeviceError where the
    port cannot be opened.
    """

    def __init__(self, port: str, device: int = 1, baud: int = BAUD) -> None:
        self._name = port
        self._device = device
        self._baud = baud
        self._port: serial.Serial | None = _open(port, baud)
        self._closed = False

    def read(self, address: int, size: int, deadline: float) -> bytes:
        request = eb90.read_request(self._device, address, size)
        data = self._exchange(request, eb90.READ, address, deadline).payload
        if len(data) != size:
            raise LineError(f"the hand on {self._name} sent {len(data)} bytes where {size} were asked for")
        return data

    def write(self, address: int, data: bytes, deadline: float) -> None:
        self._exchange(eb90.write_request(self._device, address, data), eb90.WRITE, address, deadline)

    def reset(self) -> None:
        try:
            if self._port is not None:
                self._port.reset_output_buffer()
        except (OSError, termios.error):  # an adapter that was pulled out keeps nothing either
            self._drop()

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _exchange(self, request: bytes, command: int, address: int, deadline: float) -> eb90.Frame:
        if self._closed:
            raise DeviceError(f"the serial port {self._name} is closed")
        try:
            self._port = port = self._port or _open(self._name, self._baud)
            port.reset_input_buffer()
            if port.write(request) != len(request):
                raise LineError(f"the serial port {self._name} takes no more bytes")
            return self._reply(port, command, address, deadline)
        except (OSError, termios.error) as e:  # pyserial's errors are of the first kind
            self._drop()  # an adapter that was pulled out and put back must be opened anew
            raise LineError(f"the serial port {self._name} failed: {e}") from e

    def _reply(self, port: serial.Serial, command: int, address: int, deadline: float) -> eb90.Frame:
        parser = eb90.Parser(eb90.REPLY_HEADER)
        while (remaining := deadline - time.monotonic()) > 0:
            if not select.select([port], [], [], remaining)[0]:
                break
            for frame in parser.feed(port.read(4096)):
                if (frame.device, frame.command, frame.address) == (self._device, command, address):
                    return frame
            if parser.garbled:
                raise LineError(f"the hand on {self._name} sent a frame whose sum is wrong")
        raise LineError(f"the hand on {self._name} does not answer")

    def _drop(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port = None


def _open(port: str, baud: int) -> serial.Serial:
    try:
        import serial
    except ImportError as e:
        raise DeviceError("a serial port needs pyserial: pip install 'dexloop[hardware]'") from e
    try:
        # No wait of its own: every wait is bounded by a deadline, in select.
        return serial.Serial(port, baud, timeout=0, write_timeout=0, exclusive=True)
    except OSError as e:
        raise DeviceError(f"the serial port {port} cannot be opened: {e}") from e
