"""What the command line shows of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import tyro

from dexloop.config import RunConfig, differing
from dexloop.errors import DexloopError
from dexloop.flags import described, flags_of_configurations
from dexloop.presets import ALGORITHMS, PRESETS

DEMO = PRESETS["demo"]


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Whatever is in doubt. speed [m/s] and turn [rad/s]: of gym:ID, as in "a:b"; width, height: half of

    ``it`` all (see turn: no field here). rest: what is left; e.g. pause.
    """

    speed: float = 1.0
    turn: float = 1.0
    width: int = 1
    height: int = 1
    rest: int = 1
    pause: int = 1


def parsed(*flags: str, default: RunConfig = DEMO) -> RunConfig:
    return tyro.cli(RunConfig, default=default, args=flags, registry=flags_of_configurations())


def help_of(default: RunConfig, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        parsed("--help", default=default)
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_docstrings_are_taken_apart_by_the_fields_they_name() -> None:
    whole, said = described(Doubtful)
    assert whole == "Whatever is in doubt."
    assert said == {
        "speed": 'of gym:ID, as in "a:b" [m/s]',
        "turn": 'of gym:ID, as in "a:b" [rad/s]',
        "width": "half of it all (see turn: no field here)",
        "height": "half of it all (see turn: no field here)",
        "rest": "what is left; e.g. pause",
    }


def test_flags_change_one_field_each() -> None:
    found = parsed("--algorithm.regulariser.alpha", "2", "--sim.limits.rotation=0.5", "--encoder.keypoints", "8")
    assert found.algorithm.regulariser is not None and found.algorithm.regulariser.alpha == 2.0
    assert differing(DEMO, found) == {
        "--algorithm.regulariser.alpha",
        "--sim.limits.rotation",
        "--encoder.keypoints",
    }
    assert parsed() == DEMO


@pytest.mark.parametrize(
    "flag",
    ["--task", "--sim.task", "--sim.observation", "--sim.privileged", "--sim.end-on-success", "--algorithm.name"],
)
def test_what_is_decided_elsewhere_is_no_flag(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(flag, "cup")
    assert flag in "".join(capsys.readouterr())


def test_what_an_algorithm_leaves_out_has_no_flags(capsys: pytest.CaptureFixture[str]) -> None:
    without = replace(DEMO, algorithm=ALGORITHMS["rlpd"])
    assert parsed("--seed=3", default=without) == replace(without, seed=3)
    assert "--algorithm.regulariser" not in help_of(without, capsys)


def test_help_says_what_each_flag_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(DEMO, capsys)
    assert "--sim.limits.linear-speed FLOAT of the target, per axis [m/s] (default: 0.25)" in said
    assert "--robot STR sim, gym:ID, or grpc://HOST:PORT for a controller (default: sim)" in said
    assert "--algorithm.regulariser.alpha FLOAT weight of the imitation loss (default: 1.0)" in said
    # Neither subcommands nor the documentation of something else.
    assert "regulariser-config" not in said and "Return a new object" not in said


def test_configurations_are_compared_flag_by_flag() -> None:
    other = replace(DEMO, algorithm=ALGORITHMS["iborl_ablated"], task="saucer")
    assert {"--task", "--algorithm.name", "--algorithm.regulariser"} <= differing(DEMO, other)
    assert differing(DEMO, DEMO) == set()


def test_proposals_of_a_clone_need_a_clone() -> None:
    for acts in ("best_proposal", "best_pace"):
        with pytest.raises(DexloopError, match=rf"--algorithm.acts {acts} needs a clone, and rlpd begins without"):
            replace(ALGORITHMS["rlpd"], acts=acts)


@pytest.mark.parametrize("speedup", [0.9, 3.1, float("nan")])
def test_a_speedup_slows_nothing_down_and_stays_near_what_was_seen(speedup: float) -> None:
    with pytest.raises(DexloopError, match=r"--algorithm.speedup must lie in \[1, 3\]"):
        replace(ALGORITHMS["iborl"], speedup=speedup)


@pytest.mark.parametrize("paces", [(), (0.0,), (1.0, 3.1), (1.0, float("nan"))])
def test_paces_that_cannot_be_meant_are_refused(paces: tuple[float, ...]) -> None:
    with pytest.raises(DexloopError, match=r"--algorithm.paces must be numbers in \(0, 3\]"):
        replace(ALGORITHMS["iborl"], paces=paces)


@pytest.mark.parametrize("caution", [-1.0, float("inf"), float("nan")])
def test_a_caution_that_cannot_be_meant_is_refused(caution: float) -> None:
    with pytest.raises(DexloopError, match=r"--algorithm.caution must be finite and not negative"):
        replace(ALGORITHMS["iborl"], caution=caution)
