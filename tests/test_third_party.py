"""Somebody else's Gymnasium environment, from demonstrations to evaluation, through the command line's verbs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from dexloop import DexloopError
from dexloop.algorithms.bc import CloningConfig
from dexloop.cli import main
from dexloop.config import RecordConfig, TrainConfig
from dexloop.data.dataset import EpisodeDataset
from dexloop.pipeline import verbs
from dexloop.presets import PRESETS
from dexloop.rewards.labels import Label, Labels
from dexloop.runtime.metrics import read_metrics
from dexloop.types import Observation, OperatorInput, Proposal, RobotSpec, Verdict

SIZE = (24, 40)


class Reach(gymnasium.Env[Any, Any]):
    """Move a point (2,) in [-1, 1] to a target within 0.15; -1 a step until there. Sees the way there, or pictures."""

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012

    def __init__(self, sees: str = "state", verdict: bool = True, feels: bool = True) -> None:
        self.action_space = spaces.Box(-0.1, 0.1, (2,), np.float32)
        parts: dict[str, spaces.Space[Any]] = {}
        if feels:
            parts["point"] = spaces.Box(-1.0, 1.0, (2,), np.float64)
        if sees == "state":
            parts["target_offset"] = spaces.Box(-2.0, 2.0, (2,), np.float64)
        else:
            parts["side"] = spaces.Box(0, 255, (*SIZE, 3), np.uint8)
            parts["top"] = spaces.Box(0, 255, (16, 16, 3), np.uint8)
        self.observation_space = spaces.Dict(parts)
        self.sees, self.verdict = sees, verdict

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.point = self.np_random.uniform(-0.8, 0.8, 2)
        self.target = self.np_random.uniform(-0.8, 0.8, 2)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.point = np.clip(self.point + action, -1.0, 1.0)
        there = bool(np.linalg.norm(self.target - self.point) < 0.15)
        return self._observe(), -1.0 + there, False, False, {"is_success": np.float32(there)} if self.verdict else {}

    def _observe(self) -> dict[str, Any]:
        if self.sees == "state":
            return {"point": self.point.copy(), "target_offset": self.target - self.point}
        pictures = {"side": np.zeros((*SIZE, 3), np.uint8), "top": np.zeros((16, 16, 3), np.uint8)}
        for picture in pictures.values():
            rows, columns = picture.shape[:2]
            row, column = ((self.target + 1.0) / 2.0 * (rows - 3, columns - 3)).astype(int)
            picture[row : row + 3, column : column + 3] = (255, 40, 40)
        return {"point": self.point.copy(), **pictures} if "point" in self.observation_space.spaces else pictures


class Guide:
    """Goes straight to the target, at no more than the speed limit."""

    def reset(self, seed: int) -> None: ...

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        return OperatorInput(action=np.clip(observation.proprio[2:4] / 0.5, -1.0, 1.0))


class Searcher:
    """A policy for the picture: finds the dot in the side camera."""

    def __init__(self, spec: RobotSpec) -> None:
        self.size = spec.action.size

    def reset(self, seed: int) -> None: ...

    def act(self, observation: Observation, explore: bool) -> Proposal:
        places = np.argwhere(observation.images["side"][:, :, 0] > 128).mean(0) - 1.0
        target = places / (SIZE[0] - 3, SIZE[1] - 3) * 2.0 - 1.0
        return Proposal(np.clip((target - observation.proprio[:2]) / 0.1, -1.0, 1.0).astype(np.float32))


class Wanderer:
    """A policy that sees nothing: in circles that grow, so that it comes by the target."""

    def reset(self, seed: int) -> None:
        self.steps = 0

    def act(self, observation: Observation, explore: bool) -> Proposal:
        self.steps += 1
        turn = 2.5 * np.sqrt(self.steps)
        return Proposal(np.array([np.cos(turn), np.sin(turn)], np.float32))


class Judge(Guide):
    """Judges every episode at its fourth step, in an environment that does not."""

    def reset(self, seed: int) -> None:
        self.steps = 0

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        self.steps += 1
        return OperatorInput(verdict=Verdict.SUCCESS) if self.steps > 4 else super().poll(observation, asked)


class PictureJudge(Judge):
    """As the judge, but going by the picture."""

    def __init__(self, spec: RobotSpec) -> None:
        self.searcher = Searcher(spec)

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        self.steps += 1
        if self.steps > 4:
            return OperatorInput(verdict=Verdict.SUCCESS)
        return OperatorInput(self.searcher.act(observation, False).action)


class Quitter(Guide):
    """Leaves in the third episode, and takes note that it was let go."""

    def __init__(self) -> None:
        self.episodes = 0
        self.closed = False

    def reset(self, seed: int) -> None:
        self.episodes += 1

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        return OperatorInput(stop=True) if self.episodes == 3 else super().poll(observation, asked)

    def close(self) -> None:
        self.closed = True


class Helper(Guide):
    """Takes over one of the two directions, from the third step of every episode on."""

    def reset(self, seed: int) -> None:
        self.steps = 0

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        self.steps += 1
        if self.steps < 3:
            return OperatorInput()
        return OperatorInput(super().poll(observation, asked).action, np.array([True, False]))


OPERATORS = {
    "guide": lambda spec: Guide(),
    "search": Searcher,
    "search_alone": lambda spec: Wanderer(),
    "judge": lambda spec: Judge(),
    "look": PictureJudge,
    "help": lambda spec: Helper(),
    "none": lambda spec: 7,
}
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "Reach": {},
    "Silent": {"verdict": False},
    "Dot": {"sees": "picture"},
    "SilentDot": {"sees": "picture", "verdict": False},
    "OnlyDot": {"sees": "picture", "feels": False},
}
SETTINGS = replace(
    PRESETS["smoke"],
    robot="gym:ThirdParty/Reach-v0",
    operator="third_party_operators:guide",
    observation="privileged",
    reward="simulation",
    record=RecordConfig(episodes=10, rollouts=3, tail_seconds=0.2),
    cloning=CloningConfig(updates=800, input_noise=0.05),
    train=TrainConfig(robot_minutes=0.5, runtime="synchronous"),
    trials=20,
)


@pytest.fixture(autouse=True)
def third_party(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Environments and operators as another package would have them; runs go to a folder of their own."""
    module = type(sys)("third_party_operators")
    module.__dict__.update(OPERATORS)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    for name, options in ENVIRONMENTS.items():
        gymnasium.register(f"ThirdParty/{name}-v0", Reach, max_episode_steps=30, kwargs=options)
    yield
    for name in ENVIRONMENTS:
        del gymnasium.registry[f"ThirdParty/{name}-v0"]


