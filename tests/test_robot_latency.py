"""The latency benchmark runs, writes what it promises, and judges it rightly."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CONTESTANTS = {"dexloop, raw", "dexloop, JPEG", "bare gRPC stream", "HTTP/1.1"}


@pytest.fixture(scope="module", autouse=True)
def _beside_each_other() -> Iterator[None]:
    """The benchmark's modules import each other as scripts do."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def latency(*flags: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(BENCHMARKS / "robot_latency.py"), "--quick", "--no-images", *flags]
    return subprocess.run(line, capture_output=True, text=True, timeout=250)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What a quick run writes beside the run of another priority, and what it prints."""
    out = tmp_path_factory.mktemp("latency") / "robot-latency.json"
    out.write_text('{"nice 3": {"quick": true}}', encoding="utf-8")
    done = latency(f"--out={out}")
    assert done.returncode == 0, done.stderr[-2000:]
    reports = json.loads(out.read_text(encoding="utf-8"))
    assert reports["nice 3"] == {"quick": True}
    return reports["nice 0"], done.stdout


def check_positive(numbers: dict[str, float]) -> None:
    assert all(math.isfinite(value) and value > 0 for value in numbers.values()), numbers


@pytest.mark.slow
def test_every_contestant_makes_its_round_trips(written: tuple[dict[str, Any], str]) -> None:
    report, said = written
    trips = report["round_trips"]
    check_positive(trips["bytes"])
    # Two pictures of 128 by 128, and little more.
    assert 98_304 < trips["bytes"]["observation_raw"] < 99_000 > 5 * trips["bytes"]["observation_jpeg"]
    assert trips["contestants"].keys() == CONTESTANTS
    for name, entry in trips["contestants"].items():
        assert name in said and len(entry["blocks"]) == trips["blocks"]
        for times in (entry["median_block"], entry["all_trips"], *entry["blocks"]):
            check_positive(times)
            assert times["p50"] <= times["p90"] <= times["p99"]


@pytest.mark.slow
def test_control_periods_are_as_long_as_they_must_be(written: tuple[dict[str, Any], str]) -> None:
    report, _ = written
    rate = report["control_rate"]
    assert rate["learner_updates"] > 0 and "control periods" in rate["service_says"]
    assert rate["conditions"].keys() == {"without a learner", "beside a learner"}
    for entry in rate["conditions"].values():
        check_positive(entry["period_ms"])
        assert entry["periods"] >= 10 and 0 <= entry["late_share"] <= 1 and entry["faults"] == []
        # A busy machine may delay a period, but time passes no faster or slower.
        assert entry["period_ms"]["p50"] == pytest.approx(1e3 / rate["control_hz"], abs=10)


@pytest.mark.slow
def test_the_robot_rests_after_its_client_was_killed(written: tuple[dict[str, Any], str]) -> None:
    report, _ = written
    loss = report["client_loss"]
    assert len(loss["raw_ms"]) == loss["kills"] == 2
    for times in (loss["noticed_ms"], loss["at_rest_ms"]):
        check_positive(times)
        assert times["max"] < 2_000
    # A client that was slow may have been killed when the robot was braking already.
    assert all(math.isfinite(hold) and hold < rest for _, hold, rest in loss["raw_ms"])


@pytest.mark.slow
def test_aims_are_judged_by_what_was_measured(written: tuple[dict[str, Any], str]) -> None:
    report, said = written
    raw = report["round_trips"]["contestants"]["dexloop, raw"]["median_block"]
    late = report["control_rate"]["conditions"]["beside a learner"]["late_share"]
    measured = [(aim["measured"], aim["at_most"]) for aim in report["aims"]]
    periods = report["client_loss"]["hold_begins_periods"]
    assert measured == [(raw["p50"], 1), (raw["p99"], 5), (late, 0.02), (periods, 2)]
    for aim in report["aims"]:
        assert aim["met"] is (aim["measured"] <= aim["at_most"])
        line = next(line for line in said.splitlines() if line.startswith(aim["name"]))
        assert line.endswith("not met") is not aim["met"]


@pytest.mark.slow
def test_the_circumstances_are_written_down(written: tuple[dict[str, Any], str]) -> None:
    report, said = written
    assert report["quick"] is True and "--quick" in report["command"] and "only show" in said
    assert report["machine"]["cores"] >= 1 and report["versions"].keys() >= {"grpcio", "protobuf", "av", "dexloop"}
    for part in ("round_trips", "control_rate", "client_loss"):
        assert report[f"beside_{part}"].keys() == {"load_average_before", "load_average_after", "other_processes"}


def test_numbers_of_two_kinds_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "mixed.json"
    out.write_text('{"SCHED_FIFO": {"quick": false}}', encoding="utf-8")
    done = latency(f"--out={out}")
    assert done.returncode == 1 and done.stderr.startswith(f"error: --quick: {out} must hold numbers of one kind")


def test_lateness_is_measured_on_a_grid_that_does_not_drift() -> None:
    from control_rate import HZ, late_by

    due = 7.0 + np.arange(8) / HZ
    late = np.array([0.002, 0.0, 0.011, 0.0, 0.0, 0.003, 0.0, 0.0])
    # One that was late delays none after it, and one that nobody saw shifts none.
    kept = np.array([0, 1, 2, 3, 5, 6, 7])
    np.testing.assert_allclose(late_by((due + late)[kept]), late[kept], atol=1e-9)


def test_hold_begins_with_the_braking_and_not_with_the_rest() -> None:
    from client_loss import hold_and_rest

    speeds = np.array([0.4, 1.0, 1.0, 0.97, 1.0, 0.6, 0.3, 0.0, 0.0])
    times = 0.01 * np.arange(len(speeds) + 1)
    joints = np.zeros((len(times), 6))
    joints[1:, 2] = np.cumsum(speeds)
    hold, rest = hold_and_rest(times, joints, killed=0.045)
    assert (hold, rest) == (pytest.approx(0.06), pytest.approx(0.08))
    with pytest.raises(ValueError, match="did not move"):
        hold_and_rest(times, np.zeros_like(joints), killed=0.045)
