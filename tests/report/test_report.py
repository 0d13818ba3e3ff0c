from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.digests import digest

from dexloop.errors import DexloopError
from dexloop.report.build import build_report
from dexloop.report.records import read_run
from dexloop.report.summary import facts, headlines, ordered, policy_name, results
from dexloop.report.video import write_video


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def _entry(policy: str, successes: int, trials: int = 50, **more: Any) -> dict[str, Any]:
    return {
        "policy": policy,
        "task": "grasp",
        "seed": 3,
        "observation": "images",
        "reward": "classifier",
        "trials": trials,
        "successes": successes,
        "success_rate": successes / trials,
        "mean_steps": 40.0,
        "control_hz": 10.0,
        "image_size": 64,
        "robot_minutes": 48.3,
        "wall_seconds": 3000.0,
        "operator_steps": 12,
    } | more


def _metrics(episodes: int = 60) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for index in range(episodes):
        step, won = 50 * (index + 1), index % 3 > 0
        rows.append(
            {
                "kind": "episode",
                "step": step,
                "episode": index,
                "success": int(won),
                "true_success": won and index % 10 > 0,
                "length": 50 - index // 3,
                "return": float(won),
                "robot_minutes": step / 500,
                "policy_version": index,
                "control_hz": 10.0,
            }
        )
        rows.append(
            {
                "kind": "update",
                "step": step,
                "updates": step,
                "critic_loss": 0.1,
                "q_mean": 0.5,
                "return_mean": 0.4,
                "bc_weight": 1 / (index + 1),
                "updates_per_second": 40.0,
            }
        )
    return rows


def _config(algorithm: str = "iborl", **more: Any) -> dict[str, Any]:
    """What config.json holds of a run in the simulation, in short."""
    return {
        "format": 1,
        "config": {
            "task": "grasp",
            "robot": "sim",
            "seed": 3,
            "observation": "images",
            "reward": "classifier",
            "sim": {"control_hz": 10.0, "image_size": 64},
            "algorithm": {"name": algorithm},
        }
        | more,
        "dexloop_version": "0.1.0",
        "host": {"platform": "Linux-6.1", "processor": "x86_64", "cores": 2, "python": "3.11.7"},
    }


def _write(directory: Path, **files: object) -> None:
    for name, content in files.items():
        path = directory / {"reward": "reward/metrics.json"}.get(name, f"{name}.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))


def _write_metrics(directory: Path, rows: list[dict[str, Any]], torn: str = "") -> None:
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    _write(
        tmp_path,
        config=_config(),
        evaluation=[
            _entry("iborl", 49, ci95=[0.895, 0.996], classifier_disagreement=0.02),
            _entry("bc", 31, mean_steps=52.0),
            _entry("demonstrations", 30, 30),
            _entry("mine", 1),
            _entry("rlpd", 12),
            _entry("iborl_ablated", 37),
        ],
        reward={
            "precision": 0.991,
            "recall": 0.962,
            "false_positives_per_failed_episode": 0.04,
            "threshold": 0.83,
            "positives": 1240,
            "negatives": 8300,
            "episodes": 18,
        },
    )
    _write_metrics(tmp_path, _metrics(), torn='{"kind": "epis')
    frames = np.random.default_rng(0).integers(0, 255, (4, 64, 128, 3), np.uint8)
    for name in ("before_trial_0", "before_trial_1", "after_trial_0"):
        write_video(tmp_path / "videos" / f"{name}.mp4", frames, 10)
    return tmp_path


def test_a_whole_run_is_told_in_one_file(run: Path) -> None:
    path = build_report(run)
    page = Page(path)
    assert path == run / "report.html"
    for words in (
        "Task grasp",
        "Reward classifier",
        "Control rate 10 Hz",
        "Image size 64 pixels",
        "Version 0.1.0",
        "Machine Linux-6.1, x86_64, 2 cores, Python 3.11.7",
        "Success of IBORL 98 % 49 of 50 trials; the clone: 62 %",
        "Cycle time 4.0 s mean of the successful trials; the clone: 5.2 s",
        "49 of 50; 90 \N{EN DASH} 100 %",
        "99.1 %",
        "held-out frames of 18 episodes",
        "0.04 per failed episode",
    ):
        assert words in page.text
    assert page.count("svg") == 5
    assert "missing" not in page.text and "left out" not in page.text


def test_policies_stand_in_the_order_of_learning(run: Path) -> None:
    source = Page(build_report(run)).source
    rows = re.findall(r'<th scope="row">(.*?)</th>', source)
    assert rows == ["Demonstrations", "Behaviour cloning", "RLPD", "IBORL†", "IBORL", "mine"]
    bars = re.findall(r"left:([\d.]+)%;right:([\d.]+)%", source)
    assert bars[4] == ("89.50", "0.40")
    # RLPD's entry has no interval; Wilson's of 12 in 50 takes its place.
    assert float(bars[2][0]) == pytest.approx(14.3, abs=0.1)


def _headline(directory: Path, config: object, *policies: str) -> str:
    """What the report puts first, of a run in which these policies were evaluated."""
    _write(directory, config=config, evaluation=[_entry(policy, 10) for policy in policies])
    return next((fact.name for fact in headlines(read_run(directory))), "")


OTHERS = ("demonstrations", "blank_images", "bc on lift", "rlpd on lift", "iborl on lift", "zzz")


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("iborl", "IBORL"),
        ("iborl_policy", "IBORL, learning its policy"),
        ("iborl_paper", "IBORL as published"),
        ("iborl_ablated", "IBORL\N{DAGGER}"),
        ("rlpd", "RLPD"),
        ("mine", "mine"),
    ],
)
def test_the_headline_is_of_what_the_run_learned(tmp_path: Path, algorithm: str, name: str) -> None:
    assert _headline(tmp_path, _config(algorithm), *OTHERS, "distilled", "bc", algorithm) == f"Success of {name}"


