"""One self-contained page about one run: opens offline, on a phone, in the light and in the dark."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from dexloop.data.files import write_file
from dexloop.errors import DexloopError
from dexloop.report import plots, summary
from dexloop.report.records import Run, read_run

REPORT = "report.html"
# A page that people send around: about 33 MB with the third that base64 adds.
_MOST_VIDEO_BYTES = 25_000_000


@dataclass(frozen=True, slots=True)
class Clip:
    """A video inside the page: title, and the MP4 as a data URL."""

    title: str
    source: str


@dataclass(frozen=True, slots=True)
class Clips:
    """What the clone did and what the trained policy does; left_out: videos that were too much."""

    before: tuple[Clip, ...]
    after: tuple[Clip, ...]
    left_out: int


def build_report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory from what is there, and return its path.

    A missing part is left out with a sentence; a damaged one is named. The page holds no script and
    refers to nothing outside itself. Raises DexloopError where there is no such directory or it
    cannot be written.
    """
    if not run_dir.is_dir():
        raise DexloopError(f"{run_dir} is not a directory; give the directory of a run, such as runs/grasp")
    path = run_dir / REPORT
    write_file(path, _render(read_run(run_dir)).encode("utf-8"))
    return path


def _render(run: Run) -> str:
    environment = Environment(
        loader=PackageLoader("dexloop.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html").render(
        name=run.directory.resolve().name,
        facts=summary.facts(run),
        headlines=summary.headlines(run),
        results=summary.results(run.evaluations),
        clips=_clips(run.directory / "videos"),
        curves=plots.curves(run.metrics),
        reward=summary.reward_facts(run.reward),
        config=json.dumps(run.config, indent=2, ensure_ascii=False) if run.config else "",
        problems=run.problems,
    )


def _clips(directory: Path) -> Clips:
    """The clips of a run, one of each side in turn until the page is full."""
    before, after = (sorted(directory.glob(f"{side}_*.mp4")) for side in ("before", "after"))
    taken: dict[Path, Clip] = {}
    size = 0
    for path in sorted([*before, *after], key=lambda path: path.name.partition("_")[2]):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if size + len(content) > _MOST_VIDEO_BYTES:
            continue
        size += len(content)
        taken[path] = Clip(_title(path), "data:video/mp4;base64," + base64.b64encode(content).decode("ascii"))
    return Clips(
        before=tuple(taken[path] for path in before if path in taken),
        after=tuple(taken[path] for path in after if path in taken),
        left_out=len(before) + len(after) - len(taken),
    )


def _title(path: Path) -> str:
    """What a clip shows, from SIDE_POLICY_TRIAL_OUTCOME.mp4; of other names what follows the side."""
    shown = path.stem.partition("_")[2]
    match shown.rsplit("_", 2):
        case [policy, trial, outcome] if trial.isdecimal():
            return f"{summary.policy_name(policy)}, trial {trial}: {outcome}"
        case _:
            return shown.replace("_", " ")
