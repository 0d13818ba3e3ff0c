"""kill -9 at random moments: every finished episode stays, orphans end by themselves, --resume goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dexloop.cli import main
from dexloop.data.dataset import EpisodeDataset
from tests import tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_SHARED = Path("/dev/shm")
# An orphan notices within a second, once it has started up; the rest is for a busy machine.
_ORPHAN_SECONDS = 60.0


def learner_of(actor: int) -> int | None:
    """The learner among an actor's children, None before it has started."""
    listed = subprocess.run(["ps", "-axwwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        pid, parent, arguments = line.split(None, 2)
        if int(parent) == actor and "spawn_main" in arguments:
            return int(pid)
    return None


def abandoned_segments() -> set[str]:
    """Shared memory that no living process has mapped; elsewhere than on Linux it cannot be listed."""
    if not _SHARED.is_dir():
        return set()
    names, mapped = {p.name for p in _SHARED.iterdir()}, ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            mapped += maps.read_text()
        except OSError:
            continue
    return {name for name in names if f"/dev/shm/{name}" not in mapped}


def wait_until_gone(leader: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while left := tiny.group(leader):
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.1)


def untrained(run: Path) -> None:
    for part in ("episodes", "checkpoints", "policy"):
        shutil.rmtree(run / part)
    (run / "metrics.jsonl").unlink()
    tiny.in_processes(run)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(("victims", "seed"), [("actor", 0), ("learner", 1), ("both", 2)])
def test_training_survives_kill_9(tiny_run: Path, victims: str, seed: int) -> None:
    rng = random.Random(seed)
    untrained(tiny_run)
    before = abandoned_segments()
    told: set[int] = set()
    for attempt in range(3):
        resume = ["--resume"] if attempt else []
        child = tiny.start("train", tiny_run, "--robot-minutes=60", *resume)
        try:
            tiny.wait_for_episodes(tiny_run, len(tiny.reported_episodes(tiny_run)) + 1, child)
            time.sleep(rng.uniform(0.0, 1.5))
            learner = learner_of(child.pid)
            assert learner is not None
            for pid in {"actor": [child.pid], "learner": [learner], "both": [child.pid, learner]}[victims]:
                os.kill(pid, signal.SIGKILL)
            if victims == "learner":
                text, _ = child.communicate(timeout=120)
                assert child.returncode == 1 and "Traceback" not in text
                assert "--resume" in text.splitlines()[-1], text
            else:
                # The pipe stays open as long as an orphan lives, so waiting for its end is the test.
                child.communicate(timeout=_ORPHAN_SECONDS)
                assert child.returncode == -signal.SIGKILL
            wait_until_gone(child.pid, _ORPHAN_SECONDS)
        finally:
            tiny.end(child)
        told |= set(tiny.reported_episodes(tiny_run))
        stored = EpisodeDataset.open(tiny_run / "episodes")
        assert told <= set(stored.episodes), "an episode that was reported is lost"
        for index in stored.episodes:
            assert len(stored.episode(index)) > 0
    assert len(told) >= 3
    assert abandoned_segments() <= before

    minutes = tiny.robot_minutes(tiny_run) + 0.1
    assert main(["train", str(tiny_run), "--resume", f"--robot-minutes={minutes}"]) == 0
    finished = EpisodeDataset.open(tiny_run / "episodes")
    assert told < set(finished.episodes) and finished.warnings == []
    assert main(["evaluate", str(tiny_run)]) == 0
    assert not [p for p in tiny_run.rglob("*") if p.suffix == ".tmp" or p.name.startswith(".writing-")]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_robot_does_not_go_on_with_the_policy_of_a_learner_that_hangs(tiny_run: Path) -> None:
    """A learner that stands still: a few more episodes, then the robot waits and says why, and goes on when it can."""
    untrained(tiny_run)
    config = json.loads((tiny_run / "config.json").read_text())
    # At most 600 critic updates ahead: 60 steps, so not even one whole episode.
    config["config"]["algorithm"]["pace"]["updates_per_step"] = 10.0
    (tiny_run / "config.json").write_text(json.dumps(config))
    child = tiny.start("train", tiny_run, "--robot-minutes=60")
    try:
        tiny.wait_for_episodes(tiny_run, 1, child)
        learner = learner_of(child.pid)
        assert learner is not None
        os.kill(learner, signal.SIGSTOP)
        before = len(tiny.reported_episodes(tiny_run))
        assert child.stdout is not None
        lines = iter(child.stdout.readline, "")
        told = next(line for line in lines if "the robot waits for the learner" in line)
        assert f"process {learner}" in told and child.poll() is None
        waiting = len(tiny.reported_episodes(tiny_run))
        # The one that runs when the learner stops, and those that its last policy still allows.
        assert waiting <= before + 3
        os.kill(learner, signal.SIGCONT)
        tiny.wait_for_episodes(tiny_run, waiting + 1, child)
    finally:
        tiny.end(child)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_whole_run_killed_at_any_stage_is_finished_by_resume(tmp_path: Path) -> None:
    """Recording, cloning, rollouts, training: whatever it hits, what was recorded stays."""
    rng = random.Random(3)
    out = tmp_path / "run"
    recorded: dict[str, int] = {"demos": 0, "rollouts": 0, "episodes": 0}
    ended = False
    for _ in range(8):
        resume = ["--resume"] if (out / "config.json").is_file() else tiny.FLAGS
        child = tiny.start("run", "cup", f"--out={out}", *resume)
        try:
            child.communicate(timeout=rng.uniform(4.0, 16.0))
            ended = child.returncode == 0
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.communicate(timeout=_ORPHAN_SECONDS)
            wait_until_gone(child.pid, _ORPHAN_SECONDS)
        finally:
            tiny.end(child)
        for name, least in recorded.items():
            if (out / name / "meta" / "dexloop.json").is_file():
                recorded[name] = len(EpisodeDataset.open(out / name))
                assert recorded[name] >= least, f"{name} lost an episode"
        if ended:
            break
    if not ended:
        assert main(["run", "cup", f"--out={out}", "--resume"]) == 0
    assert recorded["demos"] == 2
    assert (out / "report.html").is_file() and (out / "evaluation.json").is_file()
    assert set(tiny.reported_episodes(out)) <= set(EpisodeDataset.open(out / "episodes").episodes)
