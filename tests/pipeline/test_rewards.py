"""Whose word labels which episodes, and a classifier that learns from what a person said of online episodes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from dexloop.algorithms.bc import CloningConfig
from dexloop.cli import main
from dexloop.config import RecordConfig, RunConfig, TrainConfig
from dexloop.core import Operator
from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.pipeline import verbs
from dexloop.pipeline.rewards import OnlineLabels, labelled_episodes
from dexloop.pipeline.run import Run
from dexloop.presets import PRESETS
from dexloop.rewards.labelled import FrameLabel
from dexloop.rewards.labels import Label, Labels
from dexloop.rewards.storage import load_classifier
from dexloop.robot.config import GymConfig
from dexloop.types import Observation, OperatorInput, Verdict
from tests.data.samples import SMALL_ROBOT, make_episode
from tests.digests import digest

U, F, S = FrameLabel.UNSURE, FrameLabel.FAILURE, FrameLabel.SUCCESS
CLASSIFIER, PERSON = RunConfig(reward="classifier"), RunConfig(reward="person")


def stored(path: Path, *verdicts: str | None, silent: bool = False) -> EpisodeDataset:
    """Episodes of eight steps that the simulation calls failures, unless it is silent, with what a person said."""
    with EpisodeDataset.create(path, SMALL_ROBOT) as dataset:
        for seed, verdict in enumerate(verdicts):
            made = make_episode(SMALL_ROBOT, seed, success=False)
            if silent:
                made = replace(
                    made, true_success=None, transitions=tuple(replace(t, true_success=None) for t in made.transitions)
                )
            dataset.append(replace(made, info={} if verdict is None else {"verdict": verdict}))
    return dataset


def labels(
    config: RunConfig, datasets: dict[str, EpisodeDataset], online: OnlineLabels | None, **marks: Label
) -> list[tuple[FrameLabel, ...]]:
    given = {name.replace("_", "/"): mark for name, mark in marks.items()}
    return [e.labels for e in labelled_episodes(config, SMALL_ROBOT, datasets, given, online)]


# Steps without a verdict of the simulation are unsure, as the first one is; 0.4 s at 12.5 Hz are five frames.
TRUTH, FAILED, SUCCEEDED = (U, *[F] * 7), (F,) * 8, (U, U, U, *[S] * 5)


def test_online_episodes_count_by_a_persons_verdict_and_by_the_truth_only_where_it_is_wanted(tmp_path: Path) -> None:
    lived = {"episodes": stored(tmp_path / "episodes", "success", None, "failure")}
    assert labels(CLASSIFIER, lived, "verdicts") == [SUCCEEDED, FAILED]
    assert labels(CLASSIFIER, lived, "truth") == [SUCCEEDED, TRUTH, FAILED], "and a person's word beats it"
    assert labels(PERSON, lived, "verdicts") == [SUCCEEDED, FAILED]
    assert labels(CLASSIFIER, lived, "verdicts", episodes_0=Label(7))[0] == (F, *[U] * 6, S)


def test_demonstrations_count_by_the_truth_which_says_more_and_by_a_verdict_where_there_is_none(tmp_path: Path) -> None:
    known = {"demos": stored(tmp_path / "known", "success", None)}
    silent = {"demos": stored(tmp_path / "silent", "success", None, silent=True)}
    assert labels(CLASSIFIER, known, None) == labels(CLASSIFIER, known, "verdicts") == [TRUTH, TRUTH]
    assert labels(CLASSIFIER, silent, None) == [] and labels(CLASSIFIER, silent, "verdicts") == [SUCCEEDED]
    assert labels(CLASSIFIER, silent, None, demos_1=Label(None)) == [FAILED]
    assert labels(CLASSIFIER, silent, "verdicts", demos_0=Label(None, skip=True)) == []


def test_where_a_person_judges_the_truth_is_not_asked(tmp_path: Path) -> None:
    known = {"demos": stored(tmp_path / "known", "success", None)}
    assert labels(PERSON, known, "verdicts") == [SUCCEEDED]
    assert labels(PERSON, known, "truth") == [SUCCEEDED, TRUTH]


class Lamp(gymnasium.Env[Any, Any]):
    """The action turns a lamp up or down; nothing is seen but a picture, and nobody says when it is bright."""

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Dict({"eye": spaces.Box(0, 255, (16, 16, 3), np.uint8)})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._light = float(self.np_random.uniform(0.0, 0.2))
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._light = float(np.clip(self._light + 0.1 * action[0], 0.0, 1.0))
        return self._seen(), 0.0, False, False, {}

    def _seen(self) -> dict[str, Any]:
        image = np.zeros((16, 16, 3), np.uint8)
        # A place tells the encoder what brightness alone would not.
        row = round(12 * self._light)
        image[row : row + 4] = 250
        return {"eye": image}


class Watcher:
    """A person who turns the lamp up, says when it is bright, and gives up after a while where it is not."""

    def reset(self, seed: int) -> None:
        self._steps, self._bright = 0, 0
        self._patience = 12 if seed % 2 else 20

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        self._steps += 1
        self._bright += bool(observation.images["eye"][11:, 0, 0].any() and not observation.images["eye"][:10].any())
        if self._bright > 4:
            return OperatorInput(verdict=Verdict.SUCCESS)
        if self._steps > self._patience:
            return OperatorInput(verdict=Verdict.FAILURE)
        return OperatorInput(np.ones(1, np.float32), np.ones(1, bool))


def make_watcher(spec: object) -> Operator:
    return Watcher()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that a person judged from the first demonstration to the last online episode."""
    gymnasium.register("Own/Lamp-v0", Lamp, max_episode_steps=25)
    smoke = PRESETS["smoke"]
    config = replace(
        smoke,
        robot="gym:Own/Lamp-v0",
        gym=GymConfig(reset_seconds=1.0),
        reward="person",
        operator="tests.pipeline.test_rewards:make_watcher",
        record=RecordConfig(episodes=4, rollouts=4, tail_seconds=0.0),
        representation=replace(smoke.representation, updates=20),
        cloning=CloningConfig(updates=2),
        classifier=replace(smoke.classifier, updates=150),
        train=TrainConfig(robot_minutes=0.4, runtime="synchronous"),
        trials=1,
    )
    run = verbs.begin("lamp", tmp_path_factory.mktemp("judged") / "run", config, resume=False)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    run.train()
    yield run
    del gymnasium.registry["Own/Lamp-v0"]


