"""The whole way from demonstrations to report: what it leaves, and that the same seed leaves the same, also where the
robot stands behind its controller.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dexloop.cli import main
from dexloop.config import TrainConfig, read_config
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.schema import INTERVENTION
from dexloop.networks.storage import load_agent
from dexloop.pipeline import verbs
from dexloop.presets import PRESETS
from dexloop.runtime.checkpoint import load_checkpoint
from dexloop.runtime.metrics import read_metrics
from dexloop.seeds import Purpose, episode_seed
from tests import tiny
from tests.digests import digest
from tests.serving import ended, serving

# What depends on the clock and not on the seed.
_TIMES = {"time", "updates_per_second", "control_hz", "wall_seconds"}


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _TIMES}


def test_a_report_says_where_it_is(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_run / "report.html").unlink()
    main(["report", str(tiny_run)])
    said = capsys.readouterr()
    assert f"report: {tiny_run / 'report.html'}" in said.out + said.err
    assert (tiny_run / "report.html").stat().st_size > 0


def test_training_says_where_the_budget_is_spent_already(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.reported_episodes(tiny_run)
    assert main(["train", str(tiny_run), "--resume", "--robot-minutes", "0.1"]) == 0
    assert "no online episode: " in capsys.readouterr().err
    assert tiny.reported_episodes(tiny_run) == before


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


def check_same_learning(one: Path, other: Path) -> None:
    """Two runs differ in nothing but the time that they took, from the first demonstration to the trained policy."""
    for name in ("prior/policy.safetensors", "policy/policy.safetensors"):
        same = digest(one / name) == digest(other / name)
        assert same, name
    here, there = ([without_times(r) for r in read_metrics(root / "metrics.jsonl")] for root in (one, other))
    assert here == there and len(here) > 3
    for name in ("demos", "rollouts", "episodes"):
        mine, theirs = EpisodeDataset.open(one / name), EpisodeDataset.open(other / name)
        assert mine.episodes == theirs.episodes
        for index in mine.episodes:
            check_same_episode(mine, theirs, index, f"{name}/{index}")


def check_same_episode(mine: EpisodeDataset, theirs: EpisodeDataset, index: int, name: str) -> None:
    """Actions, rewards, observations and all else that is in its rows; and its facts, without the wall clock's."""
    facts = [replace(dataset.episode_info(index), wall_seconds=0.0) for dataset in (mine, theirs)]
    assert facts[0] == facts[1], name
    here, there = mine.columns(index), theirs.columns(index)
    assert here.keys() == there.keys()
    for column in here:
        np.testing.assert_array_equal(here[column], there[column], err_msg=f"{name} {column}")


def test_the_same_seed_gives_the_same_numbers_and_the_same_policy(finished_run: Path, tmp_path: Path) -> None:
    """From the first demonstration to the last evaluation, in the synchronous runtime."""
    again = tmp_path / "again"
    assert main(["run", "cup", f"--out={again}", *tiny.FLAGS, "--train.runtime=synchronous"]) == 0
    check_same_learning(finished_run, again)
    first, second = (
        [without_times(e) for e in json.loads((root / "evaluation.json").read_text())] for root in (finished_run, again)
    )
    assert first == second


# Long enough for the scripted operator to succeed when it takes over from the clone.
SECONDS = 8.0


def learned(out: Path, robot: str) -> Path:
    """A run from pictures up to its trained policy, in which the scripted operator takes over early in each episode."""
    smoke = PRESETS["smoke"]
    settings = replace(
        smoke,
        robot=robot,
        sim=replace(smoke.sim, max_seconds=SECONDS),
        record=replace(smoke.record, episodes=2, rollouts=1),
        encoder=replace(smoke.encoder, width=8),
        representation=replace(smoke.representation, batch=32, crops=2),
        cloning=replace(smoke.cloning, updates=20),
        train=TrainConfig(robot_minutes=0.45, runtime="synchronous", take_over="scripted", take_over_after=0.05),
    )
    run = verbs.begin("cup", out, settings, resume=False)
    try:
        for stage in (run.record, run.pretrain, run.collect_rollouts, run.train_reward, run.train):
            stage()
    finally:
        run.robot.close()
    return out


@pytest.mark.slow
@pytest.mark.gl
def test_a_robot_behind_its_controller_teaches_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Demonstrations, clone, rollouts, reward classifier and policy, on ``sim`` and on the same one behind gRPC."""
    # Two threads would wait for each other at every small product where something else runs.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = learned(tmp_path / "here", "sim")
    with serving("--robot", "sim", "--task", "cup", "--sim.max-seconds", str(SECONDS)) as (child, address):
        there = learned(tmp_path / "there", f"grpc://{address}")
        assert ended(child) == "", "no action came too late on a machine that was too busy"
    check_same_learning(here, there)
    reward = "reward/classifier.safetensors"
    same = digest(here / reward) == digest(there / reward)
    assert same, reward
    for name in ("demos", "rollouts", "episodes"):
        pictures = [{p.relative_to(run): digest(p) for p in (run / name).rglob("*.mp4")} for run in (here, there)]
        assert pictures[0] == pictures[1] and len(pictures[0]) >= 4, name

    # And not because nothing happened: somebody was rewarded, both of them drove, and the policy is not the clone.
    demos, episodes = EpisodeDataset.open(there / "demos"), EpisodeDataset.open(there / "episodes")
    assert all(demos.columns(index)["next.reward"].sum() > 0 for index in demos.episodes)
    assert episodes.episodes
    for index in episodes.episodes:
        drove = episodes.columns(index)[INTERVENTION]
        assert 0 < drove.sum() < len(drove)
    clone, policy = (load_agent(there / name / "policy.safetensors").agent.head for name in ("prior", "policy"))
    before, after = clone.state_dict(), policy.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before.keys() & after.keys())
