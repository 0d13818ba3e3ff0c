"""The hand over Modbus, on a serial port (RTU) or on Ethernet (TCP)."""

from __future__ import annotations

import socket
import struct
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.drivers.inspire.serial_line import BAUD
from dexloop.robot.drivers.inspire.transport import LineError

if TYPE_CHECKING:
    from pymodbus.client import ModbusSerialClient, ModbusTcpClient
    from pymodbus.pdu import ModbusPDU

HOST, PORT = "192.168.11.210", 6000
"""Where a hand with Ethernet listens, as delivered."""
_CONNECT_SECONDS = 1.0


class ModbusLine:
    """A Modbus client of pymodbus as a transport; ``modbus_rtu`` and ``modbus_tcp`` make one.

    name: of the port or address, for messages. device: the hand's ID register.
    """

    def __init__(self, client: ModbusSerialClient | ModbusTcpClient, name: str, device: int) -> None:
        self._client = client
        self._name = name
        self._device = device
        self._closed = False
        self._deadline = time.monotonic() + _CONNECT_SECONDS
        self._receive = client.recv
        client.recv = self._receive_in_time
        if not client.connect():
            raise DeviceError(f"there is no Modbus device at {name}")

    def read(self, address: int, size: int, deadline: float) -> bytes:
        count = registers.word_count(address, size)
        self._begin(deadline)
        try:
            reply = self._client.read_holding_registers(address, count=count, device_id=self._device)
        except Exception as e:
            raise self._failure(e) from e
        words = self._checked(reply).registers
        if len(words) != count:
            raise LineError(f"the hand at {self._name} sent {len(words)} words where {count} were asked for")
        return registers.bytes_of(address, words)

    def write(self, address: int, data: bytes, deadline: float) -> None:
        words = registers.words_of(address, data)
        self._begin(deadline)
        try:
            if len(words) == 1:
                reply = self._client.write_register(address, words[0], device_id=self._device)
            else:
                reply = self._client.write_registers(address, words, device_id=self._device)
        except Exception as e:
            raise self._failure(e) from e
        self._checked(reply)

    def reset(self) -> None:
        wire = self._client.socket
        if isinstance(wire, socket.socket):
            # A plain close would go on delivering what has not gone out; this one throws it away.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._client.close()
        elif wire is not None:
            with suppress(OSError, termios.error):
                wire.reset_output_buffer()

    def close(self) -> None:
        self._closed = True
        self._client.close()

    def _begin(self, deadline: float) -> None:
        if self._closed:
            raise DeviceError(f"the connection to the hand at {self._name} is closed")
        self._deadline = deadline
        self._client.comm_params.timeout_connect = self._remaining()

    def _receive_in_time(self, size: int | None) -> bytes:
        # pymodbus grants its timeout anew to every piece of a reply; here all of them share one.
        self._client.comm_params.timeout_connect = self._remaining()
        return self._receive(size)

    def _remaining(self) -> float:
        return max(self._deadline - time.monotonic(), 1e-4)

    def _failure(self, error: Exception) -> DeviceError:
        from pymodbus.exceptions import ModbusException

        # Bytes that are no frame make pymodbus raise its own errors as well as those of the parts it parses with.
        if isinstance(error, ModbusException):
            return LineError(f"the hand at {self._name} does not answer: {error.string}")
        return LineError(f"the exchange with the hand at {self._name} failed: {error!r}")

    def _checked(self, reply: ModbusPDU) -> ModbusPDU:
        if reply.isError():
            raise DeviceError(f"the hand at {self._name} refuses: Modbus exception {reply.exception_code}")
        return reply


def modbus_rtu(port: str, device: int = 1, baud: int = BAUD) -> ModbusLine:
    """The hand on the serial port ``port``; DeviceError where it cannot be opened."""
    try:
        from pymodbus.client import ModbusSerialClient

        client = ModbusSerialClient(port, baudrate=baud, timeout=_CONNECT_SECONDS, retries=0)
    except (ImportError, RuntimeError) as e:  # the second where pymodbus misses pyserial
        raise DeviceError("Modbus-RTU needs pymodbus and pyserial: pip install 'dexloop[hardware]'") from e
    return ModbusLine(client, port, device)


def modbus_tcp(host: str = HOST, port: int = PORT, device: int = 1) -> ModbusLine:
    """The hand at host:port; DeviceError where nothing answers within a second."""
    try:
        from pymodbus.client import ModbusTcpClient
    except ImportError as e:
        raise DeviceError("Modbus-TCP needs pymodbus: pip install 'dexloop[hardware]'") from e
    client = ModbusTcpClient(host, port=port, timeout=_CONNECT_SECONDS, retries=0)
    return ModbusLine(client, f"{host}:{port}", device)
