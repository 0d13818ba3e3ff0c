"""What ``dexloop bench`` does: run the missing cells of a study, then print its table or draw its figure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dexloop.bench.cell import Cell
from dexloop.bench.figures import figure_4, figure_5
from dexloop.bench.results import Entry, cell_path, read_cells
from dexloop.bench.running import cell_directory
from dexloop.bench.strips import check_has_pictures, figure_3
from dexloop.bench.studies import POLICIES, Selection, ablation_cells, paper_cells, robustness_cells
from dexloop.bench.tables import ablation_table, robustness_table, table_1, table_2
from dexloop.bench.work import run_cells
from dexloop.errors import DexloopError, unknown
from dexloop.pipeline.verbs import open_run
from dexloop.progress import say

STUDIES = ("table1", "table2", "figure3", "figure4", "figure5", "ablations", "robustness")
_POLICIES = {
    "table1": ("bc", "iborl"),
    "figure3": ("iborl",),
    "figure4": ("bc", "act", "iborl"),
    "figure5": ("iborl_paper", "iborl_policy"),
}
"""What a table or figure is made of, if not of everything."""
_TABLES: dict[str, Callable[[Sequence[Entry]], str]] = {
    "table1": table_1,
    "table2": table_2,
    "ablations": ablation_table,
    "robustness": robustness_table,
}
_FIGURES: dict[str, Callable[[Sequence[Entry], Path], None]] = {"figure4": figure_4, "figure5": figure_5}


def bench(study: str, selection: Selection, runs: Path, out: Path, *, jobs: int, run: bool) -> None:
    """Run the missing cells of a study, or of a selection of it, and show it; ``run`` False only shows what is there.

    runs: where run directories go. out: the folder of all results; both tables and the figures share ``table2``, and
    policies that see the simulation's state have folders of their own. Raises DexloopError for an unknown study, task
    or policy, for a selection that the study is not made of, and when a cell could not be run.
    """
    if study not in STUDIES:
        raise unknown("STUDY", study, STUDIES)
    if jobs < 1:
        raise DexloopError(f"--jobs must be at least 1, got {jobs}")
    if study == "figure3":
        check_has_pictures(selection.observation)
    results = results_folder(study, selection, out)
    cells = _cells(study, selection)
    if run:
        run_cells(cells, runs, results, " ".join(["dexloop", *sys.argv[1:]]), jobs)
    _show(study, cells, runs, results)


def results_folder(study: str, selection: Selection, out: Path) -> Path:
    """Where the cells of a study lie."""
    seen = "state" if selection.observation == "privileged" else "images"
    usual = "state" if study == "ablations" else "images"
    name = study if study in ("ablations", "robustness") else "table2"
    return out / (name if seen == usual else f"{name}-{seen}")


def _cells(study: str, selection: Selection) -> list[Cell]:
    if study == "ablations":
        return ablation_cells(selection)
    if study == "robustness":
        return robustness_cells(selection)
    wanted = _POLICIES.get(study, POLICIES)
    cells = [cell for cell in paper_cells(selection) if cell.policy in wanted]
    if not cells:
        asked = " ".join(selection.policies)
        raise DexloopError(f"--policies {asked}: {study} is made of other policies: {', '.join(wanted)}")
    return cells


def _show(study: str, cells: Sequence[Cell], runs: Path, results: Path) -> None:
    """Print or draw the cells of a study that are there, also those of other seeds or made on other machines."""
    there = read_cells(results)
    wanted = {(cell.config.task, cell.policy) for cell in cells}
    shown = [entry for entry in there if (entry["task"], entry["policy"]) in wanted]
    if not shown:
        raise DexloopError(f"{results} has no cell of {study} yet; the command without --show runs them")
    missing = sum(not cell_path(results, cell).is_file() for cell in cells)
    if missing:
        say(f"{missing} of {len(cells)} cells are not there yet")
    if study in _TABLES:
        print(_TABLES[study](shown), end="")
        return
    picture = results.with_name(study if results.name == "table2" else f"{study}-state") / f"{study}.png"
    if study == "figure3":
        finished = _first_of_tasks([cell for cell in cells if cell_path(results, cell).is_file()], runs)
        figure_3({cell.config.task: open_run(cell_directory(cell, runs)) for cell in finished}, picture)
    else:
        _FIGURES[study](shown, picture)
    say(f"figure: {picture}")


def _first_of_tasks(cells: Sequence[Cell], runs: Path) -> list[Cell]:
    """For each task the first cell whose run is still here."""
    first: dict[str, Cell] = {}
    for cell in cells:
        if (cell_directory(cell, runs) / "policy").is_dir():
            first.setdefault(cell.config.task, cell)
    if not first:
        raise DexloopError(f"{runs} has no trained run to draw; figure 3 needs one here, not only its results")
    return list(first.values())
