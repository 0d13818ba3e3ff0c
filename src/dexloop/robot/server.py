"""The service: one lease, and no action executed that is late, doubled, out of order or no number."""

from __future__ import annotations

import contextlib
import functools
import queue
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import TypeVar

import grpc

from dexloop.errors import DexloopError, RobotFault
from dexloop.robot.backend import Backend, Command, Sample
from dexloop.robot.messages import MOST_BYTES, ImageForm, description_of, observation_of, refusal, values_of
from dexloop.robot.security import ServerSecurity, TokenGuard, check_bind, read_token, server_credentials, split_address
from dexloop.v1 import robot_pb2 as pb
from dexloop.v1 import robot_pb2_grpc as rpc

OPTIONS = [
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    # A peer that stands still, or whose machine is gone, says nothing; ask it. On the way home, where no actions are
    # due, nothing else tells. The ping's own timeout is a minute unless it is given.
    ("grpc.keepalive_time_ms", 500),
    ("grpc.keepalive_timeout_ms", 1_000),
    ("grpc.http2.ping_timeout_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_pings_without_data", 0),
    # Clients ask as well, while they wait for a person.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 2_000),
]
Done = TypeVar("Done")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# A client that reads slower than the robot shows loses the oldest pictures, not the newest.
_UNREAD = 4
# Calls that may take long and are answered at a time. There are more threads than that: however many calls come, and
# however long a reset takes, one is free for Stop.
_CALLS = 6
_THREADS = _CALLS + 2
# Calls beyond those that are answered end at once; so many may wait for that.
_MOST_CALLS = 100
# An action is no use later than this many control periods after it was chosen, nor later than this [s]; where no time
# passes without actions, it is for as long as anybody can want.
_VALID_PERIODS, _VALID_SECONDS, _VALID_WAITING = 4.0, 0.5, 60.0


@dataclass(slots=True)
class ServiceLog:
    """What a person may ask afterwards. refused: how many actions were, by reason, with ``…`` for numbers;

    policy_version: of the policy that chose the newest action that was taken, in critic updates, 0 where nobody says.
    """

    refused: Counter[str] = field(default_factory=Counter[str])
    policy_version: int = 0


