"""The whole way from demonstrations to report: what it leaves, and that the same seed leaves the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from dexloop.cli import main
from dexloop.config import read_config
from dexloop.data.dataset import EpisodeDataset
from dexloop.networks.storage import load_agent
from dexloop.runtime.checkpoint import load_checkpoint
from dexloop.runtime.metrics import read_metrics
from dexloop.seeds import Purpose, episode_seed
from tests import tiny
from tests.digests import digest

# What depends on the clock and not on the seed.
_TIMES = {"time", "updates_per_second", "control_hz", "wall_seconds"}


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _TIMES}


def test_every_part_of_the_run_directory_is_there(finished_run: Path) -> None:
    """Other programs read these names."""
    for name in (
        "config.json",
        "demos/meta/info.json",
        "rollouts/meta/info.json",
        "episodes/meta/info.json",
        "prior/policy.safetensors",
        "policy/policy.safetensors",
        "checkpoints/last",
        "metrics.jsonl",
        "evaluation.json",
        "report.html",
    ):
        assert (finished_run / name).stat().st_size > 0, name
    leftovers = [p for p in finished_run.rglob("*") if p.suffix == ".tmp" or p.name.startswith(".writing-")]
    assert leftovers == []
    config = read_config(finished_run / "config.json")
    assert config.task == "cup" and config.observation == "privileged" and config.trials == 1


def test_datasets_hold_what_was_asked_for_from_their_own_seeds(finished_run: Path) -> None:
    demos = EpisodeDataset.open(finished_run / "demos")
    assert len(demos) == 2 and demos.warnings == []
    assert all(demos.episode_info(i).success for i in demos.episodes)
    rollouts = EpisodeDataset.open(finished_run / "rollouts")
    assert len(rollouts) == 1
    assert rollouts.episode_info(0).seed == episode_seed(Purpose.ROLLOUTS, 0, 0)
    online = EpisodeDataset.open(finished_run / "episodes")
    assert [online.episode_info(i).seed for i in online.episodes] == [
        episode_seed(Purpose.TRAINING, 0, i) for i in range(len(online))
    ]
    assert tiny.robot_minutes(finished_run) >= 0.5
    last = online.episode(online.episodes[-1])
    assert any(not np.array_equal(t.proposed, t.executed) for t in last.transitions), "limits leave their mark"


def test_metrics_account_for_every_episode_and_update(finished_run: Path) -> None:
    records = list(read_metrics(finished_run / "metrics.jsonl"))
    online = EpisodeDataset.open(finished_run / "episodes")
    episodes = [r for r in records if r["kind"] == "episode"]
    assert [r["episode"] for r in episodes] == online.episodes
    assert [r["length"] for r in episodes] == [online.episode_info(i).length for i in online.episodes]
    updates = [r["updates"] for r in records if r["kind"] == "update"]
    assert updates == sorted(updates) and len(updates) > 0
    state, troubles = load_checkpoint(finished_run / "checkpoints")
    assert state is not None and troubles == []
    config = read_config(finished_run / "config.json")
    allowed = episodes[-1]["step"] * config.algorithm.pace.updates_per_step
    made = state["learner"]["updates"]
    assert allowed <= made < allowed + config.algorithm.learner.critic_updates
    assert load_agent(finished_run / "policy" / "policy.safetensors").facts["version"] == made


def test_the_evaluation_says_what_other_programs_read(finished_run: Path) -> None:
    entries = json.loads((finished_run / "evaluation.json").read_text())
    assert [e["policy"] for e in entries] == ["demonstrations", "bc", "iborl"]
    for entry in entries:
        assert {
            "task", "seed", "observation", "reward", "trials", "successes", "success_rate", "ci95", "mean_steps",
            "control_hz", "robot_minutes", "wall_seconds", "operator_steps",
        } <= entry.keys()  # fmt: skip
        low, high = entry["ci95"]
        assert 0 <= low <= entry["success_rate"] <= high <= 1
    assert entries[0]["success_rate"] == 1.0 and entries[1]["trials"] == entries[2]["trials"] == 1


def test_the_report_opens_offline(finished_run: Path) -> None:
    page = (finished_run / "report.html").read_text()
    assert "<html" in page and "iborl" in page
    fetched = re.findall(r"""(?:src|href)\s*=\s*["']?(https?:[^"' >]+)""", page)
    assert not [url for url in fetched if "w3.org" not in url], fetched


def test_the_same_seed_gives_the_same_numbers_and_the_same_policy(finished_run: Path, tmp_path: Path) -> None:
    """From the first demonstration to the last evaluation, in the synchronous runtime."""
    again = tmp_path / "again"
    assert main(["run", "cup", f"--out={again}", *tiny.FLAGS, "--train.runtime=synchronous"]) == 0
    for name in ("prior/policy.safetensors", "policy/policy.safetensors"):
        same = digest(again / name) == digest(finished_run / name)
        assert same, name
    one, two = ([without_times(r) for r in read_metrics(root / "metrics.jsonl")] for root in (finished_run, again))
    assert one == two and len(one) > 3
    first, second = (
        [without_times(e) for e in json.loads((root / "evaluation.json").read_text())] for root in (finished_run, again)
    )
    assert first == second
    for name in ("demos", "rollouts", "episodes"):
        here, there = EpisodeDataset.open(finished_run / name), EpisodeDataset.open(again / name)
        assert here.episodes == there.episodes
        for index in here.episodes:
            mine, theirs = here.columns(index), there.columns(index)
            assert mine.keys() == theirs.keys()
            for column in mine:
                np.testing.assert_array_equal(mine[column], theirs[column], err_msg=f"{name}/{index} {column}")
