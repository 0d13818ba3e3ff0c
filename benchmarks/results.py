"""Keep a finished run's raw data, pool the seeds of one configuration, and show policies beside each other.

python benchmarks/results.py keep runs/cup docs/results/cup-full/1-iborl
python benchmarks/results.py table docs/results/cup-full
python benchmarks/results.py strips runs/cup docs/results/cup-full/strips.png
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import tyro

from dexloop.bench.strips import run_strips
from dexloop.errors import DexloopError
from dexloop.report.statistics import bootstrap_mean, wilson_interval

_KEPT_OF_EPISODES = ("episode", "robot_minutes", "success", "true_success", "length")


def keep(run: Path, out: Path) -> None:
    """Copy what a claim rests on: configuration, evaluation, classifier, the outcome of every online episode."""
    out.mkdir(parents=True, exist_ok=True)
    for name, path in {
        "config.json": run / "config.json",
        "evaluation.json": run / "evaluation.json",
        "classifier.json": run / "reward" / "metrics.json",
    }.items():
        if path.is_file():
            shutil.copyfile(path, out / name)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    episodes = [{k: e[k] for k in _KEPT_OF_EPISODES} for e in lines if e["kind"] == "episode"]
    rows = ",\n".join(json.dumps(e) for e in episodes)
    (out / "episodes.json").write_text(f"[\n{rows}\n]\n")


def table(results: Path) -> None:
    """Print every policy's success and steps over all runs kept below ``results``, as Markdown."""
    entries: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for path in sorted(results.glob("*/evaluation.json")):
        for entry in json.loads(path.read_text()):
            entries[entry["policy"]][entry["seed"]] = entry
    print("| policy | seeds | success | 95 % interval | steps to success | 95 % interval | robot minutes |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for policy, by_seed in entries.items():
        runs = [by_seed[seed] for seed in sorted(by_seed)]
        done = [[step for step in run["steps"] if step is not None] for run in runs]
        seeds = ", ".join(str(seed) for seed in sorted(by_seed))
        success = interval = "–"
        if policy != "demonstrations":
            good, trials = sum(run["successes"] for run in runs), sum(run["trials"] for run in runs)
            outcomes = [[step is not None for step in run["steps"]] for run in runs]
            low, high = bootstrap_mean(outcomes)[1:] if 0 < good < trials else wilson_interval(good, trials)
            each = ", ".join(str(run["successes"]) for run in runs)
            success = f"{good}/{trials} = {100 * good / trials:.1f} % ({each})"
            interval = f"{100 * low:.1f}–{100 * high:.1f} %"
        steps = spread = "–"
        if all(done):
            mean, low, high = bootstrap_mean(done)
            steps, spread = f"{mean:.1f}", f"{low:.1f}–{high:.1f}"
        minutes = max(run["robot_minutes"] for run in runs)
        print(f"| {policy} | {seeds} | {success} | {interval} | {steps} | {spread} | {minutes:.1f} |")


def strips(run: Path, out: Path, every: float = 1.0, pictures: int = 7, trial: int = 0) -> None:
    """Draw a demonstration, the clone and the policy at the same moments of their episodes.

    Args:
        run: A trained run.
        out: PNG file.
        every: Time between two pictures [s].
        pictures: How many of them.
        trial: Which of the test seeds the two policies are shown on.
    """
    run_strips(run, out, every, pictures, trial)
    print(f"{out}: green frames are after success")


if __name__ == "__main__":
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"keep": keep, "table": table, "strips": strips}, config=(tyro.conf.PositionalRequiredArgs,)
        )
    except DexloopError as error:
        raise SystemExit(f"error: {error}") from None