def bright(light: float) -> Observation:
    lamp = Lamp()
    lamp.reset(seed=0)
    lamp._light = light
    return Observation(np.zeros(1, np.float32), lamp._seen())


def test_a_classifier_learns_from_a_persons_verdicts_and_judges_another_run(judged: Run, tmp_path: Path) -> None:
    root = judged.directory.root
    assert main(["reward", str(root)]) == 1, "a run that a person judges needs none"
    assert main(["reward", str(root), "--online=verdicts"]) == 0
    episodes = EpisodeDataset.open(judged.directory.episodes)
    verdicts = ["verdict" in episodes.episode_info(index).info for index in episodes.episodes]
    found = json.loads((judged.directory.reward / "metrics.json").read_text())
    assert found["online_episodes"] == sum(verdicts) > 0
    classifier, _ = load_classifier(judged.directory.classifier)
    dark, done = classifier.scores([bright(0.1), bright(1.0)])
    assert dark < 0.5 < done

    assert main(["train", str(root), "--resume", "--reward=classifier"]) == 1, "a run is judged by one"
    assert main(["train", str(root), "--reward=classifier", f"--out={tmp_path / 'other'}", "--robot-minutes=0.3"]) == 0
    other = verbs.open_run(tmp_path / "other")
    assert other.config.reward == "classifier" and len(EpisodeDataset.open(other.directory.episodes)) > 0
    assert digest(other.directory.classifier) == digest(judged.directory.classifier)


def test_a_classifier_without_a_clone_says_what_is_missing(judged: Run, tmp_path: Path) -> None:
    again = verbs.fork(judged, replace(judged.config, reward="classifier"), tmp_path / "again")
    again.directory.prior.unlink()
    again.directory.classifier.unlink(missing_ok=True)
    with pytest.raises(DexloopError, match="needs a clone; make it with: dexloop pretrain"):
        again.train_reward()


def test_a_classifier_that_is_there_is_trained_again_or_left_as_it_is(judged: Run, tmp_path: Path) -> None:
    judged.train_reward("verdicts")
    before = digest(judged.directory.classifier)
    again = verbs.fork(judged, replace(judged.config, reward="classifier"), tmp_path / "again")
    with pytest.raises(DexloopError, match=r"--online truth: no online episode of .*again has a person's verdict or"):
        verbs.train_reward(again, label=False, port=0, online="truth")
    assert digest(again.directory.classifier) == before


@pytest.mark.parametrize("learning", [False, True])
def test_a_new_classifier_may_call_other_rollouts_successes(judged: Run, tmp_path: Path, learning: bool) -> None:
    """So what the old one's had taught goes, unless the run has begun to learn from there."""
    again = verbs.fork(judged, replace(judged.config, reward="classifier"), tmp_path / "again")
    again.directory.classifier.unlink(missing_ok=True)
    shutil.copy(again.directory.prior, again.directory.distilled)
    if learning:
        shutil.copytree(judged.directory.episodes, again.directory.episodes)
    labels, demos = Labels(again.directory.labels), EpisodeDataset.open(again.directory.demos)
    for index in demos.episodes:
        labels.set(f"demos/{index}", Label(len(demos.episode(index)) - 2))
    for index in EpisodeDataset.open(again.directory.rollouts).episodes:
        labels.set(f"rollouts/{index}", Label(None))
    again.train_reward()
    assert again.directory.classifier.is_file() and again.directory.distilled.is_file() is learning
