"""A whole run that takes seconds: no pictures, hardly any learning, and every stage there is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dexloop.data.dataset import EpisodeDataset
from dexloop.runtime.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[1]

FLAGS = (
    "--preset=smoke",
    "--observation=privileged",
    "--reward=simulation",
    "--record.episodes=2",
    "--record.rollouts=1",
    "--cloning.updates=20",
    "--act.updates=2",
    "--trials=1",
    "--sim.max-seconds=7",
    "--train.robot-minutes=0.5",
)


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a shell would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "dexloop", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(child: subprocess.Popen[str]) -> None:
    """Whatever is left of the group, once the test is over."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def in_processes(run: Path) -> None:
    """Make a run train in two processes from now on."""
    path = run / "config.json"
    path.write_text(path.read_text().replace('"runtime": "synchronous"', '"runtime": "processes"'))


def reported_episodes(run: Path) -> list[int]:
    """The numbers of the episodes that metrics.jsonl says were finished."""
    return [r["episode"] for r in read_metrics(run / "metrics.jsonl") if r["kind"] == "episode"]


def wait_for_episodes(run: Path, count: int, child: subprocess.Popen[str], seconds: float = 180.0) -> None:
    """Wait until so many episodes are reported; generous, as test machines can be busy."""
    until = time.monotonic() + seconds
    while len(reported_episodes(run)) < count:
        assert child.poll() is None, child.stdout.read() if child.stdout else "ended"
        assert time.monotonic() < until, f"{len(reported_episodes(run))} of {count} episodes came"
        time.sleep(0.05)


def robot_minutes(run: Path) -> float:
    """What rollouts and online episodes have cost so far [min]."""
    total = 0.0
    for name in ("rollouts", "episodes"):
        if (run / name).is_dir():
            dataset = EpisodeDataset.open(run / name)
            total += sum(dataset.episode_info(i).robot_seconds for i in dataset.episodes)
    return total / 60


def group(leader: int) -> list[int]:
    """The living processes of a process group, zombies left out."""
    listed = subprocess.run(["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == leader and not state.startswith("Z")]
