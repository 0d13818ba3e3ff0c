"""The real-time controller: limits, watchdog and timing beside a robot for which time passes."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.backend import Command, Deliver, Sample
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.devices import Frame
from dexloop.robot.motion import Motion
from dexloop.robot.plant import Plant, Setpoint
from dexloop.robot.safety import CameraWatch
from dexloop.robot.schedule import Schedule, Timing
from dexloop.sim.control import ACTION_SPEC, ActionCodec
from dexloop.sim.hand import FINGER_NAMES
from dexloop.sim.proprioception import PROPRIO_NAMES, PROPRIO_SIZE, Proprioception
from dexloop.types import FloatArray, ObservationSpec, RobotSpec

T = TypeVar("T")
STOPPED = "the robot is stopped: call rearm() before moving it again"
# The robot is at home once it is measured this near to where it was told to go [rad, closed fraction], and it has so
# long for that [s].
_AT_HOME, _OPENED = 0.01, 0.05
_HOME_SECONDS = 3.0


class RealTime:
    """A ``Backend`` that drives a plant at its own rate, in a thread of its own that ends with ``close``.

    At the end of each control period a sample is delivered, and the newest action that has not expired is executed in
    the next; one that comes later begins at once and ends with the same control period. Without a fresh action for
    ``watchdog`` control periods, without a client, in ``hold`` and ``stop``, at the deadline and in a fault the robot
    brakes within its limits and rests. A fault stays until ``rearm``, and voids the episode.

    Raises DexloopError for a plant whose tick does not divide the control period, and where it cannot begin.
    """

    real_time = True

    def __init__(self, plant: Plant, config: ControlConfig) -> None:
        period = 1.0 / config.control_hz
        per_period = round(period / plant.tick)
        if per_period < 1 or abs(per_period * plant.tick - period) > 1e-6 * period:
            raise DexloopError(
                f"{config.control_hz:g} Hz: a control period is no whole number of ticks of {plant.tick:g} s"
            )
        self._plant, self._config, self._safety = plant, config, config.safety
        self._codec = ActionCodec(config.action, config.limits, period)
        self._proprioception = Proprioception(config.limits)
        self._schedule = Schedule(plant.tick, per_period)
        self._watch = CameraWatch(config.safety.frozen)
        self._state = plant.state()
        start = Setpoint(self._state.joints, self._state.fingers)
        self._motion = Motion(plant.kinematics, self._codec, config.safety, plant.tick, per_period, start)

        self._lock = threading.Lock()
        self._deliver: Deliver | None = None
        self._pending: Command | None = None
        self._stopped = False
        self._fault: str | None = None
        self._running = False
        self._rest_asked = False

        self._executing: int | None = None
        self._began = -float("inf")
        self._acknowledged = 0
        self._steps = 0
        self._expired = 0
        self._devices_halted = False
        self._frames: Mapping[str, Frame] = {}
        self._way: deque[Setpoint] = deque()
        self._home: Future[None] | None = None
        self._home_by = float("inf")
        self._holds: list[tuple[Future[Sample], int]] = []

        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closing = threading.Event()
        # What a client's stream does with a sample must not delay the robot.
        self._courier = ThreadPoolExecutor(1, "dexloop-deliver")
        begun: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(begun,), name="dexloop-control", daemon=True)
        self._thread.start()
        begun.result()

    @property
    def spec(self) -> RobotSpec:
        """What this robot is to the episode loop."""
        c, plant = self._config, self._plant
        return RobotSpec(
            name=plant.name,
            task=c.task,
            action=ACTION_SPEC,
            observation=ObservationSpec(
                proprio=PROPRIO_SIZE,
                cameras=dict(plant.cameras),
                privileged=plant.privileged,
                proprio_names=PROPRIO_NAMES,
            ),
            control_hz=c.control_hz,
            max_steps=c.max_steps,
            reset_seconds=c.reset_seconds,
            can_hold=True,
        )

    @property
    def expired(self) -> int:
        """Accepted actions that were not executed, since they had expired by then."""
        return self._expired

    def timing(self) -> Timing:
        """How punctual ticks and control periods were."""
        return self._ask(self._schedule.timing)

    def attach(self, deliver: Deliver) -> None:
        """Samples go to ``deliver`` from now on; sequence numbers begin anew."""
        with self._lock:
            self._deliver, self._pending = deliver, None
            self._acknowledged = 0

    def detach(self) -> None:
        """Brake and rest; who was in control is gone, and the episode with it."""
        with self._lock:
            self._deliver = self._pending = None
            self._running, self._rest_asked = False, True

    def submit(self, command: Command) -> None:
        """Take an action for the next control period, in place of one that waits.

        Raises DexloopError while stopped or in a fault, outside an episode, and for one that expires before it begins.
        """
        with self._lock:
            self._check_armed()
            if not self._running:
                raise DexloopError("the episode is over: call reset() before step()")
            begins = self._schedule.next_period() if self._executing is not None else time.monotonic()
            if command.expires < begins:
                raise DexloopError(f"expires {1000 * (begins - command.expires):.0f} ms before it would begin")
            self._pending = command

    def reset(self, seed: int) -> Sample:
        """Go home, have the scene confirmed and start an episode; raises DexloopError while stopped or in a fault."""
        home = self._ask(self._go_home)
        home.result()
        self._plant.confirm()
        return self._ask(lambda: self._start(seed))

    def hold(self) -> Sample:
        """Brake and rest for a whole control period; the deadline does not come nearer."""
        return self._ask(self._begin_hold).result()

    def stop(self) -> None:
        """Brake, and take no action until ``rearm``."""
        with self._lock:
            self._stopped, self._pending = True, None

    def rearm(self) -> None:
        """Take actions again; after a fault only from the next reset on. Raises DexloopError where a fault persists."""
        self._plant.rearm()
        self._ask(self._go_on)

    def close(self) -> None:
        """Brake to rest, end the thread and let go of the plant; again does nothing."""
        self._closing.set()
        self._thread.join()
        self._courier.shutdown()

    def _ask(self, work: Callable[[], T]) -> T:
        """Have the control thread do something between two ticks."""
        done: Future[T] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self._jobs.put(job)
        while True:
            try:
                return done.result(timeout=0.5)
            except FutureTimeoutError:
                if not self._thread.is_alive():
                    raise DexloopError("the controller is closed") from None

    # From here on: in the control thread.

    def _run(self, begun: Future[None]) -> None:
        try:
            self._frames = self._plant.frames()
        except Exception as error:
            self._plant.close()
            begun.set_exception(error)
            return
        begun.set_result(None)
        self._schedule.restart()
        while not (self._closing.is_set() and self._motion.at_rest):
            while not self._jobs.empty():
                self._jobs.get()()
            overrun = self._schedule.wait()
            try:
                self._tick(overrun)
            except Exception as error:
                self._latch(_said(error))
        for waiting in (self._home, *(future for future, _ in self._holds)):
            if waiting is not None and not waiting.done():
                waiting.set_exception(DexloopError("the controller is closed"))
        self._plant.close()

    def _tick(self, overrun: float) -> None:
        if overrun > self._safety.overrun:
            self._latch(f"a tick began {overrun:.2f} s late")
        try:
            self._state = self._plant.state()
            fault = self._safety.fault_of(self._state, self._motion.setpoint)
        except Exception as error:
            # Whatever it is, the robot must still brake.
            fault = _said(error)
        if fault is not None:
            self._latch(fault)
        if self._schedule.period_ended():
            self._end_period()
        self._choose()
        self._command(self._motion.advance(self._state))
        self._plant.advance()

    def _choose(self) -> None:
        """Begin the action that waits, or rest where it is time to."""
        now = time.monotonic()
        with self._lock:
            halted = self._halted() is not None or self._rest_asked or self._closing.is_set()
            self._rest_asked = False
            command = None
            if self._executing is None and not halted:
                command, self._pending = self._pending, None
        if halted:
            self._abandon(DexloopError(self._halted() or "nobody controls the robot any more"))
        elif self._home is not None:
            self._go_further()
        elif command is not None and now <= command.expires:
            self._motion.begin(command.values, self._schedule.left, self._state)
            self._executing, self._began = command.sequence, now
        elif now - self._began > self._safety.watchdog * self._schedule.period:
            self._motion.rest()
        self._expired += command is not None and now > command.expires

    def _abandon(self, why: DexloopError) -> None:
        self._motion.rest()
        if self._home is not None:
            self._home.set_exception(why)
            self._home = None

    def _command(self, setpoint: Setpoint) -> None:
        if self._devices_halted:
            return
        try:
            self._plant.command(setpoint)
        except Exception as error:
            self._latch(_said(error))
            # Once halted, the arm may be anywhere near the setpoint: no other before somebody has looked.
            self._devices_halted = True
            self._plant.halt()

    def _end_period(self) -> None:
        executed = self._motion.finish()
        over = False
        if self._executing is not None:
            self._steps += 1
            self._acknowledged, self._executing = self._executing, None
            over = self._running and self._steps >= self._config.max_steps
        if over:
            with self._lock:
                self._running, self._pending = False, None
            self._motion.rest()
        if self._deliver is None and not self._holds:
            self._watch.forget()
            return
        sample = self._sample(executed, truncated=over)
        deliver = self._deliver
        if deliver is not None:
            self._courier.submit(deliver, sample)
        waiting = [(future, periods - 1) for future, periods in self._holds]
        self._holds = [(future, periods) for future, periods in waiting if periods > 0]
        for future, periods in waiting:
            if periods == 0:
                future.set_result(sample)

    def _sample(self, executed: FloatArray, *, truncated: bool = False) -> Sample:
        now = time.monotonic()
        try:
            self._frames = self._plant.frames()
            frozen = self._watch.fault_of(self._frames, now)
        except Exception as error:
            frozen = _said(error)
        if frozen is not None:
            self._latch(frozen)
        state, motion = self._state, self._motion
        remaining = max(0.0, 1.0 - self._steps / self._config.max_steps)
        return Sample(
            proprio=self._proprioception.vector(motion.relative(state.joints), state.fingers, motion.target, remaining),
            images=self._frames,
            executed=executed,
            seconds=now,
            acknowledged=self._acknowledged,
            fault=self._halted(),
            truncated=truncated,
            truth=self._plant.truth(),
        )

    def _go_home(self) -> Future[None]:
        with self._lock:
            self._check_armed()
            self._running, self._pending, self._rest_asked = False, None, False
        if self._home is not None:
            raise DexloopError("the robot is on its way home already")
        now = self._motion.setpoint
        self._way = deque(self._plant.way_home(now.joints, now.fingers))
        home: Future[None] = Future()
        if not self._way:
            home.set_result(None)
            return home
        self._home, self._home_by = home, float("inf")
        self._next_leg()
        return home

    def _next_leg(self) -> None:
        c = self._config
        self._motion.travel(self._way.popleft(), c.homing_speed, c.homing_finger_speed)

    def _go_further(self) -> None:
        """On to the next place on the way home, or say that this is home."""
        assert self._home is not None
        if not self._motion.arrived:
            return
        if self._way:
            self._next_leg()
            return
        now = time.monotonic()
        self._home_by = min(self._home_by, now + _HOME_SECONDS)
        off = np.abs(self._state.joints - self._motion.setpoint.joints)
        fingers_off = np.abs(self._state.fingers - self._motion.setpoint.fingers)
        if off.max() < _AT_HOME and fingers_off.max() < _OPENED:
            self._motion.rest()
            self._home.set_result(None)
            self._home = None
        elif now > self._home_by:
            stuck = f"joint {int(off.argmax()) + 1}" if off.max() >= _AT_HOME else FINGER_NAMES[fingers_off.argmax()]
            self._latch(f"{stuck} does not reach home")

    def _start(self, seed: int) -> Sample:
        with self._lock:
            self._check_armed()
        start = self._plant.reset(seed)
        self._motion.settle(start)
        self._motion.start_here()
        self._state = self._plant.state()
        self._steps, self._executing = 0, None
        self._watch.forget()
        sample = self._sample(self._codec.encode(self._motion.target, self._motion.target))
        with self._lock:
            self._check_armed()
            self._running, self._pending = True, None
        self._schedule.restart()
        return sample

    def _begin_hold(self) -> Future[Sample]:
        with self._lock:
            self._pending = None
        if self._home is None:
            self._motion.rest()
        # What is left of this control period, and one that is whole.
        future: Future[Sample] = Future()
        self._holds.append((future, 2))
        return future

    def _go_on(self) -> None:
        state = self._plant.state()
        if state.fault is not None:
            raise DexloopError(f"the fault is still there: {state.fault}")
        if self._fault is not None:
            self._motion.settle(Setpoint(state.joints, state.fingers))
        with self._lock:
            self._running = self._running and self._fault is None
            self._stopped, self._fault, self._pending = False, None, None
        self._devices_halted = False
        self._watch.forget()

    def _latch(self, fault: str) -> None:
        with self._lock:
            self._fault, self._pending = self._fault or fault, None

    def _halted(self) -> str | None:
        return self._fault or (STOPPED if self._stopped else None)

    def _check_armed(self) -> None:
        if self._fault is not None:
            raise DexloopError(f"the robot is in a fault, call rearm() once somebody has looked: {self._fault}")
        if self._stopped:
            raise DexloopError(STOPPED)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, DexloopError) else f"controller: {error!r}"
