"""Nothing moves while a person may be placing the object, and whoever waits for them keeps nobody from stopping."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from tests.robot.test_controller import Driver, served
from tests.robot.test_hardware_plant import HOME, STILL, Devices, robot

from dexloop import DexloopError
from dexloop.errors import RobotFault
from dexloop.robot import client
from dexloop.robot.client import GrpcEnv
from dexloop.robot.person import Person
from dexloop.robot.remote import main as remote
from dexloop.v1 import robot_pb2 as pb
from dexloop.v1 import robot_pb2_grpc as rpc

# On a busy machine the way home takes a while.
_AT_HOME = 30.0


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Resets wait here for the person."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch, elsewhere: ThreadPoolExecutor) -> Iterator[Devices]:
    """A robot away from home whose person answers from elsewhere alone; its end ends whoever waits ``elsewhere``."""
    monkeypatch.setattr("sys.stdin", None)
    with robot(person=Person("dexloop confirm HERE")) as devices:
        yield devices


def asked(devices: Devices, begins: str, within: float = _AT_HOME) -> Callable[[], str]:
    """Wait until the person is asked a question that begins so; what answers it."""
    deadline = time.monotonic() + within
    person = devices.backend._person
    assert person is not None
    while time.monotonic() < deadline:
        if (person._question or "").startswith(begins):
            return devices.backend.confirm
        time.sleep(0.01)
    raise AssertionError(f"not asked: {begins}")


def still(devices: Devices, ticks: int = 15) -> bool:
    """Whether none of the next setpoints differs from the one before: the last of now, or the first of all."""
    last = max(len(devices.plant.given) - 1, 0)
    deadline = time.monotonic() + _AT_HOME
    while len(devices.plant.given) <= last + ticks and time.monotonic() < deadline:
        time.sleep(0.02)
    path = devices.plant.path()[last:]
    return len(path) > ticks and not np.diff(path, axis=0).any()


def gone_at_the_question(devices: Devices, elsewhere: ThreadPoolExecutor) -> None:
    """A client that resets the robot and is gone when the person is asked to place the object."""
    driver = Driver(devices.backend)
    resetting = elsewhere.submit(driver.reset, 1)
    asked(devices, "the robot is about to go")()
    asked(devices, "put the object")
    devices.backend.detach()
    with pytest.raises(DexloopError, match="nobody controls the robot any more"):
        resetting.result(timeout=15.0)


def test_nothing_moves_before_a_person_has_said_that_they_are_away(
    devices: Devices, elsewhere: ThreadPoolExecutor
) -> None:
    resetting = elsewhere.submit(Driver(devices.backend).reset, 1)
    answer = asked(devices, "the robot is about to go to its start: keep your hands away")
    assert still(devices)
    assert "about to go" in answer()
    answer = asked(devices, "put the object where the task starts")
    np.testing.assert_allclose(devices.plant.state().joints, HOME, atol=0.01)
    answer()
    assert resetting.result(timeout=15.0).fault is None


def test_the_next_client_waits_for_the_person_whom_the_last_one_left_at_the_robot(
    devices: Devices, elsewhere: ThreadPoolExecutor, capsys: pytest.CaptureFixture[str]
) -> None:
    gone_at_the_question(devices, elsewhere)
    assert "no answer is needed any more" in capsys.readouterr().err
    with pytest.raises(DexloopError, match="nobody is asked"):
        devices.backend.confirm()
    next_one = Driver(devices.backend)
    resetting = elsewhere.submit(next_one.reset, 2)
    answer = asked(devices, "the robot is about to go")
    assert still(devices)
    answer()
    asked(devices, "put the object")()
    assert resetting.result(timeout=15.0).fault is None
    assert next_one.step(STILL).fault is None
    # Who has answered is not asked again whether the way is free.
    resetting = elsewhere.submit(next_one.reset, 3)
    asked(devices, "put the object")()
    assert resetting.result(timeout=15.0).fault is None


def test_stop_ends_the_wait_and_what_comes_after_it_asks_anew(devices: Devices, elsewhere: ThreadPoolExecutor) -> None:
    driver = Driver(devices.backend)
    resetting = elsewhere.submit(driver.reset, 1)
    asked(devices, "the robot is about to go")()
    asked(devices, "put the object")
    devices.backend.stop()
    with pytest.raises(RobotFault, match="stopped"):
        resetting.result(timeout=15.0)
    devices.backend.rearm()
    resetting = elsewhere.submit(driver.reset, 1)
    asked(devices, "the robot is about to go")
    devices.backend.detach()
    with pytest.raises(DexloopError, match="nobody controls"):
        resetting.result(timeout=15.0)


def test_the_wait_ends_with_the_controller(monkeypatch: pytest.MonkeyPatch, elsewhere: ThreadPoolExecutor) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with robot(person=Person("nowhere")) as devices:
        resetting = elsewhere.submit(Driver(devices.backend).reset, 1)
        asked(devices, "the robot is about to go")
    with pytest.raises(DexloopError, match=r"the controller (ends|is closed)"):
        resetting.result(timeout=15.0)


def test_one_reset_at_a_time(devices: Devices, elsewhere: ThreadPoolExecutor) -> None:
    driver = Driver(devices.backend)
    first = elsewhere.submit(driver.reset, 1)
    asked(devices, "the robot is about to go")
    with pytest.raises(DexloopError, match="is being reset already"):
        driver.reset(1)
    devices.backend.detach()
    with pytest.raises(DexloopError, match="nobody controls"):
        first.result(timeout=15.0)


def test_however_many_wait_anybody_may_stop(devices: Devices, elsewhere: ThreadPoolExecutor) -> None:
    with served(devices.backend) as address, contextlib.closing(GrpcEnv(address)) as env:
        resets: list[Future[object]] = [elsewhere.submit(lambda: env.reset(seed=1))]
        asked(devices, "the robot is about to go")
        assert env._stream is not None
        lease = env._stream.lease
        hurried = [elsewhere.submit(_reset_again, address, lease) for _ in range(14)]
        time.sleep(0.2)
        with contextlib.closing(GrpcEnv(address)) as bystander:
            began = time.monotonic()
            bystander.stop()
            assert time.monotonic() - began < 1.0
            assert devices.backend.halted is not None
            with pytest.raises(RobotFault, match="stopped"):
                resets[0].result(timeout=15.0)
            assert {answer.result(timeout=15.0) for answer in hurried} <= {
                "ABORTED",
                "FAILED_PRECONDITION",
                "RESOURCE_EXHAUSTED",
            }


def _reset_again(address: str, lease: str) -> str:
    """The code with which a second reset under the same lease is answered."""
    with grpc.insecure_channel(address) as channel:
        try:
            rpc.RobotStub(channel).Reset(pb.ResetRequest(lease=lease, seed=1), timeout=5.0)
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


def test_a_terminal_elsewhere_confirms_and_a_client_says_what_it_waits_for(
    devices: Devices,
    elsewhere: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(client, "_PATIENCE", 0.2)
    with served(devices.backend) as address, contextlib.closing(GrpcEnv(address)) as env:
        assert remote("confirm", [address]) == 1
        assert "nobody is asked to confirm anything" in capsys.readouterr().err
        resetting = elsewhere.submit(lambda: env.reset(seed=1))
        for question in ("the robot is about to go", "put the object"):
            asked(devices, question)
            time.sleep(0.3)
            assert remote("confirm", [f"grpc://{address}"]) == 0
        resetting.result(timeout=15.0)
        said = capsys.readouterr().err
        assert "waiting for the robot's reset" in said
        assert "confirmed: put the object where the task starts" in said
        assert "run: dexloop confirm HERE" in said
        assert env.step(STILL)[4]["fault"] is None


def test_a_client_that_gives_up_leaves_nobody_waiting(devices: Devices, elsewhere: ThreadPoolExecutor) -> None:
    with served(devices.backend) as address:
        env = GrpcEnv(address)
        resetting = elsewhere.submit(lambda: env.reset(seed=1))
        asked(devices, "the robot is about to go")
        threading.Timer(0.1, env.close).start()
        with pytest.raises(DexloopError, match="Channel closed"):
            resetting.result(timeout=15.0)
        deadline = time.monotonic() + 3.0
        person = devices.backend._person
        assert person is not None
        while person._question is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert person._question is None
