"""The command line: tyro over the verbs of ``dexloop.pipeline``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional, arg

from dexloop.bench import verbs as benches
from dexloop.bench.studies import Selection
from dexloop.config import ClientSecurity, RunConfig, differing, read_config
from dexloop.errors import DexloopError, unknown
from dexloop.flags import flags_of_configurations
from dexloop.pipeline import verbs
from dexloop.pipeline.learner import how_it_acts, unheeded
from dexloop.pipeline.rewards import OnlineLabels
from dexloop.pipeline.run import Run
from dexloop.presets import PRESETS
from dexloop.progress import say

RunPath = Annotated[Path, Positional, arg(metavar="RUN", help="A run directory.")]
TaskName = Annotated[str, Positional, arg(metavar="TASK")]
PresetName = Literal["demo", "full", "smoke"]
Settings = Annotated[RunConfig, arg(name="")]
Switch = Annotated[bool, FlagCreatePairsOff]
# Flags that may be left out; None cannot be given, and their help says what happens without them.
Name = Annotated[str | None, DisallowNone, arg(help_behavior_hint="")]
File = Annotated[Path | None, DisallowNone, arg(help_behavior_hint="")]
Minutes = Annotated[float | None, DisallowNone, arg(help_behavior_hint="")]
StudyName = Annotated[str, Positional, arg(metavar="STUDY")]
Seen = Annotated[Literal["images", "privileged"] | None, DisallowNone, arg(help_behavior_hint="")]
Online = Annotated[OnlineLabels | None, DisallowNone, arg(help_behavior_hint="")]
Reward = Annotated[Literal["classifier", "simulation", "person"] | None, DisallowNone, arg(help_behavior_hint="")]
Judge = Annotated[Literal["simulation", "classifier", "person"] | None, DisallowNone, arg(help_behavior_hint="")]
Trials = Annotated[int | None, DisallowNone, arg(help_behavior_hint="")]


def _refer_to(example: str) -> NoReturn:
    """For commands that ``dexloop.__main__`` starts, and that are here only to be listed."""
    raise DexloopError(f"{example.split()[1]}: give it as the first word, as in: {example}")


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
            registry=flags_of_configurations(),
        )
    except DexloopError as error:
        say(f"error: {error}")
        return 1
    except BrokenPipeError:
        raise  # not a file's
    except OSError as error:
        if error.filename is None:
            raise
        say(f"error: {os.fspath(error.filename)}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        resumable = given[:1] in (["run"], ["record"], ["train"])
        again = "the same command with --resume goes on" if resumable else "the same command does the rest"
        say(f"interrupted; everything finished is on the disk, {again}")
        return 130
    return 0


def _defaults(given: Sequence[str]) -> RunConfig:
    """The configuration that flags start from: --config FILE, or --preset NAME, or the demo's."""
    path, name = _value(given, "--config"), _value(given, "--preset")
    if path and name:
        raise DexloopError("--config and --preset: both say where the settings start from; give one of them")
    if path:
        return read_config(Path(path))
    if name and name not in PRESETS:
        raise unknown("--preset", name, PRESETS)
    return PRESETS[name or "demo"]


def _value(given: Sequence[str], flag: str) -> str | None:
    for index, word in enumerate(given):
        if word == flag and index + 1 < len(given):
            return given[index + 1]
        if word.startswith(f"{flag}="):
            return word.split("=", 1)[1]
    return None


def _beginning(work: Callable[[Run], None], summary: str, defaults: RunConfig) -> Callable[..., None]:
    """A command that does ``work`` on a run that it begins, or goes on with."""

    def command(
        task: TaskName,
        out: File = None,
        preset: PresetName = "demo",
        config: File = None,
        resume: Switch = False,
        settings: Settings = defaults,
    ) -> None:
        """{summary}

        Args:
            task: What to learn, for example: cup.
            out: Run directory; runs/TASK without it.
            preset: Where the other settings start from.
            config: A config.json to start from instead.
            resume: Go on with a run that was interrupted.
            settings: Everything else.
        """
        if not resume:
            _refuse_unheeded(settings, defaults)
        run = verbs.begin(task, out, settings, resume=resume)
        if resume:
            _refuse_others(run, settings)
        work(run)

    command.__doc__ = (command.__doc__ or "").format(summary=summary)
    return command


def _refuse_others(run: Run, settings: RunConfig) -> None:
    """Raise DexloopError for settings asked for that the run to be gone on with does not have."""
    asked = differing(PRESETS["demo"], settings) & differing(settings, run.config)
    if asked:
        raise DexloopError(
            f"--resume: {run.directory.root} goes on with its own settings, and {', '.join(sorted(asked))} would not "
            "be heeded; leave it out, or begin another run with --out"
        )


def _refuse_unheeded(settings: RunConfig, defaults: RunConfig) -> None:
    """Raise DexloopError for flags that would be ignored, since nobody acts in the way that heeds them."""
    ignored = unheeded(settings, differing(defaults, settings))
    if ignored:
        acts = how_it_acts(settings)
        raise DexloopError(
            f"{', '.join(sorted(ignored))}: not heeded with --algorithm.acts {acts}"
            + (", where the policy stays the clone; best_proposal has one that learns" if acts == "best_pace" else "")
            + "; give another --algorithm.acts with it, or leave it out"
        )


