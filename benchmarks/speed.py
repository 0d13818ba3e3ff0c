"""How fast dexloop is, against what one would write first and against others, measured in one run.

    python benchmarks/speed.py --out docs/results/speed.json

Contestants take turns, on one thread, so that a busy machine slows all of them; CPU time is what ratios and
aims are judged by. With --only, what the file holds of other contests stays in it. docs/results/speed.md explains
each item.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import findings as found
import learner_contests
import machine
import robot_contests
import torch
import tyro
from timing import QUICK, Contest, Scale, measure

from dexloop.errors import DexloopError

CONTESTS: dict[str, Callable[[Scale], Contest]] = {
    "environment": robot_contests.environment,
    "cameras": robot_contests.cameras,
    "state": learner_contests.state,
    "pair": learner_contests.pair,
    "iborl": learner_contests.iborl,
    "vision": learner_contests.vision,
    "replay": learner_contests.replay,
    "actor": robot_contests.actor,
}
_CIRCUMSTANCES = ("command", "date", "machine", "versions", "rounds", "load_average_at_end")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to measure and where to write it."""

    out: Path
    """The JSON file to write; with --only, to renew in part."""
    rounds: int = 7
    """Turns that each contestant takes."""
    only: str = ""
    """Contests to run, by commas: environment, cameras, state, pair, iborl, vision, replay, actor. Empty for all."""
    quick: bool = False
    """Tiny sizes and one round, to see that everything runs; the numbers mean nothing."""

    def contests(self) -> list[str]:
        """The names of the contests to run, in their order; raises DexloopError for one that does not exist."""
        wanted = [name.strip() for name in self.only.split(",") if name.strip()] or list(CONTESTS)
        unknown = sorted(set(wanted) - set(CONTESTS))
        if unknown:
            raise DexloopError(f"--only: there is no {', '.join(unknown)}; there are {', '.join(CONTESTS)}")
        return [name for name in CONTESTS if name in wanted]


def run(arguments: Arguments) -> None:
    """Measure, print the table and write the JSON. Raises DexloopError for arguments that cannot be meant."""
    if arguments.rounds < 1:
        raise DexloopError(f"--rounds must be at least 1, got {arguments.rounds}")
    names = arguments.contests()
    kept = _kept(arguments, names)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scale, rounds = (QUICK, 1) if arguments.quick else (Scale(), arguments.rounds)
    report: dict[str, object] = {
        "command": shlex.join(["python", "benchmarks/speed.py", *sys.argv[1:]]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "versions": machine.versions(),
        "rounds": rounds,
        "quick": arguments.quick,
    }
    findings = found.nothing()
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        # Each contest is let go before the next is built: some hold hundreds of megabytes.
        contest = CONTESTS[name](scale)
        found.add(findings, contest, measure(contest.contestants, rounds))
        del contest
    report["load_average_at_end"] = machine.load_average()
    report |= kept | {key: [*kept.get(key, []), *findings[key]] for key in ("items", "ratios", "aims")}
    report["skipped"] = kept.get("skipped", {}) | findings["skipped"]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(found.table(findings))
    if arguments.quick:
        print("\n--quick: these numbers only show that everything runs")


def _kept(arguments: Arguments, names: list[str]) -> dict[str, Any]:
    """What the file says already of contests that are not run now, and under ``earlier`` when that was measured."""
    if not arguments.only or not arguments.out.exists():
        return {}
    old: dict[str, Any] = json.loads(arguments.out.read_text(encoding="utf-8"))
    if old["quick"] != arguments.quick:
        raise DexloopError(f"--quick: {arguments.out} must hold numbers of one kind; choose another --out")

    def stays(entry: str) -> bool:
        return entry.partition("/")[0] not in names

    kept: dict[str, Any] = {
        "items": [item for item in old["items"] if stays(item["name"])],
        "ratios": [ratio for ratio in old["ratios"] if stays(ratio["faster"])],
        "aims": [aim for aim in old["aims"] if stays(aim["name"])],
        "skipped": {name: reason for name, reason in old["skipped"].items() if stays(name)},
    }
    then = {key: old[key] for key in _CIRCUMSTANCES}
    contests = dict.fromkeys(item["name"].partition("/")[0] for item in kept["items"])
    return kept | {"earlier": {name: old.get("earlier", {}).get(name, then) for name in contests}}


if __name__ == "__main__":
    try:
        run(tyro.cli(Arguments, description=__doc__))
    except DexloopError as error:
        sys.exit(f"error: {error}")