class RobotService(rpc.RobotServicer):
    """Serves a backend to one client at a time; form and log as ``start_server`` has them."""

    def __init__(self, backend: Backend, form: ImageForm = "raw", log: ServiceLog | None = None) -> None:
        self._backend = backend
        self._form: ImageForm = form
        self._lock = threading.Lock()
        self._places = threading.Semaphore(_CALLS)
        self._lease: str | None = None
        self._sent = 0
        self._log = log or ServiceLog()

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.Description:
        """What the robot is."""
        return description_of(self._backend.spec, real_time=self._backend.real_time)

    def Reset(self, request: pb.ResetRequest, context: grpc.ServicerContext) -> pb.Observation:
        """A start state, for who has the lease."""
        self._check_lease(request.lease, context)
        with self._place(context):
            return self._answer(context, lambda: self._backend.reset(request.seed))

    def Hold(self, request: pb.HoldRequest, context: grpc.ServicerContext) -> pb.Observation:
        """One period of rest, for who has the lease."""
        self._check_lease(request.lease, context)
        with self._place(context):
            return self._answer(context, self._backend.hold)

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.StopReply:
        """Anybody may stop the robot, whatever else goes on."""
        self._backend.stop()
        return pb.StopReply()

    def Rearm(self, request: pb.RearmRequest, context: grpc.ServicerContext) -> pb.RearmReply:
        """Motion again, for who has the lease; a stopped robot may also be re-armed while nobody has it."""
        if self._lease is not None:
            self._check_lease(request.lease, context, ": who does must re-arm it, or end first")
        with self._place(context):
            self._attempt(context, self._backend.rearm)
        return pb.RearmReply()

    def Confirm(self, request: pb.ConfirmRequest, context: grpc.ServicerContext) -> pb.ConfirmReply:
        """Anybody may say that the object is in place: they are beside the robot, and who controls it may not be."""
        return pb.ConfirmReply(question=self._attempt(context, self._backend.confirm))

    def Control(
        self, request_iterator: Iterator[pb.Action], context: grpc.ServicerContext
    ) -> Generator[pb.Observation]:
        """The lease first, then an observation for every control period and for every action that was refused."""
        with self._place(context):
            yield from self._controlled(request_iterator, context)

    def _controlled(
        self, request_iterator: Iterator[pb.Action], context: grpc.ServicerContext
    ) -> Generator[pb.Observation]:
        lease = self._take_lease(context)
        outbox: queue.Queue[pb.Observation | None] = queue.Queue()
        self._backend.attach(lambda sample: _put(outbox, self._message(sample)))
        reader = threading.Thread(target=self._read, args=(request_iterator, outbox), daemon=True)
        context.add_callback(lambda: outbox.put(None))
        try:
            yield pb.Observation(lease=lease, robot_time=time.monotonic())
            reader.start()
            while (message := outbox.get()) is not None:
                yield message
        finally:
            self._backend.detach()
            with self._lock:
                self._lease = None

    def _take_lease(self, context: grpc.ServicerContext) -> str:
        with self._lock:
            taken = self._lease is not None
            lease = secrets.token_hex(8)
            if not taken:
                self._lease = lease
        if taken:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "another client controls the robot")
        return lease

    def _check_lease(self, lease: str, context: grpc.ServicerContext, advice: str = "") -> None:
        if self._lease is None or not secrets.compare_digest(lease, self._lease):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"this client does not control the robot{advice}")

    def _read(self, actions: Iterator[pb.Action], outbox: queue.Queue[pb.Observation | None]) -> None:
        """Pass on every action that may be executed; ends with the stream."""
        last = 0
        spec = self._backend.spec
        longest = max(_VALID_PERIODS / spec.control_hz, _VALID_SECONDS)
        if not self._backend.real_time:
            longest = _VALID_WAITING
        try:
            for action in actions:
                now = time.monotonic()
                why = refusal(action, spec.action.size, last, now, longest)
                last = max(last, action.sequence)
                refuse = functools.partial(self._refuse, outbox, action.sequence)
                if why is not None:
                    refuse(why)
                    continue
                try:
                    # A clock that is a little ahead makes no action valid for longer.
                    expires = min(action.issued_at, now) + action.valid_for
                    self._backend.submit(Command(action.sequence, values_of(action), expires, refuse))
                    self._log.policy_version = action.policy_version
                except DexloopError as error:
                    refuse(str(error))
        except grpc.RpcError:
            pass  # the stream broke, which its callback hears of as well
        finally:
            outbox.put(None)

    def _refuse(self, outbox: queue.Queue[pb.Observation | None], sequence: int, why: str) -> None:
        with self._lock:
            self._log.refused[_NUMBER.sub("…", why)] += 1
        answer = pb.Observation(sequence=self._next(), robot_time=time.monotonic(), acknowledged=sequence, refused=why)
        _put(outbox, answer)

    def _answer(self, context: grpc.ServicerContext, work: Callable[[], Sample]) -> pb.Observation:
        return self._message(self._attempt(context, work))

    def _attempt(self, context: grpc.ServicerContext, work: Callable[[], Done]) -> Done:
        try:
            return work()
        except RobotFault as fault:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(fault))
        except DexloopError as error:
            context.abort(grpc.StatusCode.ABORTED, str(error))

    @contextlib.contextmanager
    def _place(self, context: grpc.ServicerContext) -> Generator[None]:
        """One of the places for calls that may take long; without a free one the call ends."""
        if not self._places.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls at a time")
        try:
            yield
        finally:
            self._places.release()

    def _message(self, sample: Sample) -> pb.Observation:
        return observation_of(sample, self._next(), self._form)

    def _next(self) -> int:
        with self._lock:
            self._sent += 1
            return self._sent


def _put(outbox: queue.Queue[pb.Observation | None], message: pb.Observation) -> None:
    """Add a message, and forget the oldest where too many are unread."""
    while outbox.qsize() >= _UNREAD:
        try:
            oldest = outbox.get_nowait()
        except queue.Empty:
            break
        if oldest is None:
            # The end of the stream, after which nobody reads.
            outbox.put(None)
            return
    outbox.put(message)


def start_server(
    backend: Backend,
    bind: str,
    security: ServerSecurity,
    form: ImageForm = "raw",
    log: ServiceLog | None = None,
) -> tuple[grpc.Server, int]:
    """Serve ``backend`` at HOST:PORT, port 0 for a free one; the server, running, and its port.

    form: of pictures on the way. log: what is noted there.
    Raises DexloopError for an address beyond this machine without TLS and a token, and for one that is taken.
    """
    host, port = split_address(bind, "--bind")
    check_bind(host, security)
    guards: list[grpc.ServerInterceptor] = (
        [TokenGuard(read_token(security.token))] if security.token is not None else []
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="dexloop-serve"),
        interceptors=guards,
        # Two servers at one port would share the calls among them.
        options=[*OPTIONS, ("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=_MOST_CALLS,
    )
    rpc.add_RobotServicer_to_server(RobotService(backend, form, log), server)
    credentials = server_credentials(security)
    try:
        if credentials is None:
            bound = server.add_insecure_port(f"{host}:{port}")
        else:
            bound = server.add_secure_port(f"{host}:{port}", credentials)
    except RuntimeError as error:
        raise DexloopError(f"--bind {bind}: cannot listen there; is another controller running? ({error})") from None
    server.start()
    return server, bound