def _commands(defaults: RunConfig) -> dict[str, Callable[..., None]]:
    def pretrain(run: RunPath) -> None:
        """Clone the demonstrations of a run.

        Args:
            run: The run directory.
        """
        verbs.pretrain(verbs.open_run(run))

    def reward(run: RunPath, label: Switch = False, port: int = 0, online: Online = None) -> None:
        """Train the reward classifier of a run, from the simulation's truth or a person's labels.

        Args:
            run: The run directory.
            label: First show the recorded episodes in a browser and let a person mark success.
            port: Of the labelling page; 0 takes a free one.
            online: Train again, and from online episodes too: verdicts, those that a person ended as success or
                failure; truth, also those that only the simulation judged.
        """
        verbs.train_reward(verbs.open_run(run), label=label, port=port, online=online)

    def train(
        run: RunPath,
        algorithm: Name = None,
        out: File = None,
        robot_minutes: Minutes = None,
        take_over: Name = None,
        resume: Switch = False,
        reward: Reward = None,
    ) -> None:
        """Train online, starting from the clone.

        Args:
            run: The run directory.
            algorithm: Another algorithm than the run's; needs --out, as a run holds one.
            out: A new run directory that shares this one's demonstrations, clone and reward.
            robot_minutes: Budget in robot minutes, resets counted; also to go on with a finished run.
            take_over: Who may take over: keyboard, scripted, module:function, a policy file, or nobody.
            resume: Go on with training that was interrupted or finished.
            reward: Who judges, another than the run's; needs --out, as a run is judged by one.
        """
        verbs.train(run, algorithm, out, robot_minutes, resume=resume, take_over=take_over, reward=reward)

    def evaluate(
        run: RunPath,
        grpc: ClientSecurity,
        trials: Trials = None,
        blank: Switch = False,
        robot: Name = None,
        judge: Judge = None,
    ) -> None:
        """Evaluate the clone and the trained policy of a run on test seeds.

        Args:
            run: The run directory.
            grpc: What a robot behind a controller asks of its clients.
            trials: How many trials each; the run's own number without it.
            blank: Also evaluate the policy on blank images, as a control.
            robot: Another robot than the run's to evaluate on: sim, gym:ID or grpc://HOST:PORT.
            judge: With --robot, who decides what success is. Without it the simulation where there is one, else the
                run's classifier, else a person at the keyboard.
        """
        if robot is not None:
            if blank:
                raise DexloopError("--blank is for the run's own robot; leave it out with --robot")
            verbs.evaluate_elsewhere(run, robot, grpc, trials, judge)
            return
        if judge is not None:
            raise DexloopError("--judge goes with --robot; the run's own robot has its judge")
        verbs.evaluate(verbs.open_run(run), trials, blank=blank)

    def report(run: RunPath) -> None:
        """Write report.html, which opens offline.

        Args:
            run: The run directory.
        """
        verbs.report(run)

    def replay(run: RunPath, episode: int = 0, dataset: str = "demos", out: File = None) -> None:
        """Write a recorded episode as a video, and execute its actions again where that moves no real robot.

        Args:
            run: The run directory.
            episode: Its number.
            dataset: Which of demos, rollouts, episodes.
            out: Video file; RUN/videos/DATASET-EPISODE.mp4 without it.
        """
        verbs.replay(verbs.open_run(run), dataset, episode, out)

    def doctor() -> None:
        """Check this machine before a first run, or a robot's devices with --config robot.toml."""
        _refer_to("dexloop doctor")

    def bench(
        study: StudyName,
        tasks: tuple[str, ...] = (),
        policies: tuple[str, ...] = (),
        seeds: tuple[int, ...] = (),
        trials: Trials = None,
        observation: Seen = None,
        jobs: int = 2,
        show: Switch = False,
        runs: Path = Path("runs/bench"),
        out: Path = Path("docs/results"),
    ) -> None:
        """The paper's tables and figures: run the cells that are missing, then print or draw.

        Args:
            study: One of table1, table2, figure3, figure4, figure5, ablations, robustness.
            tasks: Only these.
            policies: Only these policies, settings of an ablation, or disturbances.
            seeds: Only these run seeds.
            trials: How many for a cell; the study's own number without it.
            observation: What policies see; images without it, and the simulation's state for ablations.
            jobs: How many cells at a time, a core each.
            show: Run nothing, only print or draw what is there.
            runs: Where the run directories go.
            out: The folder of results, one JSON file a cell.
        """
        seen = observation or ("privileged" if study == "ablations" else "images")
        benches.bench(study, Selection(tasks, policies, seeds, trials, seen), runs, out, jobs=jobs, run=not show)

    def serve() -> None:
        """Serve a robot to clients on this machine or others; see dexloop serve --help."""
        _refer_to("dexloop serve --robot sim")

    def stop() -> None:
        """Stop a robot behind its controller; see dexloop stop --help."""
        _refer_to("dexloop stop 127.0.0.1:50051")

    def rearm() -> None:
        """Let a robot behind its controller move again; see dexloop rearm --help."""
        _refer_to("dexloop rearm 127.0.0.1:50051")

    def confirm() -> None:
        """Say that the object is in place; see dexloop confirm --help."""
        _refer_to("dexloop confirm 127.0.0.1:50051")

    def calibrate() -> None:
        """Measure what a robot's file must say, step by step; see dexloop calibrate --help."""
        _refer_to("dexloop calibrate --config robot.toml")

    return {
        "run": _beginning(
            verbs.run,
            "The whole way: demonstrations, clone, rollouts, reward, online training, evaluation, report.",
            defaults,
        ),
        "record": _beginning(Run.record, "Record the operator's demonstrations into a new run directory.", defaults),
        "reward": reward,
        "pretrain": pretrain,
        "train": train,
        "evaluate": evaluate,
        "report": report,
        "replay": replay,
        "bench": bench,
        "serve": serve,
        "stop": stop,
        "rearm": rearm,
        "confirm": confirm,
        "calibrate": calibrate,
        "doctor": doctor,
    }
