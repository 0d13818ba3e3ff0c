"""Frames of the maker's own serial protocol, which begins with EB 90.

Request:  EB 90 id length command addressL addressH payload sum
Reply:    90 EB id length command addressL addressH payload sum

length counts the command, the address and the payload. sum is the sum of the bytes after the two first ones, modulo
256. The payload of a read request is the number of bytes asked for, of its reply these bytes; of a write request the
bytes to set, of its reply one byte of acknowledgement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

REQUEST_HEADER = b"\xeb\x90"
REPLY_HEADER = b"\x90\xeb"
READ = 0x11
WRITE = 0x12
_BEFORE_LENGTH = 3
_AROUND_LENGTH = 5  # header, id, length and sum
_SHORTEST_LENGTH = 3  # command and address


@dataclass(frozen=True, slots=True)
class Frame:
    """The contents of a frame of either direction."""

    device: int
    command: int
    address: int
    payload: bytes


def read_request(device: int, address: int, size: int) -> bytes:
    """Ask for ``size`` bytes from ``address``."""
    return encode(REQUEST_HEADER, Frame(device, READ, address, bytes([size])))


def write_request(device: int, address: int, data: bytes) -> bytes:
    """Set the bytes from ``address``."""
    return encode(REQUEST_HEADER, Frame(device, WRITE, address, data))


def encode(header: bytes, frame: Frame) -> bytes:
    """The bytes of a frame."""
    length = _SHORTEST_LENGTH + len(frame.payload)
    body = bytes([frame.device, length, frame.command]) + frame.address.to_bytes(2, "little") + frame.payload
    return header + body + bytes([sum(body) & 0xFF])


def expected_size(payload: int) -> int:
    """Bytes of a frame with a payload of so many bytes."""
    return _AROUND_LENGTH + _SHORTEST_LENGTH + payload


@dataclass(slots=True)
class Parser:
    """Finds the frames of one direction in what comes off a wire.

    garbled: how many times a header was not followed by a frame with the right sum.
    """

    header: bytes
    garbled: int = 0
    _buffer: bytes = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete."""
        self._buffer += data
        while (start := self._buffer.find(self.header)) >= 0:
            self._buffer = self._buffer[start:]
            if len(self._buffer) <= _BEFORE_LENGTH:
                return
            length = self._buffer[_BEFORE_LENGTH]
            if length >= _SHORTEST_LENGTH and len(self._buffer) < length + _AROUND_LENGTH:
                return
            frame = self._buffer[: length + _AROUND_LENGTH]
            body = frame[len(self.header) : -1]
            if length < _SHORTEST_LENGTH or sum(body) & 0xFF != frame[-1]:
                self.garbled += 1
                self._buffer = self._buffer[1:]  # what looked like a header was none; a true one may follow inside
                continue
            self._buffer = self._buffer[len(frame) :]
            yield Frame(body[0], body[2], int.from_bytes(body[3:5], "little"), body[5:])
        self._buffer = self._buffer[-1:]  # it may be the first half of a header
