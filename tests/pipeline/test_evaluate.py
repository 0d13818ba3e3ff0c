"""Who judges a policy's trials, and what becomes of those that were void."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dexloop.config import RunConfig, TrainConfig
from dexloop.core import Operator
from dexloop.data.dataset import EpisodeDataset
from dexloop.episode import run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.pipeline.evaluate import (
    BrokenOff,
    Evaluation,
    demonstrations_judged_by,
    evaluate_in_run,
    evaluate_policy,
    steps_to_success,
    who_judges,
)
from dexloop.rewards.environment import EnvironmentReward
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import HANDS_OFF, Episode, Judgement, Observation, OperatorInput, Step, Verdict
from tests.lift import GRASPED, UP, Script, lift

CONFIG = RunConfig(reward="simulation")
TEST = [episode_seed(Purpose.TEST, 0, trial) for trial in range(20)]
YES, NO, AGAIN = (OperatorInput(verdict=verdict) for verdict in Verdict)


class High:
    """A stand-in for a classifier: above half the way is a success."""

    def reset(self) -> None: ...

    def judge(self, observation: Observation, step: Step) -> Judgement:
        success = bool(step.observation.proprio[0] > 0.5)
        return Judgement(float(success), success, success)


class Turns:
    """A person with another word for each episode, said before the third step."""

    def __init__(self, *words: OperatorInput) -> None:
        self._words = iter(words)

    def reset(self, seed: int) -> None:
        self._script = Script(HANDS_OFF, HANDS_OFF, next(self._words))
        self._script.reset(seed)

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        return self._script.poll(observation, asked)


def episode_of(*words: OperatorInput, silent: bool = False, ends: bool = False) -> Episode:
    _, robot = lift(silent=silent, ends=ends)
    return run_episode(robot, GRASPED, EnvironmentReward(), HumanGate(), seed=1, operator=Script(*words))


def test_the_environment_judges_where_it_has_a_word() -> None:
    env, robot = lift()
    found = evaluate_policy(CONFIG, robot, GRASPED, 3)
    assert env.seeds == TEST[:3]
    assert (found.successes, found.trials, found.mean_steps, found.faults) == (3, 3, 4.0, 0)
    assert found.judged_by == "simulation" and found.classifier_disagreement is None


def test_a_classifier_only_watches_a_robot_that_judges_itself() -> None:
    _, robot = lift()
    found = evaluate_policy(CONFIG, robot, UP, 2, classifier=High())
    assert found.successes == 0 and found.judged_by == "simulation" and found.classifier_disagreement == 1.0


def test_a_classifier_judges_a_robot_that_does_not() -> None:
    _, robot = lift(silent=True)
    found = evaluate_policy(CONFIG, robot, UP, 2, judged_by="classifier", classifier=High())
    assert (found.successes, found.steps, found.judged_by) == (2, (3, 3), "classifier")
    assert found.classifier_disagreement is None, "it cannot disagree with itself"


def test_a_persons_keys_are_the_verdict_and_what_they_discard_is_done_again() -> None:
    env, robot = lift(silent=True)
    person = Turns(YES, NO, AGAIN, YES, HANDS_OFF)
    found = evaluate_policy(CONFIG, robot, UP, 4, judged_by="person", person=person)
    assert found.steps == (2, None, 2, None), "nothing said until the deadline is a failure"
    assert env.seeds == [TEST[0], TEST[1], TEST[2], TEST[2], TEST[3]]
    assert found.judged_by == "person" and found.success_rate == 0.5


def test_a_person_judges_alone_and_may_differ_from_the_simulation() -> None:
    _, robot = lift()
    person = Turns(HANDS_OFF, YES)
    found = evaluate_policy(CONFIG, robot, GRASPED, 2, judged_by="person", person=person)
    assert found.steps == (None, 2)


def test_a_person_may_stop_and_what_they_judged_is_counted() -> None:
    _, robot = lift()
    with pytest.raises(BrokenOff, match="evaluate bc: stopped after 1 of 3 trials") as caught:
        evaluate_policy(
            CONFIG,
            robot,
            UP,
            3,
            judged_by="person",
            person=Turns(NO, OperatorInput(stop=True)),
            label="evaluate bc",
        )
    assert (caught.value.done.trials, caught.value.done.steps) == (1, (None,))


def test_a_missing_judge_is_a_mistake_of_the_caller() -> None:
    _, robot = lift()
    for judge in ("person", "classifier"):
        with pytest.raises(ValueError, match=f"judged by a {judge}, but none was given"):
            evaluate_policy(CONFIG, robot, UP, 1, judged_by=judge)


def test_a_silent_robot_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    _, robot = lift(silent=True)
    assert evaluate_policy(CONFIG, robot, GRASPED, 2).successes == 0
    assert "warning: lift never said whether a trial succeeded" in capsys.readouterr().err
    _, robot = lift()
    evaluate_policy(CONFIG, robot, UP, 2)
    assert "warning" not in capsys.readouterr().err


def test_a_trial_with_a_fault_has_failed_even_in_the_step_of_success() -> None:
    env, robot = lift(broken={TEST[1]: 1, TEST[2]: 4})
    found = evaluate_policy(CONFIG, robot, GRASPED, 4)
    assert found.steps == (4, None, None, 4) and found.faults == 2 and env.seeds == TEST[:4]


def test_a_fault_that_stays_is_no_result_and_what_came_before_is_one() -> None:
    env, robot = lift(broken=dict.fromkeys([TEST[1], *TEST[3:]], 1))
    with pytest.raises(BrokenOff, match=r"10 episodes .* a fault: watchdog, after 3 of 20 trials; see") as caught:
        evaluate_policy(CONFIG, robot, GRASPED, 20)
    assert env.seeds == TEST[:13]
    assert (caught.value.done.steps, caught.value.done.faults) == ((4, None, 4), 1)


def test_trials_that_go_on_give_what_they_would_have_given_at_once() -> None:
    """Also what a classifier, which sees success a step earlier and in vain attempts too, says to them."""
    faults = {TEST[1]: 1, TEST[12]: 1}

    def trials(broken: dict[int, int], earlier: Evaluation | None = None) -> Evaluation:
        _, robot = lift(broken=broken)
        return evaluate_policy(CONFIG, robot, UP, 14, classifier=High(), earlier=earlier)

    whole = trials(faults)
    with pytest.raises(BrokenOff) as caught:
        trials(faults | dict.fromkeys(TEST[3:13], 1))
    rest = trials(faults, caught.value.done)
    assert replace(rest, wall_seconds=0.0) == replace(whole, wall_seconds=0.0)
    assert rest.trials == 14 and rest.faults == 2 and rest.classifier_disagreement == pytest.approx(12 / 14)
    assert rest.wall_seconds > caught.value.done.wall_seconds


def test_steps_to_success_believe_the_episode() -> None:
    assert steps_to_success(episode_of()) == 4
    overruled = run_episode(
        lift()[1],
        GRASPED,
        EnvironmentReward(),
        HumanGate(),
        seed=1,
        operator=Script(*[HANDS_OFF] * 5, NO),
        tail_steps=3,
    )
    assert overruled.transitions[3].success and steps_to_success(overruled) is None


@pytest.mark.parametrize(
    ("episode", "judge"),
    [
        (episode_of(), "simulation"),
        (episode_of(HANDS_OFF, YES), "simulation"),
        (episode_of(silent=True, ends=True), "simulation"),
        (episode_of(HANDS_OFF, YES, silent=True), "person"),
        (episode_of(HANDS_OFF, NO, silent=True), "person"),
    ],
)
def test_who_judges_a_run(tmp_path: Path, episode: Episode, judge: str) -> None:
    """A flag, and ending with a positive reward, are the environment's word; where there is neither, it has none."""
    run = RunDirectory(tmp_path)
    with EpisodeDataset.create(run.demos, lift()[1].spec) as demos:
        demos.append(episode)
    config = RunConfig(reward="classifier")
    assert demonstrations_judged_by(EpisodeDataset.open(run.demos)) == judge
    assert who_judges(config, run) == judge
    assert who_judges(replace(config, reward="person"), run) == "person"
    assert who_judges(replace(config, reward="simulation"), run) == "simulation"
    run.classifier.parent.mkdir()
    run.classifier.touch()
    assert who_judges(config, run) == ("classifier" if judge == "person" else judge)


def test_the_judge_of_a_run_comes_and_goes_with_the_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Watching(Turns):
        def close(self) -> None:
            closed.append(True)

    def make(spec: object) -> Operator:
        return Watching(YES, NO)

    monkeypatch.setattr("tests.lift.make_watcher", make, raising=False)
    config = RunConfig(reward="person", operator="tests.lift:make_watcher", trials=2)
    run = RunDirectory(tmp_path)
    found = evaluate_in_run(config, run, lift()[1], UP, "bc", "person")
    assert found.steps == (2, None) and found.judged_by == "person" and closed == [True]
    dumb = replace(config, train=TrainConfig(take_over="scripted"))
    with pytest.raises(DexloopError, match=r"--train\.take-over scripted never says whether an episode succeeded"):
        evaluate_in_run(dumb, run, lift()[1], UP, "bc", "person")