def test_without_a_trained_policy_the_headline_is_the_clones(tmp_path: Path) -> None:
    assert _headline(tmp_path, _config(), *OTHERS, "act", "distilled", "bc") == "Success of Behaviour cloning"
    assert _headline(tmp_path, _config(), "blank_images", "bc on lift", "demonstrations") == ""


def test_without_a_configuration_the_headline_is_of_what_is_known_to_learn(tmp_path: Path) -> None:
    assert _headline(tmp_path, {}, *OTHERS, "bc", "rlpd", "act") == "Success of RLPD"


def test_the_control_and_other_robots_stand_last_and_have_names_for_people(tmp_path: Path) -> None:
    policies = ("iborl on lift", "blank_images", "bc on lift", "mine", "iborl", "act", "iborl (tuning trials)")
    _write(tmp_path, evaluation=[_entry(policy, 10) for policy in policies])
    shown = [policy_name(entry.policy) for entry in ordered(read_run(tmp_path).evaluations)]
    assert shown == [
        "ACT",
        "IBORL",
        "IBORL (tuning trials)",
        "mine",
        "Control: blank images",
        "Behaviour cloning on lift",
        "IBORL on lift",
    ]
    text = Page(build_report(tmp_path)).text
    assert "Blank images: the trained policy, shown grey pictures." in text
    assert "their 100 % says nothing" not in text and "IBORL\N{DAGGER}" not in text


def test_an_evaluation_that_was_broken_off_is_not_shown_as_whole(tmp_path: Path) -> None:
    broken = {"unfinished": {"trials": 40, "why": "evaluate bc: watchdog, after 3 of 40 trials"}}
    _write(tmp_path, config=_config(), evaluation=[_entry("bc", 2, 3, **broken), _entry("iborl", 49)])
    rows = {row.name: row.so_far for row in results(read_run(tmp_path).evaluations).rows}
    assert rows == {"Behaviour cloning": "3 of 40 trials so far", "IBORL": ""}
    text = Page(build_report(tmp_path)).text
    assert "49 of 50 trials; the clone: 67 % (3 of 40 trials so far)" in text
    assert text.count("3 of 40 trials so far") == 2
    _write(tmp_path, evaluation=[_entry("iborl", 1, 3, **broken)])
    assert "1 of 3 trials; 3 of 40 trials so far" in Page(build_report(tmp_path)).text


