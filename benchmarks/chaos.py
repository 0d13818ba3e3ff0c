"""Random faults on processes and sockets while the scripted operator works: nothing may be lost, or go too far.

    python -m benchmarks.chaos --seconds 60 --seed 0 --out chaos.json

The operator takes the cup through the service, the drivers and simulated devices, each in a process of its own, and
every episode is stored. Ends with a summary in JSON, and with 1 where a stored episode was lost, a setpoint was beyond
a limit, an action was executed after it had expired, the robot took too long to rest, or a process ended by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.chaos_judge import actions_begun, setpoints_beyond
from benchmarks.chaos_rig import Rig, Rows, distance, resting_since

from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.robot.client import GrpcEnv
from dexloop.robot.simulators.journal import MEASURED, read_journal

FREEZE = 1.2
"""Long enough to see the robot rest [s]."""
EXPIRY_GRACE = 0.02
SILENCE = 2.5
"""Long enough for the service to find a silent client gone, 1.5, also on the way home [s]."""
LONGEST_HOLD = 2.0
"""Watchdog 0.2, braking 0.3 and at most 1 s in which a dead device cannot be noticed; the rest is for a busy machine
[s]."""
LONGEST_HOLD_HOMING = 2.5
"""On the way home only a ping that is not answered tells of a silent client: 1.5 instead of the watchdog [s]."""
HOMING = " on the way home"
STUCK = 90.0
"""Without an episode that begins for so long, nothing works any more [s]."""
FULL_DISK = 1000
"""No file may grow beyond this [bytes]."""


@dataclass(frozen=True, slots=True)
class Fault:
    """happen: brings it about, and what it takes to mend it. rests: whether the robot must rest soon after it.
    unless_homing: but not on the way home, since the client is there and no actions are due."""

    name: str
    happen: Callable[[Rig, random.Random], None]
    rests: bool = True
    unless_homing: bool = False


def worker_killed(rig: Rig, chance: random.Random) -> None:
    rig.signal("worker", signal.SIGKILL)
    time.sleep(FREEZE)


def worker_stopped(rig: Rig, chance: random.Random) -> None:
    rig.signal("worker", signal.SIGSTOP)
    time.sleep(SILENCE + chance.uniform(0.0, 3.0))
    rig.signal("worker", signal.SIGCONT)


def service_killed(rig: Rig, chance: random.Random) -> None:
    rig.signal("service", signal.SIGKILL)
    time.sleep(FREEZE)
    rig.end("service")


def service_stopped(rig: Rig, chance: random.Random) -> None:
    rig.signal("service", signal.SIGSTOP)
    time.sleep(FREEZE + chance.uniform(-0.5, 1.0))
    rig.signal("service", signal.SIGCONT)


def devices_killed(rig: Rig, chance: random.Random) -> None:
    rig.signal("devices", signal.SIGKILL)
    time.sleep(FREEZE)
    rig.end("devices")
    rig.end("service")


def devices_stopped(rig: Rig, chance: random.Random) -> None:
    rig.signal("devices", signal.SIGSTOP)
    time.sleep(chance.uniform(0.1, 2.0))
    rig.signal("devices", signal.SIGCONT)


def connection_cut(rig: Rig, chance: random.Random) -> None:
    rig.client_relay.cut()
    time.sleep(FREEZE)


def cable_pulled(rig: Rig, chance: random.Random) -> None:
    rig.client_relay.stalled = True
    time.sleep(SILENCE + chance.uniform(0.0, 6.0))
    rig.client_relay.stalled = False


def packets_late(rig: Rig, chance: random.Random) -> None:
    rig.client_relay.delay = chance.uniform(0.4, 0.8)
    time.sleep(FREEZE)
    rig.client_relay.delay = 0.0


def packets_irregular(rig: Rig, chance: random.Random) -> None:
    rig.client_relay.jitter = chance.uniform(0.05, 0.4)
    time.sleep(chance.uniform(1.0, 3.0))
    rig.client_relay.jitter = 0.0


def arm_cut(rig: Rig, chance: random.Random) -> None:
    rig.arm_relay.cut()
    time.sleep(FREEZE)


def arm_states_lost(rig: Rig, chance: random.Random) -> None:
    rig.ask("arm", loss=1.0)
    time.sleep(FREEZE + 0.5)
    rig.ask("arm")


def arm_states_thin(rig: Rig, chance: random.Random) -> None:
    rig.ask("arm", loss=0.6, delay=0.02)
    time.sleep(chance.uniform(1.0, 3.0))
    rig.ask("arm")


def arm_overloaded(rig: Rig, chance: random.Random) -> None:
    joint = chance.randrange(6)
    rig.ask("arm_error", joint=joint, code=0x0040)
    time.sleep(FREEZE)
    rig.ask("arm_error", joint=joint, code=0)


def hand_cable_pulled(rig: Rig, chance: random.Random) -> None:
    rig.hand_relay.stalled = True
    time.sleep(FREEZE + 0.8)
    rig.hand_relay.stalled = False


def hand_cut(rig: Rig, chance: random.Random) -> None:
    rig.hand_relay.cut()
    time.sleep(FREEZE)


def hand_hot(rig: Rig, chance: random.Random) -> None:
    finger = chance.randrange(6)
    rig.ask("temperature", finger=finger, celsius=70)
    time.sleep(FREEZE)
    rig.ask("temperature", finger=finger, celsius=30)


def hand_stuck(rig: Rig, chance: random.Random) -> None:
    finger = chance.randrange(6)
    rig.ask("jam", finger=finger)
    time.sleep(chance.uniform(1.0, 4.0))
    rig.ask("jam", finger=finger, jammed=False)


def stopped_by_anybody(rig: Rig, chance: random.Random) -> None:
    host, port = rig.client_relay.target
    passer_by = GrpcEnv(f"{host}:{port}")
    passer_by.stop()
    passer_by.close()
    time.sleep(FREEZE)


def disk_full(rig: Rig, chance: random.Random) -> None:
    assert rig.worker is not None
    resource.prlimit(rig.worker.pid, resource.RLIMIT_FSIZE, (FULL_DISK, resource.RLIM_INFINITY))
    until = time.monotonic() + 15.0
    while rig.worker.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    if rig.worker.poll() is None:
        resource.prlimit(rig.worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


FAULTS = (
    *(
        Fault(f.__name__, f)
        for f in (
            *(worker_killed, service_killed, service_stopped, connection_cut, arm_cut, arm_states_lost),
            *(arm_overloaded, hand_cable_pulled, hand_hot, stopped_by_anybody, worker_stopped, cable_pulled),
        )
    ),
    Fault(packets_late.__name__, packets_late, unless_homing=True),
    # The robot is gone, frozen, or goes on; or it only rests where that is in its way.
    *(
        Fault(f.__name__, f, rests=False)
        for f in (
            *(devices_killed, devices_stopped, packets_irregular, arm_states_thin),
            *(hand_cut, hand_stuck, disk_full),
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault, whether the robot must rest, whether a reset was under way, and when [s]."""

    name: str
    rests: bool
    homing: bool
    moment: float


