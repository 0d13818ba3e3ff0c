"""What a client of ours never sends, on a stream to a service: duplicates, stragglers, and times of a wrong clock."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from benchmarks.chaos_rig import Rig

from dexloop.robot.simulators.journal import BEGUN
from dexloop.v1 import robot_pb2 as pb
from dexloop.v1 import robot_pb2_grpc as rpc


class Line:
    """A bare stream, to send what a client of ours never would."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        host, port = rig.client_relay.target
        self._channel = grpc.insecure_channel(f"{host}:{port}")
        stub = rpc.RobotStub(self._channel)
        self._outbox: queue.Queue[pb.Action | None] = queue.Queue()
        self._answers = stub.Control(iter(self._outbox.get, None))
        lease = next(self._answers).lease
        self.still = [0.0] * 6 + [-1.0] * 5 + [0.7]
        stub.Reset(pb.ResetRequest(lease=lease, seed=1))

    def send(self, sequence: int, **fields: Any) -> str:
        """Why an action is refused; empty where it is not."""
        given = {"issued_at": time.monotonic(), "valid_for": 0.4, "values": self.still} | fields
        sent = time.monotonic()
        self._outbox.put(pb.Action(sequence=sequence, **given))
        for answer in self._answers:
            if answer.refused or (answer.acknowledged >= sequence and answer.robot_time > sent):
                return answer.refused
        raise AssertionError("the stream ended")

    def begun(self) -> int:
        """How many actions have begun since the service started."""
        return len(self._rig.rows("service", BEGUN))

    def expires(self) -> float:
        """Until when the newest action that began might have [s]."""
        return float(self._rig.rows("service", BEGUN)[-1, 1])

    def close(self) -> None:
        self._outbox.put(None)
        self._answers.cancel()
        self._channel.close()


@pytest.fixture
def line(idle: Rig) -> Iterator[Line]:
    until = time.monotonic() + 10.0
    while True:
        with contextlib.suppress(grpc.RpcError):
            line = Line(idle)
            break
        assert time.monotonic() < until
        time.sleep(0.1)
    yield line
    line.close()


def test_duplicates_stragglers_and_wrong_clocks_are_refused_and_move_nothing(line: Line) -> None:
    assert line.send(5) == ""
    before = line.begun()
    for sequence in (5, 4, 1):
        assert "duplicate or out of order" in line.send(sequence)
    assert "expired" in line.send(6, issued_at=time.monotonic() - 3600.0)
    assert "the clocks differ" in line.send(7, issued_at=time.monotonic() + 3600.0)
    assert "valid for" in line.send(8, valid_for=60.0)
    assert "not finite" in line.send(9, values=[np.nan] * 12)
    assert line.begun() == before
    assert line.send(10) == ""
    assert line.begun() == before + 1


def test_an_action_from_a_clock_that_is_a_second_ahead_is_refused(line: Line) -> None:
    assert line.send(1) == ""
    assert "the clocks differ" in line.send(2, issued_at=time.monotonic() + 1.0)


def test_a_clock_that_is_a_little_ahead_makes_no_action_valid_for_longer(line: Line) -> None:
    assert line.send(1, issued_at=time.monotonic() + 0.3, valid_for=0.2) == ""
    expires = line.expires()
    assert expires <= time.monotonic() + 0.2
