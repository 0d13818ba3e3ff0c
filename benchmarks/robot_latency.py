"""How fast and how punctual the robot's service is, against what one would write without it, measured in one run.

    python benchmarks/robot_latency.py --fifo --out docs/results/robot-latency.json

The file keeps what it holds of runs at other priorities. docs/results/robot-latency.md explains each item.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import tyro
from client_loss import measure_client_loss
from control_rate import measure_control_rate
from priority import Neighbours, Priority, load_average
from processes import check_allowed
from round_trips import measure_round_trips

from dexloop.errors import DexloopError


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to measure and where to write it."""

    out: Path
    """The JSON file to write, or to add this priority's run to."""
    nice: int = 0
    """Niceness of servers and clients; below 0 needs root. A learner has 5."""
    fifo: bool = False
    """Linux's SCHED_FIFO for servers and clients instead, which no ordinary process delays; needs root."""
    images: bool = True
    """Whether the service renders two pictures each control period while its rate is measured; needs OpenGL."""
    quick: bool = False
    """A few of everything, to see that it runs; the numbers mean nothing."""


def run(arguments: Arguments) -> None:
    """Measure, print the table and write the JSON. Raises DexloopError for a priority that is not allowed."""
    # Not above: every process of the measurement imports this file, and the one thing that needs PyTorch is a learner.
    import machine

    priority = Priority(arguments.nice, arguments.fifo)
    name = "SCHED_FIFO" if arguments.fifo else f"nice {arguments.nice}"
    kept = _kept(arguments, name)
    check_allowed(priority)
    quick = arguments.quick
    report: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/robot_latency.py", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "versions": machine.versions() | {each: metadata.version(each) for each in ("grpcio", "protobuf", "av")},
        "quick": quick,
    }
    print("measuring round trips ...", file=sys.stderr, flush=True)
    trips, report["beside_round_trips"] = _beside(
        lambda: measure_round_trips(*((2, 3) if quick else (50, 60)), priority)
    )
    print("measuring the control rate ...", file=sys.stderr, flush=True)
    rate, report["beside_control_rate"] = _beside(
        lambda: measure_control_rate(
            *((1, 1.5) if quick else (5, 10.0)), priority, images=arguments.images, quick=quick
        )
    )
    print("measuring the loss of clients ...", file=sys.stderr, flush=True)
    loss, report["beside_client_loss"] = _beside(lambda: measure_client_loss(2 if quick else 16, priority))
    report |= {"round_trips": trips, "control_rate": rate, "client_loss": loss}
    report["aims"] = aims(trips, rate, loss)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(kept | {name: report}, indent=2) + "\n", encoding="utf-8")
    print(table(report))
    if quick:
        print("\n--quick: these numbers only show that everything runs")


def aims(trips: dict[str, Any], rate: dict[str, Any], loss: dict[str, Any]) -> list[dict[str, Any]]:
    """What was hoped for, and whether it came true."""
    raw = trips["contestants"]["dexloop, raw"]["median_block"]
    asked = (
        ("round trip, raw, p50 [ms]", raw["p50"], 1.0),
        ("round trip, raw, p99 [ms]", raw["p99"], 5.0),
        ("control periods late beside a learner", rate["conditions"]["beside a learner"]["late_share"], 0.02),
        ("hold after a client's loss [control periods]", loss["hold_begins_periods"], 2.0),
    )
    return [
        {"name": name, "measured": measured, "at_most": most, "met": measured <= most} for name, measured, most in asked
    ]


def table(report: dict[str, Any]) -> str:
    """What a person reads."""
    lines = ["round trip [ms]          p50     p90     p99   (median of blocks)      p50     p90     p99   (all)"]
    for name, entry in report["round_trips"]["contestants"].items():
        block, every = ("  ".join(f"{entry[key][q]:6.3f}" for q in entry[key]) for key in ("median_block", "all_trips"))
        lines.append(f"{name:<20} {block}   {'':<18} {every}")
    lines.append("")
    for name, entry in report["control_rate"]["conditions"].items():
        lines.append(
            f"{name}: {100 * entry['late_share']:.2f} % of {entry['periods']} control periods late; period p50 "
            f"{entry['period_ms']['p50']:.2f} ms, p99 {entry['period_ms']['p99']:.2f} ms"
        )
    loss = report["client_loss"]
    lines.append(
        f"killed client: hold begins after {loss['hold_begins_ms']['median']:.0f} ms in the median, "
        f"{loss['hold_begins_ms']['max']:.0f} ms at most; at rest after {loss['at_rest_ms']['max']:.0f} ms at most"
    )
    lines.append("")
    lines += [
        f"{aim['name']:<48} {aim['measured']:8.4f} <= {aim['at_most']:<6g} {'met' if aim['met'] else 'not met'}"
        for aim in report["aims"]
    ]
    return "\n".join(lines)


def _beside(work: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``work`` measures, and how busy the machine was meanwhile."""
    neighbours, before = Neighbours(), load_average()
    found = work()
    return found, {
        "load_average_before": before,
        "load_average_after": load_average(),
        "other_processes": neighbours.seen(),
    }


def _kept(arguments: Arguments, name: str) -> dict[str, Any]:
    """What the file says of runs at other priorities."""
    if not arguments.out.exists():
        return {}
    old: dict[str, Any] = json.loads(arguments.out.read_text(encoding="utf-8"))
    kept = {other: report for other, report in old.items() if other != name}
    if any(report["quick"] != arguments.quick for report in kept.values()):
        raise DexloopError(f"--quick: {arguments.out} must hold numbers of one kind; choose another --out")
    return kept


if __name__ == "__main__":
    try:
        run(tyro.cli(Arguments, description=__doc__))
    except DexloopError as error:
        sys.exit(f"error: {error}")