class Chaos:
    """The rig, and what has happened to it."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig, self._chance = rig, random.Random(seed)
        self.happened: list[Happened] = []
        self.deaths: list[str] = []
        self.stuck = 0

    def run(self, seconds: float) -> None:
        """Let faults happen for so long, every kind as often as any other, give or take one."""
        until = time.monotonic() + seconds
        self._alive()
        coming: list[Fault] = []
        while time.monotonic() < until:
            self._wait(until)
            if not coming:
                coming = self._chance.sample(FAULTS, len(FAULTS))
            fault = coming.pop()
            self._deaths()
            notes = self._rig.notes()
            homing = bool(notes) and notes[-1]["kind"] == "begin"
            rests = fault.rests and not (fault.unless_homing and homing)
            self.happened.append(Happened(fault.name, rests, homing, time.monotonic()))
            try:
                fault.happen(self._rig, self._chance)
            except DexloopError as error:
                # The process that it was meant for is not there.
                print(f"{fault.name}: {error}", file=sys.stderr)
                self.happened.pop()
            self._alive(may_have_ended=fault.name in ("disk_full", "worker_killed"))
        self._rig.end("worker")

    def _wait(self, until: float) -> None:
        """For an episode, mostly, and for a moment in it."""
        rig, began = self._rig, time.monotonic()
        if self._chance.random() < 0.8:
            while not (rig.notes() and rig.notes()[-1]["kind"] == "start") and time.monotonic() < until:
                if time.monotonic() > began + STUCK:
                    self.stuck += 1
                    for part in ("worker", "service", "devices"):
                        rig.end(part)
                    self._alive(may_have_ended=True)
                    return
                time.sleep(0.02)
        time.sleep(self._chance.uniform(0.3, 7.0))

    def _deaths(self) -> None:
        for part in ("devices", "service", "worker"):
            child = getattr(self._rig, part)
            if child is not None and child.poll() is not None:
                self.deaths.append(f"{part} ended with {child.poll()} before {len(self.happened) + 1} faults")

    def _alive(self, may_have_ended: bool = False) -> None:
        """Start what is missing, as whoever looks after the robot would."""
        rig = self._rig
        if not may_have_ended:
            self._deaths()
        for part, start in (
            ("devices", rig.start_devices),
            ("service", rig.start_service),
            ("worker", lambda: rig.start_worker(seed=1000 * (1 + len(self.happened)))),
        ):
            child = getattr(rig, part)
            if child is None or child.poll() is not None:
                rig.end(part)
                start()


def judged(rig: Rig, chaos: Chaos) -> dict[str, Any]:
    """The summary."""
    told = {note["index"] for note in rig.notes("finished")}
    stored, unreadable = EpisodeDataset.open(rig.episodes), 0
    for index in stored.episodes:
        try:
            unreadable += len(stored.episode(index)) == 0
        except DexloopError:
            unreadable += 1
    setpoints = [setpoints_beyond(journal, rig.file) for journal in rig.journals("service")]
    actions = [actions_begun(journal, EXPIRY_GRACE) for journal in rig.journals("service")]
    holds, ways = _holds(rig, chaos.happened)
    return {
        "faults": len(chaos.happened),
        "faults_during_resets": sum(h.homing for h in chaos.happened),
        "faults_by_kind": dict(sorted(Counter(h.name for h in chaos.happened).items())),
        "episodes_begun": len(rig.notes("start")),
        "episodes_finished": len(rig.notes("finished")),
        "episodes_successful": sum(note["success"] for note in rig.notes("finished")),
        "episodes_void": len(rig.notes("void")),
        "episodes_stored": len(stored),
        "episodes_lost": len(told - set(stored.episodes)) + unreadable,
        "setpoints": sum(count for count, _ in setpoints),
        "setpoints_beyond_a_limit": dict(sum((beyond for _, beyond in setpoints), Counter[str]())),
        "actions_executed": sum(count for count, _ in actions),
        "actions_executed_after_expiry": sum(late for _, late in actions),
        "holds_measured": sum(len(times) for times in holds.values()),
        "longest_hold_seconds": _longest(holds, homing=False),
        "longest_hold_on_the_way_home_seconds": _longest(holds, homing=True),
        "longest_hold_by_kind_ms": {kind: round(1e3 * max(times)) for kind, times in sorted(holds.items())},
        "longest_way_to_rest_by_kind_mm": {kind: round(1e3 * max(way)) for kind, way in sorted(ways.items())},
        "never_at_rest": sum(t == float("inf") for times in holds.values() for t in times),
        "ended_by_themselves": chaos.deaths,
        "stuck": chaos.stuck,
        "services_started": len(rig.journals("service")),
    }


def _longest(holds: Mapping[str, Sequence[float]], *, homing: bool) -> float:
    """After faults on the way home, or after all others [s]."""
    return round(max((t for name, times in holds.items() if (HOMING in name) == homing for t in times), default=0.0), 3)


def _holds(rig: Rig, happened: Sequence[Happened]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Times to rest [s] and ways until then [m] after every fault that asks for it, by kind."""
    every = np.concatenate([read_journal(journal) for journal in rig.journals("devices")])
    measured: Rows = np.delete(every[every[:, 1] == MEASURED], 1, axis=1)
    holds: dict[str, list[float]] = {}
    ways: dict[str, list[float]] = {}
    for fault in happened:
        if not fault.rests:
            continue
        around = measured[(measured[:, 0] >= fault.moment - 0.1) & (measured[:, 0] <= fault.moment + 2 * LONGEST_HOLD)]
        end = resting_since(around, fault.moment)
        name = f"{fault.name}{HOMING}" if fault.homing else fault.name
        holds.setdefault(name, []).append(float("inf") if end is None else end - fault.moment)
        if end is not None:
            ways.setdefault(name, []).append(distance(around, fault.moment, end))
    return holds, ways


