"""What docs/results and the README claim is what the raw data beside them says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dexloop.bench.results import Entry, read_cells
from dexloop.bench.tables import ablation_table, pool, robustness_table, table_1, table_2

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "results.py"
RESULTS = ROOT / "docs" / "results"


def results(*words: object) -> str:
    done = subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_page_shows_the_table_that_its_raw_data_gives() -> None:
    page = (RESULTS / "history.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in results("table", RESULTS / "cup-full").splitlines()}
    shown_as = {"iborl": "`iborl`", "iborl_ablated": "`iborl_ablated`", "bc": "behaviour cloning", "rlpd": "`rlpd`"}
    for policy, named in ((f"| {name}", shown) for name, shown in shown_as.items()):
        seeds, success, interval, steps = rows[policy][:4]
        shown = next(line for line in page.splitlines() if line.startswith(f"| {named} | {seeds} |"))
        assert success.partition(" (")[0] in shown and interval in shown and steps in shown


@pytest.fixture(scope="module")
def cells() -> list[Entry]:
    return read_cells(RESULTS / "table2")


def test_the_papers_tables_are_those_that_their_cells_give(cells: list[Entry]) -> None:
    page = (RESULTS / "README.md").read_text(encoding="utf-8").splitlines()
    disturbed, changed = read_cells(RESULTS / "robustness"), read_cells(RESULTS / "ablations")
    from_state = table_2(read_cells(RESULTS / "table2-state"))
    tables = (table_1(cells), table_2(cells), from_state, robustness_table(disturbed), ablation_table(changed))
    lines = [line for table in tables for line in table.splitlines()]
    assert len(lines) > 10 and [line for line in lines if line not in page] == []


@pytest.mark.parametrize("folder", ["table2-policy", "table2-targets", "table2-paces"])
def test_the_tables_of_former_defaults_are_those_that_their_cells_give(folder: str) -> None:
    page = (RESULTS / "history.md").read_text(encoding="utf-8").splitlines()
    lines = table_2(read_cells(RESULTS / folder)).splitlines()
    assert len(lines) > 10 and [line for line in lines if line not in page] == []


def test_the_readme_shows_the_same_rounded(cells: list[Entry]) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for row in pool([cell for cell in cells if cell["policy"] in ("bc", "iborl")]):
        named = "doll" if row.task == "loopy" else row.task
        shown = next(line for line in page if line.startswith(f"| {named} |"))
        assert row.steps and f"{100 * row.rate:.0f} %, {row.steps[0]:.0f} steps" in shown


def test_the_readme_shows_the_other_methods_too(cells: list[Entry]) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    named = {
        "act": "ACT",
        "rlpd": "RLPD",
        "iborl_ablated": "IBORL without its regulariser",
        "iborl_paper": "IBORL as the paper writes it",
    }
    for row in pool([cell for cell in cells if cell["policy"] in named]):
        shown = next(line for line in page if line.startswith(f"| {named[row.policy]} |")).split(" | ")
        steps = f", {row.steps[0]:.0f} steps" if row.steps else ""
        column = 1 + ("cup", "cube", "scanner", "loopy").index(row.task)
        assert shown[column].removesuffix(" |") == f"{round(100 * row.rate, 1):g} %{steps}"


def test_what_is_kept_of_a_run_is_its_own_data(finished_run: Path, tmp_path: Path) -> None:
    results("keep", finished_run, tmp_path / "kept")
    for name, source in (("config.json", "config.json"), ("evaluation.json", "evaluation.json")):
        assert (tmp_path / "kept" / name).read_bytes() == (finished_run / source).read_bytes()
    episodes = json.loads((tmp_path / "kept" / "episodes.json").read_text())
    lines = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    assert [e["length"] for e in episodes] == [e["length"] for e in lines if e["kind"] == "episode"]
    assert episodes