def begin(name: str = "Reach", operator: str = "guide", **changes: Any) -> verbs.Run:
    config = replace(SETTINGS, robot=f"gym:ThirdParty/{name}-v0", operator=f"third_party_operators:{operator}")
    return verbs.begin("reach", Path("run"), replace(config, **changes), resume=False)


def test_the_whole_way_on_numbers() -> None:
    run = begin()
    verbs.run(run)
    found = {entry["policy"]: entry for entry in json.loads(Path("run/evaluation.json").read_text())}
    # Going straight in a random direction finds the target in about one episode of eight.
    assert found["bc"]["successes"] >= 16 and found["demonstrations"]["trials"] == 10
    assert found["iborl"]["trials"] == 20 and found["iborl"]["robot_minutes"] >= 0.5
    demonstration = EpisodeDataset.open(Path("run/demos")).episode(0)
    assert all(t.control.all() for t in demonstration.transitions)
    assert {t.reward for t in demonstration.transitions} == {0.0, 1.0}
    assert len(EpisodeDataset.open(Path("run/episodes"))) > 0 and Path("run/report.html").is_file()


def test_a_foreign_target_is_not_hidden_from_the_policy() -> None:
    run = begin(record=RecordConfig(episodes=2), cloning=CloningConfig(updates=1))
    names = run.robot.spec.observation.proprio_names
    assert names[2:] == ("target_offset.0", "target_offset.1", "remaining_time")
    run.record()
    run.pretrain()
    head = verbs.load_agent(run.directory.prior).agent.head
    assert all(one.seen.tolist() == [1.0] * 4 + [0.0] for one in head.heads), "but the time is"


def test_the_critics_can_tell_how_near_the_deadline_is() -> None:
    run = begin(record=RecordConfig(episodes=2), cloning=CloningConfig(updates=1))
    run.record()
    run.pretrain()
    latent = verbs.load_agent(run.directory.prior).agent.latent
    seen = [Observation(np.array([0, 0, 0, 0, left], np.float32)) for left in np.linspace(0.0, 1.0, 31)]
    assert len(latent.encode(seen)[:, 4].unique()) == 31


