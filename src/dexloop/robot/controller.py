"""The real-time controller: limits, watchdog and timing beside a robot for which time passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from dexloop.errors import DexloopError, RobotFault
from dexloop.robot.backend import Command, Deliver, Sample
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.faults import PressWatch, said
from dexloop.robot.homing import Homing
from dexloop.robot.jobs import Jobs
from dexloop.robot.motion import Motion
from dexloop.robot.observer import Observer, spec_of
from dexloop.robot.orders import ABANDONED, Orders
from dexloop.robot.person import Person
from dexloop.robot.plant import Plant, Setpoint
from dexloop.robot.schedule import Schedule, Timing
from dexloop.sim.control import ActionCodec
from dexloop.types import FloatArray, RobotSpec

# What a person is asked before the robot moves where somebody may stand, and once it is at home.
_KEEP_AWAY = "the robot is about to go to its start: keep your hands away"
_PLACE = "put the object where the task starts, keep your hands away"
# A reset whose client is gone ends sooner than this [s].
_RESET_ENDS = 1.0


class RealTime:
    """A ``Backend`` that drives a plant at its own rate, in a thread of its own that ends with ``close``.

    At the end of each control period a sample is delivered, and the newest action that has not expired is executed in
    the next; one that comes later begins at once and ends with the same control period; one that has expired by then
    is refused. Without a fresh action for ``watchdog`` control periods, without a client, in ``hold`` and ``stop``, at
    the deadline and in a fault the robot brakes within its limits and rests. A fault stays until ``rearm``, and voids
    the episode.

    person: who is asked to put the object back once the robot is at home; None where nobody is. They may be at it when
    their answer is waited for no longer, and nobody knows who stands where when the controller begins: a reset then
    asks them before it moves anything.

    Raises DexloopError for a plant whose tick does not divide the control period, and where it cannot begin.
    """

    real_time = True

    def __init__(self, plant: Plant, config: ControlConfig, person: Person | None = None) -> None:
        period = 1.0 / config.control_hz
        per_period = round(period / plant.tick)
        if per_period < 1 or abs(per_period * plant.tick - period) > 1e-6 * period:
            raise DexloopError(
                f"{config.control_hz:g} Hz: a control period is no whole number of ticks of {plant.tick:g} s"
            )
        self._plant, self._config, self._safety = plant, config, config.safety
        self._person = person
        self._somebody_near = person is not None
        self._resetting = threading.Lock()
        self._codec = ActionCodec(config.action, config.limits, period)
        self._schedule = Schedule(plant.tick, per_period)
        self._state = plant.state()
        start = Setpoint(self._state.joints, self._state.fingers)
        self._motion = Motion(plant.kinematics, self._codec, config.safety, plant.tick, per_period, start)
        self._orders = Orders()
        self._homing = Homing(plant, self._motion, config)
        self._presses = PressWatch(config.safety.highest_force, config.safety.pressing)
        self._observer = Observer(plant, self._motion, self._orders, config)

        self._began = -float("inf")
        self._devices_halted = False
        self._holds: list[tuple[Future[Sample], int]] = []
        self._closing = threading.Event()
        # What a client's stream does with a sample must not delay the robot.
        self._courier = ThreadPoolExecutor(1, "dexloop-deliver")
        begun: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(begun,), name="dexloop-control", daemon=True)
        self._jobs = Jobs(self._thread.is_alive)
        self._thread.start()
        begun.result()

    @property
    def spec(self) -> RobotSpec:
        """What this robot is to the episode loop."""
        return spec_of(self._plant, self._config)

    @property
    def expired(self) -> int:
        """Accepted actions that were not executed, since they had expired by then."""
        return self._orders.expired

    @property
    def halted(self) -> str | None:
        """Why nothing moves until ``rearm``, in words; None where it may."""
        return self._orders.halted

    def timing(self) -> Timing:
        """How punctual ticks and control periods were."""
        return self._jobs.ask(self._schedule.timing)

    def attach(self, deliver: Deliver) -> None:
        """Samples go to ``deliver`` from now on; sequence numbers begin anew."""
        self._orders.attach(deliver)

    def detach(self) -> None:
        """Brake and rest; who was in control is gone, and the episode with it."""
        self._orders.detach()

    def submit(self, command: Command) -> None:
        """Take an action for the next control period, in place of one that waits.

        Raises DexloopError while stopped or in a fault, outside an episode, and for one that expires before it begins.
        """
        self._orders.submit(command, time.monotonic(), self._schedule.next_period())

    def reset(self, seed: int) -> Sample:
        """Go home, have the scene confirmed and start an episode.

        Raises RobotFault while stopped or in a fault, and DexloopError where whoever asked for it is gone meanwhile,
        and while another reset is under way.
        """
        with self._only_reset():
            prepared = self._orders.prepare()
            if self._somebody_near:
                self._ask(_KEEP_AWAY, prepared)
            self._jobs.ask(lambda: self._go_home(prepared)).result()
            self._ask(_PLACE, prepared)
            return self._jobs.ask(lambda: self._start(seed, prepared))

    def confirm(self) -> str:
        """Answer for the person; returns what they were asked, and raises DexloopError where that was nothing."""
        if self._person is None:
            raise DexloopError("this robot asks nobody before an episode")
        return self._person.confirm()

    def hold(self) -> Sample:
        """Brake and rest for a whole control period; the deadline does not come nearer."""
        return self._jobs.ask(self._begin_hold).result()

    def stop(self) -> None:
        """Brake, and take no action until ``rearm``."""
        self._orders.stop()

    def rearm(self) -> None:
        """Take actions again; after a fault only from the next reset on. Raises RobotFault where a fault persists."""
        try:
            self._plant.rearm()
            self._jobs.ask(self._go_on)
        except DexloopError as error:
            raise RobotFault(str(error)) from error

    def close(self) -> None:
        """Brake to rest, end the thread and let go of the plant; again does nothing."""
        self._closing.set()
        self._thread.join()
        self._courier.shutdown()

    @contextmanager
    def _only_reset(self) -> Generator[None]:
        if not self._resetting.acquire(timeout=_RESET_ENDS):
            raise DexloopError("the robot is being reset already")
        try:
            yield
        finally:
            self._resetting.release()

    def _ask(self, question: str, prepared: int) -> None:
        """Wait for the person, as long as who ``prepared`` this episode still wants it and the robot may move."""
        if self._person is None:
            return

        def check() -> None:
            if self._closing.is_set():
                raise DexloopError("the controller ends")
            self._orders.check_waiting(prepared)

        self._somebody_near = True
        self._person.ask(question, check)
        self._somebody_near = False

    # From here on: in the control thread.

    def _run(self, begun: Future[None]) -> None:
        try:
            self._observer.look()
        except Exception as error:
            self._plant.close()
            begun.set_exception(error)
            return
        begun.set_result(None)
        self._schedule.restart()
        while not (self._closing.is_set() and self._motion.at_rest):
            self._jobs.do_all()
            overrun = self._schedule.wait()
            try:
                self._tick(overrun)
            except Exception as error:
                self._orders.latch(said(error))
        closed = DexloopError("the controller is closed")
        self._homing.abandon(closed)
        for waiting, _ in self._holds:
            waiting.set_exception(closed)
        self._plant.close()

    def _tick(self, overrun: float) -> None:
        if overrun > self._safety.overrun:
            self._orders.latch(f"a tick began {overrun:.2f} s late")
        try:
            self._state = self._plant.state()
            fault = self._safety.fault_of(self._state, self._motion.setpoint)
            fault = fault or self._presses.fault_of(self._state.force, time.monotonic())
        except Exception as error:
            # Whatever it is, the robot must still brake.
            fault = said(error)
        if fault is not None:
            self._orders.latch(fault)
        if self._schedule.period_ended():
            self._end_period()
        self._choose()
        self._command(self._motion.advance(self._state))
        self._plant.advance()

    def _choose(self) -> None:
        """Begin the action that waits, or rest where it is time to."""
        now, homing = time.monotonic(), self._homing
        rest, command = self._orders.next(now, closing=self._closing.is_set(), busy=homing.under_way)
        if rest:
            self._motion.rest()
            halted = self._orders.halted
            homing.abandon(DexloopError(ABANDONED) if halted is None else RobotFault(halted))
        elif homing.under_way:
            stuck = homing.go_further(self._state)
            if stuck is not None:
                self._orders.latch(stuck)
        elif command is not None:
            self._motion.begin(command.values, self._schedule.left, self._state)
            self._began = now
        elif now - self._began > self._safety.watchdog * self._schedule.period:
            self._motion.rest()

    def _command(self, setpoint: Setpoint) -> None:
        if self._devices_halted:
            return
        try:
            self._plant.command(setpoint)
        except Exception as error:
            self._orders.latch(said(error))
            # Once halted, the arm may be anywhere near the setpoint: no other before somebody has looked.
            self._devices_halted = True
            self._plant.halt()

    def _end_period(self) -> None:
        executed = self._motion.finish()
        over = False
        if self._orders.executed():
            self._observer.steps += 1
            over = self._orders.running and self._observer.steps >= self._config.max_steps
        if over:
            self._orders.end()
            self._motion.rest()
        if self._orders.deliver is None and not self._holds:
            self._observer.watch.forget()
            return
        self._hand_out(self._observer.sample(self._state, executed, truncated=over))

    def _hand_out(self, sample: Sample) -> None:
        """To whoever controls the robot, and to those whose hold ends with this control period."""
        deliver = self._orders.deliver
        if deliver is not None:
            self._courier.submit(deliver, sample)
        waiting = [(future, periods - 1) for future, periods in self._holds]
        self._holds = [(future, periods) for future, periods in waiting if periods > 0]
        for future, periods in waiting:
            if periods == 0:
                future.set_result(sample)

    def _go_home(self, prepared: int) -> Future[None]:
        self._orders.depart(prepared)
        return self._homing.begin()

    def _start(self, seed: int, prepared: int) -> Sample:
        self._orders.check_waiting(prepared)
        start = self._plant.reset(seed)
        self._motion.settle(start)
        self._motion.start_here()
        self._state = self._plant.state()
        self._observer.steps = 0
        self._observer.watch.forget()
        still: FloatArray = self._codec.encode(self._motion.target, self._motion.target)
        sample = self._observer.sample(self._state, still)
        self._orders.begin(prepared)
        self._schedule.restart()
        return sample

    def _begin_hold(self) -> Future[Sample]:
        self._orders.hold()
        if not self._homing.under_way:
            self._motion.rest()
        # What is left of this control period, and one that is whole.
        future: Future[Sample] = Future()
        self._holds.append((future, 2))
        return future

    def _go_on(self) -> None:
        state = self._plant.state()
        if state.fault is not None:
            raise DexloopError(f"the fault is still there: {state.fault}")
        if self._orders.fault is not None:
            if not self._devices_halted:
                # It goes on from where it is, perhaps far from its last setpoint: a jump, unless the arm forgets that.
                self._plant.halt()
            self._motion.settle(Setpoint(state.joints, state.fingers))
        # What still presses has as long as anything to let go, since only motion ends it.
        self._presses.forget()
        self._orders.rearm()
        self._devices_halted = False
        self._observer.watch.forget()
