"""The command line: tyro over the verbs of ``dexloop.pipeline``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexloop.config import RunConfig, read_config
from dexloop.errors import DexloopError, unknown
from dexloop.pipeline import verbs
from dexloop.presets import PRESETS
from dexloop.progress import say

RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="A run directory.")]
TaskName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK", help="For example: cup.")]
Settings = Annotated[RunConfig, tyro.conf.arg(name="")]
PresetName = Literal["demo", "full", "smoke"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 for success, 1 for a user's error, 130 for Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        defaults = _defaults(given)
        tyro.extras.subcommand_cli_from_dict(
            _commands(defaults),
            prog="dexloop",
            description="Teach a robot with a dexterous hand: record, clone, improve online, evaluate.",
            args=given,
        )
    except DexloopError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; everything finished is on the disk, the same command with --resume goes on")
        return 130
    return 0


def _defaults(given: Sequence[str]) -> RunConfig:
    """The configuration that flags start from: --config FILE, or --preset NAME, or the demo's."""
    if path := _value(given, "--config"):
        return read_config(Path(path))
    name = _value(given, "--preset") or "demo"
    if name not in PRESETS:
        raise unknown("--preset", name, PRESETS)
    return PRESETS[name]


def _value(given: Sequence[str], flag: str) -> str | None:
    for index, word in enumerate(given):
        if word == flag and index + 1 < len(given):
            return given[index + 1]
        if word.startswith(f"{flag}="):
            return word.split("=", 1)[1]
    return None


def _commands(defaults: RunConfig) -> dict[str, Callable[..., None]]:
    def run(
        task: TaskName,
        out: Path | None = None,
        preset: PresetName = "demo",
        config: Path | None = None,
        resume: bool = False,
        settings: Settings = defaults,
    ) -> None:
        """The whole way: demonstrations, clone, rollouts, reward, online training, evaluation, report.

        Args:
            task: What to learn.
            out: Run directory; runs/TASK without it.
            preset: Where the other settings start from.
            config: A config.json to start from instead.
            resume: Go on with a run that was interrupted.
            settings: Everything else.
        """
        verbs.run(verbs.begin(task, out, settings, resume=resume))

    def record(
        task: TaskName,
        out: Path | None = None,
        preset: PresetName = "demo",
        config: Path | None = None,
        resume: bool = False,
        settings: Settings = defaults,
    ) -> None:
        """Record the operator's demonstrations into a new run directory.

        Args:
            task: What to learn.
            out: Run directory; runs/TASK without it.
            preset: Where the other settings start from.
            config: A config.json to start from instead.
            resume: Go on with a recording that was interrupted.
            settings: Everything else.
        """
        verbs.begin(task, out, settings, resume=resume).record()

    def pretrain(run: RunPath) -> None:
        """Clone the demonstrations of a run.

        Args:
            run: The run directory.
        """
        verbs.open_run(run).pretrain()

    def reward(run: RunPath, label: bool = False, port: int = 0) -> None:
        """Train the reward classifier of a run, from the simulation's truth or a person's labels.

        Args:
            run: The run directory.
            label: First show the recorded episodes in a browser and let a person mark success.
            port: Of the labelling page; 0 takes a free one.
        """
        verbs.train_reward(verbs.open_run(run), label=label, port=port)

    def train(
        run: RunPath,
        algorithm: str | None = None,
        out: Path | None = None,
        robot_minutes: float | None = None,
        resume: bool = False,
    ) -> None:
        """Train online, starting from the clone.

        Args:
            run: The run directory.
            algorithm: Another algorithm than the run's; needs --out, as a run holds one.
            out: A new run directory that shares this one's demonstrations, clone and reward.
            robot_minutes: Budget in robot minutes, resets counted; also to go on with a finished run.
            resume: Go on with training that was interrupted or finished.
        """
        verbs.train(run, algorithm, out, robot_minutes, resume=resume)

    def evaluate(run: RunPath, trials: int | None = None, blank: bool = False) -> None:
        """Evaluate the clone and the trained policy of a run on test seeds.

        Args:
            run: The run directory.
            trials: How many trials each; the run's own number without it.
            blank: Also evaluate the policy on blank images, as a control.
        """
        verbs.evaluate(verbs.open_run(run), trials, blank=blank)

    def report(run: RunPath) -> None:
        """Write report.html, which opens offline.

        Args:
            run: The run directory.
        """
        verbs.report(verbs.open_run(run))

    def replay(run: RunPath, episode: int = 0, dataset: str = "demos", out: Path | None = None) -> None:
        """Write a recorded episode as a video, and execute its actions again in the simulation.

        Args:
            run: The run directory.
            episode: Its number.
            dataset: Which of demos, rollouts, episodes.
            out: Video file; RUN/videos/DATASET-EPISODE.mp4 without it.
        """
        verbs.replay(verbs.open_run(run), dataset, episode, out)

    def doctor() -> None:
        """Check this machine before a first run, and say what to mend."""
        verbs.doctor()

    return {
        "run": run,
        "record": record,
        "reward": reward,
        "pretrain": pretrain,
        "train": train,
        "evaluate": evaluate,
        "report": report,
        "replay": replay,
        "doctor": doctor,
    }


if __name__ == "__main__":
    sys.exit(main())