def violations(summary: dict[str, Any]) -> list[str]:
    """What must not be, in words; empty where all is well."""
    never = ("episodes_lost", "setpoints_beyond_a_limit", "actions_executed_after_expiry", "never_at_rest", "stuck")
    words = [f"{name}: {summary[name]}" for name in never if summary[name]]
    words += summary["ended_by_themselves"]
    for name, most in (
        ("longest_hold_seconds", LONGEST_HOLD),
        ("longest_hold_on_the_way_home_seconds", LONGEST_HOLD_HOMING),
    ):
        if summary[name] > most:
            words.append(f"{name}: {summary[name]:g}, more than {most:g}")
    if summary["episodes_finished"] == 0:
        words.append("no episode was finished, so that nothing could be lost")
    return words


def main() -> int:
    parser = argparse.ArgumentParser(description="Random faults while the scripted operator works.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long faults happen")
    parser.add_argument("--seed", type=int, default=0, help="of their order and moments")
    parser.add_argument("--out", type=Path, help="where the summary goes too")
    given = parser.parse_args()
    if sys.platform != "linux":
        print("error: the clocks of processes are compared, as Linux allows", file=sys.stderr)
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dexloop-chaos-") as folder, Rig(Path(folder)) as rig:
        chaos = Chaos(rig, given.seed)
        chaos.run(given.seconds)
        summary = {"seconds": round(time.monotonic() - began, 1), "seed": given.seed, **judged(rig, chaos)}
    wrong = violations(summary)
    summary["load_average"] = round(os.getloadavg()[0], 2)
    summary["violations"] = wrong
    text = json.dumps(summary, indent=1)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
