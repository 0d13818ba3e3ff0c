"""The speed benchmark runs, writes every item that it promises, and judges them rightly."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.naive import ListReplay, LoopedCritics, NaiveActorCritic
from benchmarks.timing import CLOCKS, CPU, Contestant, Timings, measure, speed_ratio

from dexloop.networks.critics import EnsembleCritic
from dexloop.networks.policies import GaussianPolicy

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed.py"
WITHOUT_GL = {
    *("environment/state-only", "state/dexloop", "state/naive", "pair/dexloop", "actor/act-64"),
    *("iborl/dexloop", "iborl/dexloop-bfloat16"),
    *("vision/encode-128", "vision/kept-128", "vision/encode-64", "vision/kept-64"),
    *("replay/index-select", "replay/numpy-indexing", "replay/memcpy", "replay/latents"),
}
LEROBOT = {"state/lerobot", "state/lerobot-compiled", "pair/lerobot", "pair/lerobot-compiled"}
COMPILED = {f"{name}-compiled" for name in ("state/dexloop", "pair/dexloop", "iborl/dexloop", "iborl/dexloop-bfloat16")}


def speed(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SPEED), *flags], capture_output=True, text=True, timeout=120)


def quick(out: Path, contests: str) -> tuple[dict[str, Any], str]:
    """What a quick run of these contests writes, and what it prints."""
    done = speed(f"--out={out}", "--quick", f"--only={contests}")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text(encoding="utf-8")), done.stdout


def check_items(report: dict[str, Any]) -> None:
    """Every number of every item is a time that can be."""
    for item in report["items"]:
        assert item["calls"] >= 1
        for clock in CLOCKS:
            times = item["ms"][clock]
            assert all(math.isfinite(value) and value > 0 for value in times.values()), item
            assert times["min"] <= times["median"] <= times["max"] and times["p50"] <= times["p95"]
            assert item["per_second"][clock] == pytest.approx(1e3 / times["median"])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A quick run of all that needs no OpenGL."""
    out = tmp_path_factory.mktemp("speed") / "new" / "speed.json"
    return quick(out, "environment,state,pair,iborl,vision,replay,actor")


def test_every_item_is_measured(report: tuple[dict[str, Any], str]) -> None:
    written, _ = report
    names = {item["name"] for item in written["items"]}
    assert names - LEROBOT == WITHOUT_GL
    check_items(written)


def test_lerobot_takes_part_or_is_said_to_be_missing(report: tuple[dict[str, Any], str]) -> None:
    written, said = report
    names = {item["name"] for item in written["items"]} & LEROBOT
    assert all(f"skipped {name}: " in said for name in written["skipped"])
    skipped = {name: reason for name, reason in written["skipped"].items() if name in LEROBOT}
    assert names | set(skipped) == LEROBOT and not names & set(skipped)
    if find_spec("lerobot") is None:
        assert all("not installed" in reason for reason in skipped.values())


def test_quick_runs_compile_nothing(report: tuple[dict[str, Any], str]) -> None:
    written, _ = report
    assert written["skipped"].keys() >= COMPILED
    assert all("too long for --quick" in written["skipped"][name] for name in COMPILED)


