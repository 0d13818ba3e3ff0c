"""The simulated hand on a serial port, speaking Modbus-RTU."""

from __future__ import annotations

from dexloop.robot.devices import DeviceError
from dexloop.robot.simulators.inspire.line_faults import LineFaults
from dexloop.robot.simulators.inspire.modbus_store import read_words, write_words
from dexloop.robot.simulators.inspire.model import HandModel, RefusedError
from dexloop.robot.simulators.inspire.pty_server import LineTiming, PtyServer


def serve_rtu(model: HandModel, faults: LineFaults | None = None, timing: LineTiming | None = None) -> PtyServer:
    """Serve the hand until the server is closed. What is garbled or for another hand gets no reply."""
    try:
        from pymodbus.constants import ExcCodes
        from pymodbus.exceptions import ModbusException
        from pymodbus.framer import FramerRTU
        from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
        from pymodbus.pdu import register_message as pdus
    except ImportError as e:
        raise DeviceError("Modbus-RTU needs pymodbus: pip install 'dexloop[hardware]'") from e
    framer = FramerRTU(DecodePDU(True))
    buffer = b""

    def answer(data: bytes) -> list[tuple[bytes, bytes]]:
        nonlocal buffer
        if not data:
            return []
        buffer += data
        try:
            used, request = framer.handleFrame(buffer, model.device, 0)
        except ModbusException:
            used, request = len(buffer), None
        frame, buffer = buffer[:used], buffer[used:]
        if request is None:
            return []
        response = respond(request)
        response.dev_id = model.device
        return [(frame, framer.buildFrame(response))]

    def respond(request: ModbusPDU) -> ModbusPDU:
        try:
            match request:
                case pdus.ReadHoldingRegistersRequest():
                    words = read_words(model, request.address, request.count)
                    return pdus.ReadHoldingRegistersResponse(registers=words)
                case pdus.WriteSingleRegisterRequest():
                    write_words(model, request.address, request.registers[:1])
                    return pdus.WriteSingleRegisterResponse(address=request.address, registers=request.registers[:1])
                case pdus.WriteMultipleRegistersRequest():
                    write_words(model, request.address, request.registers)
                    return pdus.WriteMultipleRegistersResponse(address=request.address, count=len(request.registers))
                case _:
                    return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_FUNCTION)
        except RefusedError:
            return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_ADDRESS)

    return PtyServer(model, answer, faults, timing)