@pytest.mark.parametrize(
    ("changes", "entries", "rate", "size"),
    [
        ({}, [], "10 Hz", "64 pixels"),
        ({}, [_entry("bc", 1, control_hz=20.0, image_size=128)], "20 Hz", "128 pixels"),
        ({}, [_entry("bc on lift", 1, control_hz=20.0, image_size=128)], "10 Hz", "64 pixels"),
        ({"observation": "privileged"}, [], "10 Hz", None),
        ({"observation": "privileged"}, [_entry("bc", 1, image_size=None)], "10 Hz", None),
        ({"robot": "gym:Dot"}, [], None, None),
        (
            {"robot": "grpc://127.0.0.1:50051"},
            [_entry("bc", 1, control_hz=7.5, image_size=480)],
            "7.5 Hz",
            "480 pixels",
        ),
        ({"robot": "gym:Dot"}, [_entry("bc", 1, control_hz=25, image_size=None)], "25 Hz", None),
    ],
)
def test_rate_and_pictures_are_the_robots_own(
    tmp_path: Path, changes: dict[str, Any], entries: list[Any], rate: str | None, size: str | None
) -> None:
    _write(tmp_path, config=_config(**changes), evaluation=entries)
    told = {fact.name: fact.value for fact in facts(read_run(tmp_path))}
    assert (told.get("Control rate"), told.get("Image size")) == (rate, size)
    assert told["Seed"] == "3"


def test_what_was_run_is_also_told_by_evaluations_alone(tmp_path: Path) -> None:
    _write(tmp_path, evaluation=[_entry("bc", 1, seed=0)])
    told = {fact.name: fact.value for fact in facts(read_run(tmp_path))}
    assert told["Task"] == "grasp" and told["Reward"] == "classifier" and told["Seed"] == "0"
    assert "Version" not in told and "Machine" not in told


def test_who_judged_is_told_where_it_was_not_the_simulation(tmp_path: Path) -> None:
    for judge, told in (("person", True), ("simulation", False)):
        entries = [_entry("demonstrations", 3, 3), _entry("bc", 31, judged_by=judge)]
        (tmp_path / "evaluation.json").write_text(json.dumps(entries))
        assert ("Judged by" in Page(build_report(tmp_path)).text) is told
        (row,) = [row for row in results(read_run(tmp_path).evaluations).rows if row.count == "31 of 50"]
        assert (judge in row.cells) is told


def test_the_page_refers_to_nothing_outside_itself(run: Path) -> None:
    page = Page(build_report(run))
    assert page.count("script") == page.count("link") == page.count("iframe") == 0
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"base64,[\w+/=]*", "", page.source))
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:video/mp4;base64,"))
    assert "prefers-color-scheme: dark" in page.source
    assert "width=device-width" in page.source
    drawn = re.findall(r"<svg.*?</svg>", page.source, re.DOTALL)
    assert not any(re.search(r"#[0-9a-f]{6}\b(?!\w)", svg.replace("xlink:href", "")) for svg in drawn)


def test_videos_are_carried_whole_and_beside_each_other(run: Path) -> None:
    page = Page(build_report(run))
    videos = [attributes for tag, attributes in page.elements if tag == "video"]
    assert len(videos) == 3 and all("controls" in video for video in videos)
    carried = base64.b64decode(str(videos[2]["src"]).partition(",")[2])
    assert digest(carried) == digest(run / "videos" / "after_trial_0.mp4")
    assert page.text.index("Before: the clone") < page.text.index("After: trained")


def test_a_video_says_whose_trial_it_shows_and_how_it_ended(tmp_path: Path) -> None:
    for name in ("before_bc_0_failure", "after_iborl_policy_2_success", "after_a_look_around"):
        write_video(tmp_path / "videos" / f"{name}.mp4", np.zeros((1, 64, 64, 3), np.uint8), 10)
    text = Page(build_report(tmp_path)).text
    assert "Behaviour cloning, trial 0: failure" in text
    assert "IBORL, learning its policy, trial 2: success" in text
    assert "a look around" in text


