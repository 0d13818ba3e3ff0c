"""The simulated hand on a serial port, speaking EB90."""

from __future__ import annotations

from dexloop.robot.drivers.inspire import eb90
from dexloop.robot.simulators.inspire.line_faults import LineFaults
from dexloop.robot.simulators.inspire.model import HandModel, RefusedError
from dexloop.robot.simulators.inspire.pty_server import LineTiming, PtyServer


def serve_eb90(model: HandModel, faults: LineFaults | None = None, timing: LineTiming | None = None) -> PtyServer:
    """Serve the hand until the server is closed. What is garbled, refused or for another hand gets no reply."""
    parser = eb90.Parser(eb90.REQUEST_HEADER)

    def answer(data: bytes) -> list[tuple[bytes, bytes]]:
        exchanges: list[tuple[bytes, bytes]] = []
        for request in parser.feed(data):
            reply = _reply(model, request)
            if reply is not None:
                frame = eb90.Frame(request.device, request.command, request.address, reply)
                exchanges.append((eb90.encode(eb90.REQUEST_HEADER, request), eb90.encode(eb90.REPLY_HEADER, frame)))
        return exchanges

    return PtyServer(model, answer, faults, timing)


def _reply(model: HandModel, request: eb90.Frame) -> bytes | None:
    if request.device != model.device:
        return None
    try:
        if request.command == eb90.READ and len(request.payload) == 1:
            return model.read(request.address, request.payload[0])
        if request.command == eb90.WRITE:
            model.write(request.address, request.payload)
            return b"\x01"
    except RefusedError:
        pass
    return None