def test_an_operator_takes_over_while_training() -> None:
    train = TrainConfig(robot_minutes=0.35, runtime="synchronous", take_over="third_party_operators:help")
    record = RecordConfig(episodes=2, rollouts=2, tail_seconds=0.2)
    run = begin(record=record, cloning=CloningConfig(updates=1), train=train, trials=2)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    run.train()
    online = EpisodeDataset.open(run.directory.episodes)
    assert len(online) >= 3
    counted = differed = 0
    for index in online.episodes:
        steps = online.episode(index).transitions
        assert [t.control.tolist() for t in steps] == [[i >= 2, False] for i in range(len(steps))]
        for t in steps[2:]:
            wanted = np.clip(t.observation.proprio[2:4] / 0.5, -1.0, 1.0)
            assert t.executed.tolist() == pytest.approx([wanted[0], t.proposed[1]], abs=1e-6)
        differed += sum(abs(t.executed[0] - t.proposed[0]) > 0.01 for t in steps[2:])
        for t in steps[:2]:
            assert t.executed.tolist() == t.proposed.tolist()
        counted += max(len(steps) - 2, 0)
    lines = [line for line in read_metrics(run.directory.root / "metrics.jsonl") if line["kind"] == "episode"]
    assert sum(line["operator_steps"] for line in lines) == counted == run.operator_steps()
    assert differed > counted / 2
    verbs.evaluate(run, None, blank=False)
    found = {entry["policy"]: entry for entry in run.directory.read_json(run.directory.evaluation)}
    assert (found["bc"]["operator_steps"], found["iborl"]["operator_steps"]) == (0, counted)
    assert {entry["judged_by"] for entry in found.values()} == {"simulation"}


def test_a_person_judges_everything_where_nobody_else_does() -> None:
    train = TrainConfig(robot_minutes=0.25, runtime="synchronous")
    record = RecordConfig(episodes=2, rollouts=2, tail_seconds=0.2)
    settings = {"record": record, "cloning": CloningConfig(updates=1), "train": train, "trials": 2}
    run = begin("Silent", "judge", reward="person", **settings)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    run.train_reward()
    run.train()
    for folder in (run.directory.demos, run.directory.rollouts, run.directory.episodes):
        stored = EpisodeDataset.open(folder)
        episodes = [stored.episode(index) for index in stored.episodes]
        assert all(len(e) == 4 and e.success and e.info["verdict"] == "success" for e in episodes)
        assert all(t.control.all() == (folder == run.directory.demos) for e in episodes for t in e.transitions)
    verbs.evaluate(run, None, blank=False)
    found = run.directory.read_json(run.directory.evaluation)
    assert [(e["policy"], e["successes"], e["mean_steps"], e["judged_by"]) for e in found] == [
        ("demonstrations", 2, 4.0, "person"),
        ("bc", 2, 4.0, "person"),
        ("iborl", 2, 4.0, "person"),
    ]
    assert not run.directory.classifier.exists()


def test_the_whole_way_on_pictures_of_two_sizes() -> None:
    train = TrainConfig(robot_minutes=0.3, runtime="synchronous")
    record = RecordConfig(episodes=4, rollouts=3, tail_seconds=0.5)
    less = {"record": record, "train": train, "cloning": CloningConfig(updates=50), "trials": 2}
    run = begin("Dot", "search", observation="images", reward="classifier", **less)
    verbs.run(run)
    found = {entry["policy"]: entry for entry in json.loads(Path("run/evaluation.json").read_text())}
    assert found["iborl"]["trials"] == 2 and found["iborl"]["image_size"] == 24
    assert run.directory.classifier.is_file() and list(Path("run/videos").glob("before_bc_*.mp4"))
    frames = EpisodeDataset.open(Path("run/demos")).frames(0)
    assert frames["side"].shape[1:] == (*SIZE, 3) and frames["top"].shape[1:] == (16, 16, 3)


def test_pictures_alone_are_enough() -> None:
    record = RecordConfig(episodes=2, rollouts=2, tail_seconds=0.2)
    train = TrainConfig(robot_minutes=0.15, runtime="synchronous")
    settings = {"record": record, "train": train, "cloning": CloningConfig(updates=1), "trials": 1}
    run = begin("OnlyDot", "search_alone", observation="images", **settings)
    assert run.robot.spec.observation.proprio_names == ("remaining_time",)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    run.train()
    agent = verbs.load_agent(run.directory.policy).agent
    seen = [head.seen for head in agent.head.heads]
    assert all(one[0] == 0.0 and one[1:].all() for one in seen), "a policy does not go by the clock"
    assert run.evaluate("iborl", agent, run.robot_minutes()).judged_by == "simulation"


def test_a_classifier_judges_what_the_environment_does_not() -> None:
    record = RecordConfig(episodes=2, rollouts=2, tail_seconds=0.2)
    settings = {"record": record, "cloning": CloningConfig(updates=1), "trials": 1}
    run = begin("SilentDot", "look", observation="images", reward="classifier", **settings)
    run.record()
    run.pretrain()
    run.collect_rollouts()
    with pytest.raises(DexloopError, match="needs successful frames; label some with"):
        run.train_reward()
    bc = verbs.load_agent(run.directory.prior).agent
    assert run.evaluate("bc", bc, 0.0).judged_by == "person"
    labels = Labels(run.directory.labels)
    for index in range(2):
        labels.set(f"demos/{index}", Label(2))
        labels.set(f"rollouts/{index}", Label(None))
    run.train_reward()
    verbs.evaluate(run, None, blank=False)
    found = run.directory.read_json(run.directory.evaluation)
    assert [(e["policy"], e["judged_by"]) for e in found] == [("demonstrations", "person"), ("bc", "classifier")]
    assert found[1]["classifier_disagreement"] is None
    assert all("unjudged" in film.name for film in run.directory.videos.glob("*.mp4"))