def test_text_from_files_cannot_become_markup(run: Path) -> None:
    attack = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>$\\frac{$"
    _write(
        run,
        config={"task": attack, attack: {"deep": attack}},
        evaluation=[_entry(attack, 3, reward=attack), _entry("bc", 3, observation='"><script>')],
    )
    _write_metrics(run, [*_metrics(), {"kind": attack}])
    write_video(run / "videos" / "after_<script>.mp4", np.zeros((1, 64, 64, 3), np.uint8), 10)
    page = Page(build_report(run))
    assert page.count("script") == page.count("img") == 0
    assert page.text.count(attack) >= 4


def test_every_part_may_be_missing(tmp_path: Path) -> None:
    page = Page(build_report(tmp_path))
    for sentence in (
        "no config.json",
        "No policy has been evaluated yet",
        "This run has no videos",
        "no training curves",
        "No reward classifier was trained",
    ):
        assert sentence in page.text


DAMAGED = [b"", b"{", b"[]", b"null", b"7", b'{"a": [1, {}]}', b"\xff\xfe", b"[" * 100_000, b'[{"policy": 1}]']
PARTS = ("config.json", "evaluation.json", "metrics.jsonl", "reward/metrics.json")


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_parts_never_stop_the_report(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "reward").mkdir()
    for part in PARTS:
        (tmp_path / part).write_bytes(content)
    assert "No policy has been evaluated yet" in Page(build_report(tmp_path)).text


@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_part_leaves_the_others_whole(run: Path, part: str) -> None:
    whole = read_run(run)
    (run / part).write_bytes(b"\xff{\n{")
    damaged = read_run(run)
    assert len(damaged.problems) == 1 and part.split("/")[-1] in damaged.problems[0]
    kept = {
        "config.json": damaged.config == whole.config,
        "evaluation.json": damaged.evaluations == whole.evaluations,
        "metrics.jsonl": damaged.metrics == whole.metrics,
        "reward/metrics.json": damaged.reward == whole.reward,
    }
    assert [name for name, same in kept.items() if not same] == [part]


def test_odd_numbers_are_left_out_one_by_one(run: Path) -> None:
    rows = _metrics()
    rows[0] |= {"robot_minutes": None, "episode": [], "success": "yes", "length": 10**400}
    rows[1] |= {"q_mean": float("nan"), "bc_weight": float("inf"), "step": "x"}
    _write_metrics(run, rows)
    _write(run, evaluation=[_entry("bc", 5, ci95=["a", None], seed="x"), _entry("rlpd", 9, 3), 4])
    page = Page(build_report(run))
    assert page.count("svg") == 5
    assert "5 of 50" in page.text
    assert "entries without a policy and its trials" in page.text


def test_a_torn_last_line_is_silent_and_a_damaged_one_is_told(run: Path) -> None:
    assert read_run(run).problems == ()
    lines = (run / "metrics.jsonl").read_text().split("\n")
    (run / "metrics.jsonl").write_text("\n".join([*lines[:4], "{oops", *lines[4:]]))
    told = read_run(run)
    assert told.problems == ("metrics.jsonl has damaged lines, which are left out: 1.",)
    assert len(told.metrics.episodes) == 60


def test_an_episode_whose_number_was_used_again_counts_once(run: Path) -> None:
    rows = _metrics(10)
    _write_metrics(run, [*rows, rows[6] | {"length": 7}])
    episodes = read_run(run).metrics.episodes
    assert len(episodes) == 10
    assert episodes.column("length")[3] == 7


def test_a_run_without_robot_minutes_is_drawn_over_steps(run: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "robot_minutes"} for row in _metrics()]
    _write_metrics(run, rows)
    source = build_report(run).read_text()
    assert "Control steps</text>" in source and "Robot time [min]</text>" not in source


STANDING = {"q_mean": 0.0, "return_mean": 0.0, "bc_weight": 0.0, "updates_per_second": 0.0}


@pytest.mark.parametrize(
    ("rows", "drawn"),
    [
        ([{"kind": "episode", "step": 50, "episode": 0, "success": 0, "length": 50, "robot_minutes": 0.1}], 1),
        ([{"kind": "episode", "step": 50, "episode": 0, "success": 1, "length": 50, "robot_minutes": 0.1}], 2),
        ([{"kind": "episode", "step": 50, "episode": 0, "success": 0, "length": 50, "control_hz": 60.0}], 2),
        ([{"kind": "void", "fault": "watchdog", "length": 3, "robot_seconds": 2.0, "robot_minutes": 0.1}], 0),
        ([{"kind": "update", "step": 0, **STANDING}], 3),
        ([{"kind": "update", "step": 0, **STANDING}, {"kind": "update", "step": 9, "q_mean": -5.0}], 3),
        ([{"kind": "update", "q_mean": 1.0}], 0),
    ],
)
def test_a_run_that_has_just_begun_is_drawn(tmp_path: Path, rows: list[dict[str, Any]], drawn: int) -> None:
    _write_metrics(tmp_path, rows)
    assert Page(build_report(tmp_path)).count("svg") == drawn


def test_the_same_run_gives_the_same_page_of_modest_size(run: Path) -> None:
    _write_metrics(run, _metrics(5000))
    page = build_report(run)
    first, size = digest(page), page.stat().st_size
    assert digest(build_report(run)) == first
    videos = sum(path.stat().st_size for path in (run / "videos").iterdir())
    assert size - videos * 4 / 3 < 1_500_000


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DexloopError, match="nowhere is not a directory"):
        build_report(tmp_path / "nowhere")
