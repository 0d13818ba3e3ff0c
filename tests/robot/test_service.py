"""A robot behind its service: the same robot as without it, one client at a time, and no action that must not be."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from dexloop import DexloopError
from dexloop.errors import RobotFault
from dexloop.robot.client import GrpcEnv
from dexloop.robot.config import ClientSecurity
from dexloop.robot.lockstep import Lockstep
from dexloop.robot.messages import observation_of, refusal, sample_of
from dexloop.robot.remote import main as remote
from dexloop.robot.security import ServerSecurity
from dexloop.robot.server import start_server
from dexloop.serve import main
from dexloop.sim.env import DexEnv
from dexloop.v1 import robot_pb2 as pb
from dexloop.v1 import robot_pb2_grpc as rpc

STILL = np.array([0.0] * 6 + [-1.0] * 5 + [0.66], dtype=np.float32)
TOKEN = "a-token-that-is-long-enough"


def simulation(**fields: Any) -> DexEnv:
    settings = {"observation": "privileged", "privileged": True, "end_on_success": False} | fields
    return DexEnv(**settings)


@pytest.fixture
def address() -> Iterator[str]:
    backend = Lockstep(simulation())
    server, port = start_server(backend, "127.0.0.1:0", ServerSecurity())
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()
    backend.close()


class Line:
    """A bare Control stream, to send what a client of ours never would."""

    def __init__(self, address: str) -> None:
        self.stub = rpc.RobotStub(grpc.insecure_channel(address))
        self._outbox: queue.Queue[pb.Action | None] = queue.Queue()
        self.answers = self.stub.Control(iter(self._outbox.get, None))
        first = next(self.answers)
        self.lease = first.lease
        self.clock = first.robot_time - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self.clock

    def send(self, sequence: int, **fields: Any) -> pb.Observation:
        given = {"issued_at": self.now(), "valid_for": 0.2, "values": STILL} | fields
        self._outbox.put(pb.Action(sequence=sequence, **given))
        return next(self.answers)

    def close(self) -> None:
        self._outbox.put(None)
        self.answers.cancel()


@pytest.fixture
def line(address: str) -> Iterator[Line]:
    line = Line(address)
    yield line
    line.close()


def test_remote_robot_is_the_local_one_to_the_last_bit(address: str) -> None:
    remote, local = GrpcEnv(address), simulation()
    assert remote.robot_spec == local.robot_spec
    rng = np.random.default_rng(0)
    for seed in (3, 4):
        here, there = local.reset(seed=seed)[0], remote.reset(seed=seed)[0]
        for _ in range(25):
            for key in here:
                np.testing.assert_array_equal(here[key], there[key])
            action = rng.uniform(-1.0, 1.0, 12).astype(np.float32)
            here, reward, _, truncated, info = local.step(action)
            there, remote_reward, terminated, remote_truncated, told = remote.step(action)
            np.testing.assert_array_equal(info["executed"], told["executed"])
            assert (reward, truncated, False) == (remote_reward, remote_truncated, terminated)
            assert (info["is_success"], info["holding"], info["fault"]) == (
                told["is_success"],
                told["holding"],
                told["fault"],
            )
        np.testing.assert_array_equal(local.hold()["proprio"], remote.hold()["proprio"])
    remote.close()


def test_deadline_comes_through(address: str) -> None:
    env = GrpcEnv(address)
    env.reset(seed=0)
    ends = [env.step(STILL)[3] for _ in range(env.robot_spec.max_steps)]
    assert ends == [False] * (len(ends) - 1) + [True]
    env.close()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"values": [np.nan] * 12}, "not finite"),
        ({"values": [np.inf] * 12}, "not finite"),
        ({"values": [0.0] * 11}, "11 values, not 12"),
        ({"values": []}, "0 values"),
        ({"valid_for": 0.0}, "valid for 0 s"),
        ({"valid_for": 1e9}, "valid for 1e+09 s"),
        ({"issued_at": float("nan")}, "valid for"),
        ({"issued_at": -1e9}, "expired"),
        ({"issued_at": 1e12}, "in the future"),
    ],
)
def test_what_must_not_be_executed_is_not(line: Line, fields: dict[str, Any], why: str) -> None:
    before = line.stub.Reset(pb.ResetRequest(lease=line.lease, seed=1))
    answer = line.send(1, **fields)
    assert why in answer.refused and answer.acknowledged == 1 and not answer.proprio
    after = line.send(2)
    assert not after.refused
    # The clock of the task counts executed steps: it was one, not two.
    assert after.proprio[-1] == pytest.approx(before.proprio[-1] - 1 / 100)


def test_duplicates_and_stragglers_are_never_executed(line: Line) -> None:
    line.stub.Reset(pb.ResetRequest(lease=line.lease, seed=1))
    first = line.send(5)
    for sequence in (5, 4, 1, 0):
        assert "duplicate or out of order" in line.send(sequence).refused
    again = line.send(6)
    assert again.proprio[-1] == pytest.approx(first.proprio[-1] - 1 / 100)


def test_refusals_name_what_is_wrong() -> None:
    action = pb.Action(sequence=7, issued_at=10.0, valid_for=0.2, values=STILL)
    assert refusal(action, 12, last=6, now=10.1, longest=0.5) is None
    assert refusal(action, 12, last=6, now=9.6, longest=0.5) is None
    assert refusal(action, 12, last=6, now=9.4, longest=0.5) == "issued 0.6 s in the future: the clocks differ"
    assert refusal(action, 12, last=6, now=10.3, longest=0.5) == "expired 100 ms ago"
    assert refusal(action, 12, last=7, now=10.1, longest=0.5) == "sequence 7 after 7: duplicate or out of order"
    assert refusal(action, 12, last=6, now=10.1, longest=0.1) == "valid for 0.2 s; give more than 0 and at most 0.1"


def test_a_simulation_that_waits_does_so_for_a_client_that_stood_still(address: str) -> None:
    env = GrpcEnv(address)
    env.reset(seed=1)
    assert env.step(STILL)[4]["fault"] is None
    assert env._stream is not None
    late = env._stream.exchange(STILL, time.monotonic() + env._clock - 3.0, 30.0)
    assert not late.refused and late.acknowledged == 2
    env.close()


def test_one_client_at_a_time_and_the_next_when_it_is_gone(address: str, line: Line) -> None:
    other = GrpcEnv(address)
    with pytest.raises(DexloopError, match="another client controls the robot"):
        other.reset(seed=0)
    with pytest.raises(grpc.RpcError, match="does not control"):
        other._stub.Reset(pb.ResetRequest(lease="guess", seed=0))
    line.close()
    until = time.monotonic() + 10
    while True:
        try:
            other.reset(seed=0)
            break
        except DexloopError:
            assert time.monotonic() < until, "the lease must end with its stream"
            time.sleep(0.05)
    other.close()


def test_anybody_may_stop_and_only_the_controlling_client_may_go_on(address: str) -> None:
    driver, passer_by = GrpcEnv(address), GrpcEnv(address)
    driver.reset(seed=0)
    passer_by.stop()
    *_, info = driver.step(STILL)
    assert "stopped" in info["fault"]
    with pytest.raises(DexloopError, match="stopped"):
        driver.reset(seed=0)
    with pytest.raises(DexloopError, match="does not control"):
        passer_by.rearm()
    driver.rearm()
    driver.reset(seed=0)
    assert driver.step(STILL)[4]["fault"] is None
    driver.close()
    passer_by.close()


def test_who_looked_arms_the_robot_again_and_the_reset_goes_on(address: str) -> None:
    told = list[str]()
    with contextlib.closing(GrpcEnv(address, ask=told.append)) as driver:
        driver.reset(seed=0)
        driver.stop()
        assert "stopped" in driver.step(STILL)[4]["fault"]
        assert driver.reset(seed=0)[0]["proprio"].shape == (driver.robot_spec.observation.proprio,)
        assert driver.step(STILL)[4]["fault"] is None
    assert len(told) == 1 and "the robot is stopped" in told[0]


def test_a_terminal_stops_and_arms_a_robot(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.closing(GrpcEnv(address)) as driver:
        driver.reset(seed=0)
        assert remote("stop", [f"grpc://{address}"]) == 0
        with pytest.raises(RobotFault, match="stopped"):
            driver.reset(seed=0)
        assert remote("rearm", [address]) == 1
        assert "who does must re-arm it" in capsys.readouterr().err, "whose lease it is decides"
    until = time.monotonic() + 10
    while remote("rearm", [address]) != 0:
        assert time.monotonic() < until, "the lease must end with its stream"
        time.sleep(0.05)
    with contextlib.closing(GrpcEnv(address)) as driver:
        driver.reset(seed=0)
        assert driver.step(STILL)[4]["fault"] is None


def _drive(address: str, ready: Any) -> None:
    env = GrpcEnv(address)
    env.reset(seed=0)
    env.step(STILL)
    ready.send(True)
    time.sleep(60)


def test_a_killed_client_leaves_the_robot_to_the_next(address: str) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    client = context.Process(target=_drive, args=(address, theirs), daemon=True)
    client.start()
    assert ours.poll(60) and ours.recv()
    client.kill()
    env = GrpcEnv(address)
    until = time.monotonic() + 10
    while True:
        try:
            env.reset(seed=1)
            break
        except DexloopError:
            assert time.monotonic() < until
            time.sleep(0.05)
    env.close()


def test_the_service_leaves_the_other_cores_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def count(*_: object) -> None:
        threads.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    monkeypatch.setattr("dexloop.serve._wait_for_the_end", count)
    with threadpool_limits(limits=2, user_api="blas"):
        assert main(["--observation", "privileged", "--bind", "127.0.0.1:0"]) == 0
    assert threads and set(threads) == {1}


@contextlib.contextmanager
def served(*words: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The command itself, and where it says that it listens."""
    command = [sys.executable, "-m", "dexloop", "serve", "--observation", "privileged", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        line = child.stderr.readline()
        try:
            assert "listening at" in line, line
            yield child, line.partition("listening at ")[2].partition(";")[0]
        finally:
            child.kill()


def test_a_controller_that_dies_is_a_fault_and_its_successor_is_found() -> None:
    with served("--bind", "127.0.0.1:0") as (child, address):
        env = GrpcEnv(address)
        env.reset(seed=0)
        seen = env.step(STILL)[0]
        child.kill()
        child.wait()
        again, *_, info = env.step(STILL)
        assert "connection to the robot lost" in info["fault"]
        np.testing.assert_array_equal(again["proprio"], seen["proprio"])
        with pytest.raises(DexloopError, match="no controller answers"):
            env.reset(seed=0)
    with served("--bind", address) as (successor, _):
        env.reset(seed=0)
        assert env.step(STILL)[4]["fault"] is None
        env.close()
        successor.send_signal(signal.SIGINT)
        assert successor.wait(20) == 0


def test_to_stop_a_robot_waits_for_no_physics_engine() -> None:
    code = "import sys; import dexloop.robot.remote; sys.exit(str(sys.modules.keys() & {'mujoco', 'torch'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "set()", "each takes a moment that nobody has"


def test_serving_needs_no_pytorch() -> None:
    code = "import sys; sys.modules['torch'] = None; import dexloop.serve, dexloop.robot.client; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "fine\n", done.stderr[-1000:]


@pytest.mark.parametrize("form", ["raw", "jpeg"])
@pytest.mark.gl
def test_pictures_travel(form: Any) -> None:
    env = simulation(observation="images", image_size=96)
    backend = Lockstep(env)
    sample = backend.reset(3)
    back = sample_of(pb.Observation.FromString(observation_of(sample, 1, form).SerializeToString()))
    for camera, frame in sample.images.items():
        sent, got = frame.image.astype(int), back.images[camera].image.astype(int)
        assert got.shape == sent.shape == (96, 96, 3)
        assert np.abs(got - sent).mean() < (2.0 if form == "jpeg" else 1e-9)
    backend.close()


@pytest.mark.parametrize(
    "image",
    [
        pb.Image(camera="head", height=4, width=4, encoding=pb.Image.ENCODING_RAW, data=b"1234"),
        pb.Image(camera="head", height=0, width=4, encoding=pb.Image.ENCODING_RAW),
        pb.Image(camera="head", height=2**20, width=2**20, encoding=pb.Image.ENCODING_RAW),
        pb.Image(camera="head", height=4, width=4, encoding=pb.Image.ENCODING_JPEG, data=b"no jpeg"),
    ],
)
def test_a_picture_that_is_none_is_named(image: pb.Image) -> None:
    with pytest.raises(DexloopError, match="camera 'head'"):
        sample_of(pb.Observation(images=[image]))


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key, made by the openssl that every Debian and macOS has."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1",
        shell=True,
        check=True,
        capture_output=True,
    )
    return cert, key


