"""A robot behind its controller as a Gymnasium environment."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import gymnasium
import numpy as np
from gymnasium import spaces

from dexloop.errors import DexloopError, RobotFault
from dexloop.progress import say
from dexloop.robot.backend import Sample
from dexloop.robot.config import ClientSecurity
from dexloop.robot.messages import MOST_BYTES, sample_of, spec_of
from dexloop.robot.security import call_metadata, open_channel, split_address
from dexloop.sim.control import checked_action
from dexloop.types import FloatArray, RobotSpec
from dexloop.v1 import robot_pb2 as pb
from dexloop.v1 import robot_pb2_grpc as rpc

_OPTIONS = [
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    # A controller that was started again is found within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # While a person is waited for, nothing else tells that the controller's machine is gone.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
]
_ANSWER_SECONDS = 5.0
_RECONNECT_SECONDS = 2.0
# A person may have to put the object back, and may be away: a reset takes as long as it takes, with a word after [s].
_PATIENCE = 60.0
# An action is worth executing for this many control periods after it was chosen.
_VALID_PERIODS = 2.0
# The same where no time passes without actions [s].
_VALID_WAITING = 30.0
# The newest observations that a client keeps for whoever steps.
_UNREAD = 16


class GrpcEnv(gymnasium.Env[dict[str, Any], FloatArray]):
    """The robot at ``address`` (HOST:PORT); it is controlled from the first reset until ``close``.

    Observations, info and errors are those of ``dexloop.sim.env.DexEnv``; "privileged", info["is_success"] and
    info["holding"] are there where a simulation serves. Reward 1 where it says success, else 0. When the connection is
    lost in mid-episode the step returns the last observation with info["fault"], and the next reset connects again.
    Raises DexloopError where no controller answers, where it is another client's, and where it refuses.

    ask: is told of a fault that keeps the robot from a reset, and returns once a person has looked; the robot is
    re-armed then. Without it that is a RobotFault.
    """

    def __init__(
        self, address: str, security: ClientSecurity | None = None, ask: Callable[[str], None] | None = None
    ) -> None:
        host, port = split_address(address, "--robot grpc://")
        self._address = address
        security = security or ClientSecurity()
        self._channel = open_channel(host, port, security, _OPTIONS)
        self._metadata = call_metadata(security)
        self._stub = rpc.RobotStub(self._channel)
        self._stream: _Stream | None = None
        self._last: Sample | None = None
        self._version = 0
        self._ask = ask
        try:
            description = self._stub.Describe(pb.DescribeRequest(), timeout=_ANSWER_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            self._channel.close()
            raise self._error(error) from None
        self.robot_spec: RobotSpec = spec_of(description)
        self._clock = description.robot_time - time.monotonic()
        self._real_time = description.real_time
        size = self.robot_spec.action.size
        self.action_space = spaces.Box(-1.0, 1.0, (size,), np.float32)
        self.observation_space = _observation_space(self.robot_spec)
        self.metadata = {"render_modes": [], "render_fps": round(self.robot_spec.control_hz)}

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Take control where this client has not got it, and have robot and scene reset."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        while True:
            try:
                sample = self._last = self._reset(seed)
                break
            except RobotFault as fault:
                if self._ask is None:
                    raise
                self._have_mended(self._ask, fault)
        return self._observation(sample), self._info(sample)

    def _reset(self, seed: int) -> Sample:
        try:
            self._set_clock()
            stream = self._connected()
            answer = self._patiently(pb.ResetRequest(lease=stream.lease, seed=seed))
        except grpc.RpcError as error:
            # A robot that is stopped is still ours; one that does not answer is not.
            if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED):  # type: ignore[attr-defined]
                self._drop()
            raise self._error(error) from None
        sample = sample_of(answer)
        stream.forget(sample.seconds)
        return sample

    def _patiently(self, request: pb.ResetRequest) -> pb.Observation:
        """The answer to a reset, however long a person takes at the robot."""
        call = self._stub.Reset.future(request, metadata=self._metadata)
        try:
            return call.result(timeout=_PATIENCE)
        except grpc.FutureTimeoutError:
            say("waiting for the robot's reset; does its controller ask somebody to confirm something?")
            return call.result()
        finally:
            # Ctrl-C ends the wait as well.
            call.cancel()

    def _have_mended(self, ask: Callable[[str], None], fault: RobotFault) -> None:
        while True:
            ask(str(fault))
            try:
                return self.rearm()
            except RobotFault as still:
                fault = still

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Send an action and wait for the end of the control period it is executed in."""
        clean = checked_action(action) if self.robot_spec.action.size == 12 else np.asarray(action, np.float32)
        if self._last is None or self._stream is None:
            raise DexloopError(f"grpc://{self._address}: reset the robot before the first step")
        # A simulation that waits for its actions is late by no machine's slowness: the same seed, the same episode.
        valid = _VALID_PERIODS / self.robot_spec.control_hz if self._real_time else _VALID_WAITING
        try:
            answer = self._stream.exchange(clean, time.monotonic() + self._clock, max(valid, 0.1), self._version)
        except _Lost as error:
            self._drop()
            return self._faulty(f"connection to the robot lost: {error}")
        if answer.refused:
            return self._faulty(f"action refused: {answer.refused}")
        sample = self._last = sample_of(answer)
        success = sample.truth is not None and sample.truth.success
        return self._observation(sample), float(success), False, sample.truncated, self._info(sample)

    def announce(self, policy_version: int) -> None:
        """Actions carry this version of the policy from now on."""
        self._version = policy_version

    def hold(self) -> dict[str, Any]:
        """Rest for one control period; raises RobotFault where that goes wrong."""
        if self._stream is None:
            raise RobotFault("connection to the robot lost")
        try:
            answer = self._stub.Hold(
                pb.HoldRequest(lease=self._stream.lease), timeout=_ANSWER_SECONDS, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise RobotFault(str(self._error(error))) from None
        sample = self._last = sample_of(answer)
        if sample.fault:
            raise RobotFault(sample.fault)
        return self._observation(sample)

    def stop(self) -> None:
        """Stop all motion until ``rearm``; anybody may. Not an emergency stop."""
        try:
            self._stub.Stop(pb.StopRequest(), timeout=_ANSWER_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def rearm(self) -> None:
        """Leave the stopped state and clear faults; a person has looked. Raises RobotFault where one persists."""
        lease = self._stream.lease if self._stream is not None else ""
        try:
            self._stub.Rearm(pb.RearmRequest(lease=lease), timeout=_ANSWER_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def confirm(self) -> str:
        """Say that what a reset asks of a person is done; returns that. Raises DexloopError where nothing is asked."""
        try:
            answer = self._stub.Confirm(pb.ConfirmRequest(), timeout=_ANSWER_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error) from None
        return answer.question

    def close(self) -> None:
        """Give control back; the robot holds."""
        self._drop()
        self._channel.close()

    def _connected(self) -> _Stream:
        if self._stream is None:
            self._stream = _Stream(self._stub, self._metadata)
        return self._stream

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _set_clock(self) -> None:
        """How far the robot's clock is ahead of ours [s], to within half a round trip."""
        request = pb.DescribeRequest()
        # Once to have a connection, which may take a while, and once to measure.
        self._stub.Describe(request, timeout=_RECONNECT_SECONDS, metadata=self._metadata, wait_for_ready=True)
        before = time.monotonic()
        answer = self._stub.Describe(request, timeout=_ANSWER_SECONDS, metadata=self._metadata)
        self._clock = answer.robot_time - (before + time.monotonic()) / 2

    def _faulty(self, fault: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """The last observation again, with a fault that voids the episode."""
        assert self._last is not None
        return self._observation(self._last), 0.0, False, False, self._info(self._last) | {"fault": fault}

    def _observation(self, sample: Sample) -> dict[str, Any]:
        seen: dict[str, Any] = {"proprio": sample.proprio}
        seen |= {camera: sample.images[camera].image for camera in self.robot_spec.observation.cameras}
        if self.robot_spec.observation.privileged and sample.truth is not None:
            seen["privileged"] = sample.truth.privileged
        return seen

    def _info(self, sample: Sample) -> dict[str, Any]:
        info: dict[str, Any] = {"executed": sample.executed, "fault": sample.fault, "robot_time": sample.seconds}
        if sample.truth is not None:
            info |= {"is_success": sample.truth.success, "holding": sample.truth.holding}
        return info

    def _error(self, error: grpc.RpcError) -> DexloopError:
        code, details = error.code(), " ".join(str(error.details()).split())  # type: ignore[attr-defined]
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            details = f"no controller answers; start one with: dexloop serve --bind {self._address} ({details})"
        kind = RobotFault if code is grpc.StatusCode.FAILED_PRECONDITION else DexloopError
        return kind(f"grpc://{self._address}: {details}")


def _observation_space(spec: RobotSpec) -> spaces.Dict:
    seen = spec.observation
    parts: dict[str, spaces.Space[Any]] = {"proprio": spaces.Box(-np.inf, np.inf, (seen.proprio,), np.float32)}
    parts |= {camera: spaces.Box(0, 255, (*size, 3), np.uint8) for camera, size in seen.cameras.items()}
    if seen.privileged:
        parts["privileged"] = spaces.Box(-np.inf, np.inf, (seen.privileged,), np.float32)
    return spaces.Dict(parts)


class _Lost(Exception):
    """The stream ended, or the robot did not answer in time."""


class _Stream:
    """One Control stream: the lease while it is open."""

    def __init__(self, stub: rpc.RobotStub, metadata: tuple[tuple[str, str], ...]) -> None:
        self._outbox: queue.Queue[pb.Action | None] = queue.Queue()
        self._inbox: queue.Queue[pb.Observation | None] = queue.Queue()
        self._sequence = 0
        self._since = -float("inf")
        self._call = stub.Control(self._actions(), metadata=metadata)
        # The first message is the lease; a refusal raises here, where it can be told.
        self.lease: str = next(self._call).lease
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def exchange(self, values: FloatArray, issued_at: float, valid_for: float, version: int = 0) -> pb.Observation:
        """Send an action and return the first observation that has it behind it, or its refusal."""
        self._sequence += 1
        action = pb.Action(
            sequence=self._sequence, policy_version=version, issued_at=issued_at, valid_for=valid_for, values=values
        )
        self._outbox.put(action)
        until = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                answer = self._inbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise _Lost(f"no answer within {_ANSWER_SECONDS:g} s") from None
            if answer is None:
                raise _Lost("the controller ended it")
            if answer.acknowledged >= self._sequence or (answer.fault and answer.robot_time > self._since):
                return answer

    def forget(self, since: float) -> None:
        """Pass over what was before a reset that ended at ``since`` [s, robot time], and may still be on its way."""
        self._since = since
        while not self._inbox.empty():
            if self._inbox.get_nowait() is None:
                self._inbox.put(None)
                return

    def close(self) -> None:
        """End the stream."""
        self._outbox.put(None)
        self._call.cancel()

    def _actions(self) -> Iterator[pb.Action]:
        while (action := self._outbox.get()) is not None:
            yield action

    def _read(self) -> None:
        try:
            for observation in self._call:
                # In real time they also come while nobody steps, as between episodes.
                while self._inbox.qsize() >= _UNREAD:
                    with contextlib.suppress(queue.Empty):
                        self._inbox.get_nowait()
                self._inbox.put(observation)
        except grpc.RpcError:
            pass  # its end is what matters, whatever ended it
        finally:
            self._inbox.put(None)
