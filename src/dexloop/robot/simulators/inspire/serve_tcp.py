"""The simulated hand on Ethernet, speaking Modbus-TCP."""

from __future__ import annotations

import asyncio
import threading
import time
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, cast

from dexloop.robot.devices import DeviceError
from dexloop.robot.drivers.inspire import registers
from dexloop.robot.simulators.inspire.line_faults import LineFaults, befallen
from dexloop.robot.simulators.inspire.modbus_store import read_words, write_words
from dexloop.robot.simulators.inspire.model import HandModel, RefusedError

if TYPE_CHECKING:
    from pymodbus.constants import ExcCodes

_TICK = 0.005
_FIRST = min(r.address for r in registers.REGISTERS)
_COUNT = max(r.end for r in registers.REGISTERS) - _FIRST


class ModbusTcpHand:
    """Serves a hand on host:port with pymodbus's server, from a thread of its own, until it is closed.

    port: 0 for one that is free. host, port: where it listens in fact. Raises DeviceError where it cannot listen.
    """

    def __init__(
        self, model: HandModel, faults: LineFaults | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._model = model
        self._faults = faults or LineFaults()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        outcome: SimpleQueue[int | Exception] = SimpleQueue()
        name = "simulated hand on Modbus-TCP"
        self._thread = threading.Thread(target=self._run, args=(host, port, outcome), name=name, daemon=True)
        self._thread.start()
        bound = outcome.get()
        if isinstance(bound, ImportError):
            raise DeviceError("Modbus-TCP needs pymodbus: pip install 'dexloop[hardware]'") from bound
        if isinstance(bound, Exception):
            raise DeviceError(f"the simulated hand cannot listen at {host}:{port}: {bound}") from bound
        self.host, self.port = host, bound

    def close(self) -> None:
        """Stop serving; again does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> ModbusTcpHand:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, host: str, port: int, outcome: SimpleQueue[int | Exception]) -> None:
        try:
            self._loop.run_until_complete(self._serve(host, port, outcome))
        except Exception as e:  # who waits for the port is to see it
            outcome.put(e)
        finally:
            self._loop.close()

    async def _serve(self, host: str, port: int, outcome: SimpleQueue[int | Exception]) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        block = SimData(_FIRST, count=_COUNT, values=0, datatype=DataType.REGISTERS)
        device = SimDevice(self._model.device, [block], action=self._access)
        server = ModbusTcpServer(device, address=(host, port), trace_packet=self._packet)
        await server.serve_forever(background=True)
        outcome.put(cast(asyncio.Server, server.transport).sockets[0].getsockname()[1])
        while not self._stop.is_set():
            self._model.advance()
            await asyncio.sleep(_TICK)
        await server.shutdown()
        await asyncio.sleep(0)  # lets the connections close

    async def _access(
        self,
        function_code: int,
        start: int,
        address: int,
        count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Let the hand answer instead of pymodbus's own memory; called for each request."""
        from pymodbus.constants import ExcCodes

        if self._faults.silent:
            return ExcCodes.DEVICE_BUSY  # which ``_packet`` does not send
        try:
            if values is None:
                current[address - start : address - start + count] = read_words(self._model, address, count)
            else:
                write_words(self._model, address, [int(v) for v in values])
        except RefusedError:
            return ExcCodes.ILLEGAL_ADDRESS
        return None

    def _packet(self, sending: bool, data: bytes) -> bytes:
        """Let the faults befall a reply."""
        if not sending:
            return data
        if self._faults.silent:
            return b""
        fault = self._faults.next()
        time.sleep(fault.delay)  # of the whole server: what is asked meanwhile is answered afterwards
        return befallen(data, fault)