def test_tls_and_token_let_in_who_has_them(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    token, wrong = tmp_path / "token", tmp_path / "wrong"
    token.write_text(TOKEN + "\n")
    wrong.write_text(TOKEN[::-1] + "\n")
    backend = Lockstep(simulation())
    server, port = start_server(backend, "127.0.0.1:0", ServerSecurity(cert, key, token))
    try:
        env = GrpcEnv(f"localhost:{port}", ClientSecurity(cert, token))
        env.reset(seed=0)
        assert env.step(STILL)[4]["fault"] is None
        env.close()
        for security in (ClientSecurity(cert, wrong), ClientSecurity(cert, None)):
            with pytest.raises(DexloopError, match="the token is missing or wrong"):
                GrpcEnv(f"localhost:{port}", security)
        with pytest.raises(DexloopError, match="no controller answers"):
            GrpcEnv(f"localhost:{port}", ClientSecurity(None, None))
    finally:
        server.stop(0).wait()
        backend.close()


def test_beyond_this_machine_only_with_tls_and_token(tmp_path: Path) -> None:
    backend = Lockstep(simulation())
    with pytest.raises(DexloopError, match=r"--security\.certificate, --security\.key, --security\.token"):
        start_server(backend, "0.0.0.0:0", ServerSecurity())
    short = tmp_path / "token"
    short.write_text("secret\n")
    with pytest.raises(DexloopError, match="6 characters"):
        start_server(backend, "127.0.0.1:0", ServerSecurity(token=short))
    with pytest.raises(DexloopError, match="TLS needs both"):
        start_server(backend, "127.0.0.1:0", ServerSecurity(key=short))
    with pytest.raises(DexloopError, match=r"give HOST:PORT"):
        start_server(backend, "somewhere", ServerSecurity())
    with pytest.raises(DexloopError, match="another machine needs TLS"):
        GrpcEnv("192.0.2.1:50051")
    backend.close()


def test_a_taken_port_is_said_in_a_line(address: str) -> None:
    backend = Lockstep(simulation())
    with pytest.raises(DexloopError, match="cannot listen there; is another controller running"):
        start_server(backend, address, ServerSecurity())
    backend.close()
