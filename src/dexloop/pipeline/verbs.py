"""What the command line's verbs do; also the place to start from in a script."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from dexloop.config import ClientSecurity, RunConfig, config_to_json, left_out, read_config
from dexloop.core import Robot
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.schema import check_same_kind
from dexloop.errors import DexloopError, unknown
from dexloop.networks.storage import load_agent
from dexloop.pipeline.blank import BlankImages
from dexloop.pipeline.evaluate import JudgedBy
from dexloop.pipeline.labelling import label_run
from dexloop.pipeline.learner import how_it_acts
from dexloop.pipeline.operators import opened_take_over, with_person_as_judge
from dexloop.pipeline.prior import require_backbone
from dexloop.pipeline.record import rollout_seconds
from dexloop.pipeline.rewards import OnlineLabels
from dexloop.pipeline.robots import open_robot
from dexloop.pipeline.run import Run
from dexloop.pipeline.showcase import film, replay_episode
from dexloop.presets import ALGORITHMS
from dexloop.progress import say
from dexloop.report.build import build_report
from dexloop.runtime.run_directory import RunDirectory
from dexloop.sim.tasks.base import task_names


def begin(task: str, out: Path | None, settings: RunConfig, *, resume: bool) -> Run:
    """A new run of ``task`` in ``out`` (runs/TASK if None); with ``resume`` the one that is there.

    The directory of a new run is made when its recording starts. Raises DexloopError for an unknown task, robot or
    operator, a taken directory, or a run of another task.
    """
    directory = RunDirectory(out or Path("runs") / task)
    if resume:
        directory.check_format()
        found = read_config(directory.config).task
        if found != task:
            raise DexloopError(f"{directory.root} is a run of {found!r}, not of {task!r}")
        return open_run(directory.root)
    if settings.robot == "sim" and task not in task_names():
        raise unknown("TASK", task, task_names())
    directory.check_free()
    config = replace(settings, task=task)
    require_backbone(config)
    robot = open_robot(config)
    _check_take_over(config, robot)
    return Run(directory, config, robot)


def open_run(path: Path) -> Run:
    """The run at ``path``; raises DexloopError where there is none, or one of another version."""
    directory = RunDirectory(path)
    directory.check_format()
    config = read_config(directory.config)
    if newer := left_out(directory.config, config):
        say(f"warning: {path} is older than these settings and has their defaults: {' '.join(sorted(newer))}")
    return Run(directory, config, open_robot(config))


def run(target: Run) -> None:
    """Every stage that is not there yet, then the table and where the report is."""
    target.record()
    target.pretrain()
    target.collect_rollouts()
    target.train_reward()
    target.distil()
    target.train()
    evaluate(target, None, blank=target.config.observation == "images" and target.config.sim.reset == "random")
    print_table(target)
    report(target.directory.root)
    minutes = target.config.train.robot_minutes
    say(f"to go on learning: dexloop train {target.directory.root} --resume --robot-minutes {2 * minutes:g}")


def pretrain(target: Run) -> None:
    """The clone, if it is not there yet."""
    if target.directory.prior.is_file():
        say(f"{target.directory.prior} is there already; remove it to clone again")
    target.pretrain()


def train_reward(target: Run, *, label: bool, port: int, online: OnlineLabels | None = None) -> None:
    """The classifier, from rollouts as well if there is a clone to make them, after a person's labels if asked.

    online: which online episodes teach it as well; it is trained again then. Raises DexloopError where the run does not
    learn from a classifier, and gives no online episodes to make one from for another run.
    """
    _check_reward(target, online)
    if target.directory.classifier.is_file() and not (label or online):
        say(f"{target.directory.classifier} is there already; remove it to train again")
    if target.directory.prior.is_file():
        target.collect_rollouts()
    if label:
        label_run(target, port)
    target.train_reward(online, again=label)


def _check_reward(target: Run, online: OnlineLabels | None) -> None:
    """Raise DexloopError where a run cannot have a classifier, or needs none."""
    reward = target.config.reward
    if reward == "person" and online is not None:
        if not target.robot.spec.observation.cameras:
            raise DexloopError(f"--online {online}: {target.directory.root} has no pictures for a classifier")
    elif reward != "classifier":
        raise DexloopError(f"{target.directory.root} has --reward {reward} and needs no classifier")


def train(
    path: Path,
    algorithm: str | None,
    out: Path | None,
    robot_minutes: float | None,
    *,
    resume: bool,
    take_over: str | None = None,
    reward: Literal["classifier", "simulation", "person"] | None = None,
) -> None:
    """Train the run at ``path``, or a new one at ``out`` on the same demonstrations, clone and reward.

    take_over: who may take over from now on, None for whom the run's configuration says. reward: who judges the new
    run, None for who judges this one.
    """
    source = open_run(path)
    config = source.config
    if algorithm is not None:
        if algorithm not in ALGORITHMS:
            raise unknown("--algorithm", algorithm, ALGORITHMS)
        if out is None and algorithm != config.algorithm.name:
            raise DexloopError(f"--algorithm {algorithm}: {path} holds {config.algorithm.name}; name a new --out")
        if algorithm != config.algorithm.name:
            config = replace(config, algorithm=ALGORITHMS[algorithm])
    if reward not in (None, config.reward):
        if out is None:
            raise DexloopError(f"--reward {reward}: {path} is judged by --reward {config.reward}; name a new --out")
        config = replace(config, reward=reward)
        source.robot.close()
        source = replace(source, robot=open_robot(config))
    if robot_minutes is not None:
        config = replace(config, train=replace(config.train, robot_minutes=robot_minutes))
    if take_over is not None:
        config = replace(config, train=replace(config.train, take_over=take_over))
        if out is None and how_it_acts(source.config) == "best_proposal" and source.directory.checkpoints.is_dir():
            # What has learned to act is no clone any more that critics could be told to follow.
            config = replace(config, algorithm=replace(config.algorithm, acts="best_proposal"))
    if not source.directory.prior.is_file():
        raise DexloopError(f"{path} has no clone to start from; make one with: dexloop pretrain {path}")
    if out is None and source.directory.episodes.is_dir() and not resume:
        raise DexloopError(f"{path} has been trained already; add --resume to go on")
    _check_take_over(config, source.robot)
    if out is not None:
        target = fork(source, config, out)
    else:
        target = Run(source.directory, config, source.robot)
        target.directory.update_config(config_to_json(config))
    target.collect_rollouts()
    target.train_reward()
    target.distil()
    target.train()


def evaluate(target: Run, trials: int | None, *, blank: bool) -> None:
    """Demonstrations, clone and trained policy, each as far as it is there.

    Where the last evaluation was broken off this one goes on, and does nothing again that was finished then.
    """
    if trials is not None:
        target.config = replace(target.config, trials=trials)
    target.evaluate_demonstrations()
    for name, (file, minutes) in _policies(target).items():
        agent = load_agent(file).agent
        if not target.is_evaluated(name, file):
            target.evaluate(name, agent, minutes, file)
            if name != "distilled":
                film(target, name, agent)
        if blank and file == target.directory.policy and not target.is_evaluated("blank_images", file):
            target.evaluate("blank_images", BlankImages(agent), minutes, file)


def evaluate_elsewhere(
    path: Path, robot: str, security: ClientSecurity, trials: int | None, judge: JudgedBy | None
) -> None:
    """Clone and trained policy of the run at ``path``, as far as they are there, on another robot than the run's.

    judge: who decides what success is; None for the robot where it shows its state, as simulations do, else for the
    run's classifier, and for a person where there is none. The person sits at the keyboard where the run's operator is
    a program. Raises DexloopError where the robot is not of the kind that the run's demonstrations are from.
    """
    directory = RunDirectory(path)
    directory.check_format()
    config = replace(read_config(directory.config), robot=robot, grpc=security)
    if trials is not None:
        config = replace(config, trials=trials)
    target = Run(directory, config, open_robot(config))
    check_same_kind(EpisodeDataset.open(directory.demos).spec, target.robot.spec, config.observation)
    silent: JudgedBy = "classifier" if directory.classifier.is_file() else "person"
    target.judge = judge or ("simulation" if target.robot.spec.observation.privileged else silent)
    if target.judge == "person":
        target.config = with_person_as_judge(config)
    for policy, (file, minutes) in _policies(target).items():
        name = f"{policy} on {target.robot.spec.name}"
        if not target.is_evaluated(name, file):
            target.evaluate(name, load_agent(file).agent, minutes, file)


def _policies(target: Run) -> dict[str, tuple[Path, float]]:
    """The policies of a run by their names, with the robot minutes that each has cost, the clone first.

    Raises DexloopError where there is none.
    """
    directory = target.directory
    files = {
        "bc": (directory.prior, 0.0),
        "distilled": (directory.distilled, rollout_seconds(directory.rollouts) / 60),
        target.config.algorithm.name: (directory.policy, target.robot_minutes()),
    }
    found = {name: (file, minutes) for name, (file, minutes) in files.items() if file.is_file()}
    if not found:
        root = target.directory.root
        raise DexloopError(f"{root} has no policy to evaluate; make one with: dexloop pretrain {root}")
    return found


def report(path: Path) -> None:
    """Write the report of the run at ``path``, and say where it is; needs no robot."""
    directory = RunDirectory(path)
    directory.check_format()
    build_report(path)
    say(f"report: {directory.report}")


def replay(target: Run, dataset: str, episode: int, out: Path | None) -> None:
    """Show a recorded episode as a video, and say whether its actions still do the same."""
    replay_episode(target, dataset, episode, out)


def print_table(target: Run) -> None:
    """The run's evaluation as a short table."""
    table = Table(title=f"{target.config.task}, seed {target.config.seed}")
    for column in ("policy", "success", "95 % interval", "steps", "robot min"):
        # Whole at 80 columns, rather than cut with dots.
        table.add_column(column, no_wrap=True)
    for entry in target.directory.read_json(target.directory.evaluation):
        low, high = entry["ci95"]
        steps = entry["mean_steps"]
        recorded = entry["policy"] == "demonstrations"
        table.add_row(
            entry["policy"],
            "–" if recorded else f"{entry['successes']}/{entry['trials']} = {100 * entry['success_rate']:.0f} %",
            "–" if recorded else f"{100 * low:.0f}–{100 * high:.0f} %",
            "–" if steps is None else f"{steps:.1f}",
            f"{entry['robot_minutes']:.0f}",
        )
    Console().print(table)


def _check_take_over(config: RunConfig, robot: Robot) -> None:
    """Raise DexloopError for a --train.take-over that cannot be had, before anything is made or recorded."""
    with opened_take_over(config, robot.spec):
        pass


def fork(source: Run, config: RunConfig, out: Path) -> Run:
    """A new run at ``out`` that shares the demonstrations, rollouts, clone and reward of another."""
    directory = RunDirectory(out)
    directory.check_free()
    for part in ("demos", "rollouts", "reward", "prior"):
        if (source.directory.root / part).is_dir():
            shutil.copytree(source.directory.root / part, out / part, dirs_exist_ok=True)
    # Last, since it is what makes a run of a directory: a copy that was cut short is made again.
    directory.create(config_to_json(config))
    return Run(directory, config, source.robot)
