"""The learner's loop: pace, publishing, checkpoints and going on after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.runtime.learner import LearnerLoop, PaceConfig
from dexloop.runtime.link import ActorSide, LearnerSide
from dexloop.runtime.metrics import MetricsFile, read_metrics
from dexloop.types import Episode
from tests.data.samples import SMALL_ROBOT, make_episode


class Counter:
    """A learner that learns to count: two critic updates at a time, and its policy is their number."""

    def __init__(self) -> None:
        self.online_steps = 0
        self.updates = 0
        self.keys: list[str] = []

    def add(self, key: str, episode: Episode) -> None:
        if key not in self.keys:
            self.keys.append(key)
            self.online_steps += len(episode)

    def update(self) -> Mapping[str, float]:
        self.updates += 2
        return {"loss": 1.0 / self.updates}

    def policy(self, version: int) -> bytes:
        return str(version).encode()

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates = state["updates"]


def loop(root: Path, pace: PaceConfig, learner: Counter) -> LearnerLoop:
    link = LearnerSide(root / "episodes", root / "policy")
    return LearnerLoop(learner, link, root / "checkpoints", MetricsFile(root / "metrics.jsonl"), pace)


def send(root: Path, *lengths: int) -> None:
    with EpisodeDataset.open_or_create(root / "episodes", SMALL_ROBOT) as dataset:
        for length in lengths:
            ActorSide(dataset, root / "policy").send(make_episode(SMALL_ROBOT, len(dataset), steps=length))


def test_updates_are_limited_by_the_steps_taken(tmp_path: Path) -> None:
    learner = Counter()
    driver = loop(tmp_path, PaceConfig(updates_per_step=1.5), learner)
    assert not driver.turn() and learner.updates == 0
    send(tmp_path, 8, 4)
    assert driver.receive() == 2 and driver.allowance == 18
    assert driver.turn() and learner.updates == 18
    assert not driver.turn() and driver.receive() == 0
    send(tmp_path, 6)
    assert driver.receive() == 1
    driver.turn()
    assert learner.updates == 1.5 * (8 + 4 + 6) + 1, "27 are allowed, two at a time"
    assert driver.allowance == -1


def test_a_turn_ends_when_its_time_is_up(tmp_path: Path) -> None:
    learner = Counter()
    driver = loop(tmp_path, PaceConfig(updates_per_step=1e6), learner)
    send(tmp_path, 8)
    driver.receive()
    assert driver.turn(seconds=0.05)
    assert 0 < learner.updates < driver.allowance


def test_it_publishes_logs_and_saves_as_often_as_asked(tmp_path: Path) -> None:
    learner = Counter()
    pace = PaceConfig(updates_per_step=2.0, publish_every=10, log_every=6, checkpoint_every=16)
    driver = loop(tmp_path, pace, learner)
    driver.publish()
    assert (tmp_path / "policy").read_text() == "0"
    send(tmp_path, 19)
    driver.receive()
    driver.turn()
    assert learner.updates == 38
    assert (tmp_path / "policy").read_text() == "30"
    driver.publish_if_new()
    assert (tmp_path / "policy").read_text() == "38"
    records = list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [r["updates"] for r in records] == [6, 12, 18, 24, 30, 36]
    assert all(r["step"] == 19 and r["updates_per_second"] > 0 and r["loss"] == 1 / r["updates"] for r in records)
    saved = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert saved == ["000000016", "000000032", "last"]


def test_what_is_published_already_is_not_published_again(tmp_path: Path) -> None:
    driver = loop(tmp_path, PaceConfig(), Counter())
    driver.publish()
    before = (tmp_path / "policy").stat().st_ino
    driver.publish_if_new()
    assert (tmp_path / "policy").stat().st_ino == before


def test_a_new_process_goes_on_from_the_checkpoint_and_the_episodes(tmp_path: Path) -> None:
    pace = PaceConfig(updates_per_step=1.0, log_every=4)
    first = loop(tmp_path, pace, Counter())
    send(tmp_path, 10, 6)
    first.receive()
    first.turn()
    first.checkpoint()

    learner = Counter()
    second = loop(tmp_path, pace, learner)
    assert second.resume() == []
    assert learner.updates == 16
    second.receive()
    assert learner.online_steps == 16 and second.allowance == 0 and not second.turn()
    send(tmp_path, 8)
    second.receive()
    second.turn()
    assert learner.updates == 24 and learner.keys == ["episodes/0", "episodes/1", "episodes/2"]


def test_updates_lost_with_the_newest_checkpoint_are_made_again(tmp_path: Path) -> None:
    pace = PaceConfig(updates_per_step=1.0, checkpoint_every=8)
    first = loop(tmp_path, pace, Counter())
    send(tmp_path, 16)
    first.receive()
    first.turn()
    (tmp_path / "checkpoints" / "000000016" / "state.json").write_text("{")

    learner = Counter()
    second = loop(tmp_path, pace, learner)
    troubles = second.resume()
    assert len(troubles) == 1 and "000000016" in troubles[0]
    assert learner.updates == 8
    second.receive()
    second.turn()
    assert learner.updates == 16


def test_without_a_checkpoint_it_starts_at_the_beginning(tmp_path: Path) -> None:
    learner = Counter()
    assert loop(tmp_path, PaceConfig(), learner).resume() == []
    assert learner.updates == 0


class Diverging(Counter):
    """Its loss is a number until the 20th update."""

    def update(self) -> Mapping[str, float]:
        super().update()
        return {"critic_loss": float("nan") if self.updates > 20 else 1.0}


def test_what_is_no_number_ends_learning_and_is_not_kept(tmp_path: Path) -> None:
    driver = loop(tmp_path, PaceConfig(updates_per_step=10, log_every=10, checkpoint_every=10), Diverging())
    send(tmp_path, 8)
    driver.receive()
    with pytest.raises(DexloopError, match="critic_loss is not finite after 30 critic updates"):
        driver.turn()
    driver.checkpoint()
    sound = Diverging()
    loop(tmp_path, PaceConfig(), sound).resume()
    assert sound.updates == 20


class Other(Counter):
    """Of other networks."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        raise RuntimeError("size mismatch\nfor critic")


def test_a_checkpoint_of_other_networks_is_named(tmp_path: Path) -> None:
    loop(tmp_path, PaceConfig(), Counter()).checkpoint()
    with pytest.raises(DexloopError, match=r"checkpoints does not fit .*\(size mismatch\); remove it"):
        loop(tmp_path, PaceConfig(), Other()).resume()
