"""Every script in examples/ runs, as a newcomer would start it, only smaller."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dexloop.data.dataset import EpisodeDataset

EXAMPLES = Path(__file__).parents[1] / "examples"
TRIED = {"record", "train", "evaluate_policy", "your_own_task", "anybodys_algorithm"}


def run(folder: Path, *command: str) -> str:
    """What a Python command says on its standard output, in ``folder``."""
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def example(name: str) -> str:
    return str(EXAMPLES / f"{name}.py")


def test_none_is_forgotten_and_all_are_short() -> None:
    lengths = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLES.glob("*.py")}
    assert set(lengths) == TRIED and max(lengths.values()) < 60


@pytest.mark.gl
def test_record(tmp_path: Path) -> None:
    said = run(tmp_path, example("record"), "two")
    assert said.count("success True") == 2
    dataset = EpisodeDataset.open(tmp_path / "two")
    assert len(dataset) == 2 and set(dataset.frames(0)) == {"chest", "head", "chest_hand", "head_hand"}


def test_train_then_evaluate(tmp_path: Path) -> None:
    said = run(tmp_path, example("train"), "0.7", "trained")
    assert re.search(r"clone \d/2, trained \d/2", said)
    policy = tmp_path / "trained" / "policy" / "policy.safetensors"
    said = run(tmp_path, example("evaluate_policy"), str(policy), "2")
    assert re.search(r"success \d/2 = \d+ %\n95 % interval \(Wilson\): \d+ to \d+ %", said)


def test_your_own_task(tmp_path: Path) -> None:
    said = run(tmp_path, example("your_own_task"), "2")
    assert len(re.findall(r"episode \d: lifted after \d+ steps", said)) == 2


def test_your_own_task_as_a_robot_of_the_command_line(tmp_path: Path) -> None:
    flags = "--robot gym:your_own_task:Own/Can-v0 --operator your_own_task:make_operator --observation privileged"
    out = tmp_path / "can"
    settings = f"--reward simulation --record.episodes 2 --out {out}"
    run(EXAMPLES, "-B", "-m", "dexloop", "record", "can", *flags.split(), *settings.split())
    dataset = EpisodeDataset.open(out / "demos")
    assert [dataset.episode(i).success for i in dataset.episodes] == [True, True]


def test_anybodys_algorithm(tmp_path: Path) -> None:
    said = run(tmp_path, example("anybodys_algorithm"), "60")
    assert re.search(r"60 steps, return \d\.\d\d", said)