def test_a_stored_policy_is_an_operator() -> None:
    teacher = begin()
    teacher.record()
    teacher.pretrain()
    config = replace(SETTINGS, operator=str(teacher.directory.prior), record=RecordConfig(episodes=3, tail_seconds=0.0))
    pupil = verbs.begin("reach", Path("pupil"), config, resume=False)
    pupil.record()
    assert len(EpisodeDataset.open(Path("pupil/demos"))) == 3
    other = verbs.begin("reach", Path("other"), replace(config, robot="gym:ThirdParty/Dot-v0"), resume=False)
    with pytest.raises(DexloopError, match=r"--operator .*made for 2 actions, 5 numbers"):
        other.record()


def test_an_operator_may_stop_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    quitter = Quitter()
    monkeypatch.setitem(sys.modules["third_party_operators"].__dict__, "quitter", lambda spec: quitter)
    run = begin(operator="quitter")
    with pytest.raises(DexloopError, match=r"stopped after 2 of 10 .* --resume"):
        run.record()
    assert quitter.closed
    # What is not said again is in the run's own configuration, the robot too.
    verbs.begin("reach", Path("run"), PRESETS["smoke"], resume=True).record()
    assert len(EpisodeDataset.open(Path("run/demos"))) == 10


def test_an_environment_without_a_verdict_is_named() -> None:
    with pytest.raises(DexloopError, match=r"Silent-v0 does not say .*is_success"):
        begin("Silent").record()


def test_a_persons_verdict_is_no_reward_of_the_environment() -> None:
    with pytest.raises(DexloopError, match=r"is_success.*--reward person"):
        begin("Silent", "judge").record()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--operator", "scripted"], "no scripted operator"),
        (["--operator", "nobody"], "give scripted, keyboard, module:function"),
        (["--operator", "no_such_module:make"], "cannot import 'no_such_module'"),
        (["--operator", "third_party_operators:missing"], "has no function 'missing'"),
        (["--operator", "third_party_operators:none"], "gave a int"),
        (["--operator", "none.safetensors"], "no such policy"),
        (["--operator", "keyboard"], "needs a terminal"),
        (["--reward", "classifier"], "no pictures for a classifier; add --reward simulation"),
        (["--robot", "gym:ThirdParty/Nowhere-v0"], "Nowhere"),
        (["--gym.control-hz", "-1"], "control_hz in Hz, above 0"),
    ],
)
def test_mistakes_are_named(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    robot = ["--robot", "gym:ThirdParty/Reach-v0", "--observation", "privileged", "--reward", "simulation"]
    assert main(["record", "reach", "--preset", "smoke", *robot, *flags]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "error: " in error and message in error and "Traceback" not in error


def test_modules_lie_beside_the_command() -> None:
    Path("own_operator.py").write_text(
        "import third_party_operators\ndef make(spec):\n    return third_party_operators.guide(spec)\n"
    )
    config = replace(SETTINGS, operator="own_operator:make", record=RecordConfig(episodes=1))
    verbs.begin("reach", Path("mine"), config, resume=False).record()
    assert len(EpisodeDataset.open(Path("mine/demos"))) == 1


def test_a_person_at_the_keyboard_may_leave(tmp_path: Path) -> None:
    person, computer = pty.openpty()
    before = termios.tcgetattr(computer)
    command = [sys.executable, "-m", "dexloop", "record", "hill", "--robot", "gym:MountainCarContinuous-v0"]
    command += ["--operator", "keyboard", "--observation", "privileged", "--reward", "simulation"]
    with subprocess.Popen(command, stdin=computer, stderr=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        assert process.stderr is not None
        said = ""
        while "q stop" not in said:
            said += process.stderr.readline()
        assert not termios.tcgetattr(computer)[3] & termios.ICANON
        while process.poll() is None:  # what is typed before the episode begins does not count
            os.write(person, b"ddaq")
            time.sleep(0.1)
        said = " ".join(process.stderr.read().split())
    assert "error: the operator stopped after 0 of 40 demonstrations" in said and process.returncode == 1
    assert termios.tcgetattr(computer) == before
    os.close(person)
    os.close(computer)
