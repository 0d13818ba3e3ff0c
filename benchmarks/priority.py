"""At which priority a measurement runs, and what else the machine does meanwhile."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Priority:
    """nice: of server and client. fifo: Linux's SCHED_FIFO instead, which no ordinary process delays."""

    nice: int = 0
    fifo: bool = False

    def take(self) -> None:
        """Give it to this process; raises OSError where that is not allowed."""
        if not self.fifo:
            os.setpriority(os.PRIO_PROCESS, 0, self.nice)
        elif hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
        else:
            raise PermissionError("SCHED_FIFO is Linux's")


class Neighbours:
    """Watches, from its construction on, what other processes take of the processors."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), _ticks()

    def seen(self) -> list[dict[str, object]]:
        """Those that took more than a twentieth of a core in the mean: command, niceness and cores, busiest first.

        What began or ended meanwhile is not seen, the measurement's own processes among them, and nothing where there
        is no /proc.
        """
        ticks = (time.monotonic() - self._began) * os.sysconf("SC_CLK_TCK")
        found: list[dict[str, object]] = []
        for process, now in sorted(_ticks().items()):
            cores = (now - self._before.get(process, now)) / ticks
            if cores > 0.05 and process != os.getpid():
                found.append({"command": _command(process), "nice": _nice(process), "cores": round(cores, 2)})
        return sorted(found, key=lambda entry: -float(str(entry["cores"])))


def load_average() -> float | None:
    """Processes that wanted a core over the last minute; None where it cannot be told."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _ticks() -> dict[int, int]:
    """Clock ticks of processor time that each process has taken."""
    taken: dict[int, int] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            # The command, in parentheses, may hold anything.
            values = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        taken[int(stat.parent.name)] = int(values[11]) + int(values[12])
    return taken


def _nice(process: int) -> int | None:
    try:
        return os.getpriority(os.PRIO_PROCESS, process)
    except OSError:
        return None


def _command(process: int) -> str:
    """A command's program and its first words, without paths and flags."""
    try:
        line = (_PROC / str(process) / "cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "?"
    words = [word for word in line.split("\0") if word]
    return " ".join([Path(words[0]).name, *[w for w in words[1:4] if "/" not in w]]) if words else "kernel"