def test_contests_that_are_not_run_stay_as_they_were(report: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    written, _ = report
    out = tmp_path / "speed.json"
    out.write_text(json.dumps(written), encoding="utf-8")
    first, _ = quick(out, "replay")
    second, _ = quick(out, "pair")

    def of(report: dict[str, Any], *contests: str) -> list[Any]:
        entries = [*report["items"], *report["aims"], *report["ratios"]]
        return [e for e in entries if e.get("name", e.get("faster")).startswith(contests)]

    others = ("environment/", "state/", "iborl/", "vision/", "actor/")
    assert of(first, *others, "pair/") == of(written, *others, "pair/") != []
    assert of(second, *others) == of(written, *others) and of(second, "replay/") == of(first, "replay/") != []
    assert {i["name"] for i in second["items"]} == {i["name"] for i in written["items"]}
    assert second["skipped"] == written["skipped"]
    dates = {contest: then["date"] for contest, then in second["earlier"].items()}
    assert dates == {name.rstrip("/"): written["date"] for name in others} | {"replay": first["date"]}


def test_aims_are_judged_by_what_was_measured(report: tuple[dict[str, Any], str]) -> None:
    written, said = report
    medians = {f"{r['faster']} over {r['slower']}": r["times"][CPU]["median"] for r in written["ratios"]}
    aims = {aim["name"]: aim for aim in written["aims"]}
    assert aims["vision/kept-128 over vision/encode-128"]["at_least"] == 15
    assert aims["vision/kept-64 over vision/encode-64"]["at_least"] == 5
    assert aims["replay/index-select over replay/memcpy"]["at_least"] == 0.8
    for name, aim in aims.items():
        assert aim["measured"] == medians[name] and aim["met"] is (aim["measured"] >= aim["at_least"])
        line = next(line for line in said.splitlines() if line.startswith(name) and ">=" in line)
        assert line.endswith("not met") is not aim["met"]


def test_the_circumstances_are_written_down(report: tuple[dict[str, Any], str]) -> None:
    written, said = report
    assert written["quick"] is True and written["rounds"] == 1
    assert written["command"].startswith("python benchmarks/speed.py") and "--quick" in written["command"]
    assert written["machine"]["torch_threads"] == 1 and written["machine"]["cores"] >= 1
    assert written["versions"]["torch"] == metadata.version("torch")
    assert "only show that everything runs" in said


@pytest.mark.gl
def test_cameras_are_measured(tmp_path: Path) -> None:
    written, _ = quick(tmp_path / "speed.json", "cameras")
    names = {item["name"] for item in written["items"]}
    assert names == {"cameras/steps-64", "cameras/steps-84", "cameras/steps-128", "cameras/pairs-84"}
    check_items(written)
    (aim,) = written["aims"]
    pairs = next(item for item in written["items"] if item["name"] == "cameras/pairs-84")
    assert aim["at_least"] == 300 and aim["measured"] == pairs["per_second"][CPU]


def test_mistaken_flags_are_named(tmp_path: Path) -> None:
    unknown = speed(f"--out={tmp_path / 'x.json'}", "--only=replay,sprint")
    assert unknown.returncode == 1 and unknown.stderr.startswith("error: --only: there is no sprint")
    mixed = tmp_path / "mixed.json"
    mixed.write_text('{"quick": false}')
    both = speed(f"--out={mixed}", "--quick", "--only=replay")
    assert both.returncode == 1 and both.stderr.startswith(f"error: --quick: {mixed} must hold")
    none = speed(f"--out={tmp_path / 'x.json'}", "--rounds=0")
    assert none.returncode == 1 and none.stderr.strip() == "error: --rounds must be at least 1, got 0"
    assert not (tmp_path / "x.json").exists()


def test_contestants_take_turns() -> None:
    order: list[str] = []
    contestants = [
        Contestant("a", lambda: order.append("a"), 2, before_round=lambda: order.append("reset")),
        Contestant("b", lambda: order.append("b"), 1),
    ]
    timings = measure(contestants, rounds=2)
    assert order == ["reset", "a", "b"] + 2 * ["reset", "a", "a", "b"]
    assert [len(calls) for calls in timings["a"].rounds[CPU]] == [2, 2]


def test_ratios_are_taken_within_a_round() -> None:
    # The machine is ten times slower in the second round; the ratio must not notice.
    fast, slow = Timings(), Timings()
    fast.rounds[CPU] = [[1.0, 3.0], [20.0], [1.0]]
    slow.rounds[CPU] = [[4.0], [40.0], [3.0]]
    assert speed_ratio(fast, slow, CPU) == {"median": 2.0, "min": 2.0, "max": 3.0}
    assert fast.quantile(CPU, 0.5) == 3.0 and fast.quantile(CPU, 0.95) == 20.0


def test_the_naive_critics_are_the_same_function() -> None:
    """Otherwise the comparison would be between two different things."""
    torch.manual_seed(0)
    looped, stacked = LoopedCritics(5, 2, members=3, width=8), EnsembleCritic(5, 2, members=3, width=8)
    with torch.no_grad():
        for index, member in enumerate(looped.members):
            linears = [layer for layer in member if isinstance(layer, torch.nn.Linear)]
            norms = [layer for layer in member if isinstance(layer, torch.nn.LayerNorm)]
            for layer, (weight, bias) in enumerate(zip(stacked.weights, stacked.biases, strict=True)):
                linears[layer].weight.copy_(weight[index].T)
                linears[layer].bias.copy_(bias[index, 0])
            for layer, (gain, shift) in enumerate(zip(stacked.gains, stacked.shifts, strict=True)):
                norms[layer].weight.copy_(gain[index, 0])
                norms[layer].bias.copy_(shift[index, 0])
    observation, action = torch.randn(6, 5), torch.randn(6, 2)
    torch.testing.assert_close(looped(observation, action), stacked(observation, action))


def test_the_naive_learner_learns() -> None:
    """A return that is always one is learnt from either half of the batch."""
    torch.manual_seed(0)
    online, demonstrations = ListReplay(), ListReplay()
    for half in (online, demonstrations):
        for _ in range(32):
            start, after = torch.randn(2, 5)
            half.transitions.append((start, torch.rand(2), torch.ones(()), after, torch.zeros(())))
    critics = LoopedCritics(5, 2, members=3, width=32)
    learner = NaiveActorCritic(
        GaussianPolicy(5, 2, width=32, learn_deviation=True), critics, online, demonstrations, action_size=2, batch=32
    )
    observation, action, *_ = online.sample(32)
    before = (critics(observation, action) - 1).square().mean().item()
    for _ in range(30):
        assert math.isfinite(learner.update())
    assert (critics(observation, action) - 1).square().mean().item() < 0.3 * before
