"""Record demonstrations, and rollouts of what was learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dexloop.config import RunConfig
from dexloop.core import Operator, Policy, RewardModel, Robot
from dexloop.data.dataset import EpisodeDataset
from dexloop.episode import VoidLimit, run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.operators.idle import StillPolicy
from dexloop.pipeline.robots import recording_reward
from dexloop.progress import Bar, say
from dexloop.runtime.actor import void_seconds
from dexloop.runtime.metrics import MetricsFile
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import Episode, Observation, Transition

# An environment that has been silent about success for so many attempts has no word for it.
_SILENT_ATTEMPTS = 10
# Beside the rollouts and not in the run's metrics, so that a run that takes them over takes their cost over too.
_VOID = "void.jsonl"


def open_dataset(path: Path, robot: Robot) -> EpisodeDataset:
    """The dataset at ``path`` for this robot, new or as it was left; says what had to be repaired."""
    dataset = EpisodeDataset.open_or_create(path, robot.spec)
    for warning in dataset.warnings:
        say(f"warning: {warning}")
    return dataset


def record_demonstrations(
    config: RunConfig, robot: Robot, operator: Operator, path: Path, start: Observation | None = None
) -> EpisodeDataset:
    """Record until ``config.record.episodes`` successful demonstrations lie at ``path``.

    Failed attempts are not kept, as a person would throw them away; the seeds go on, so that the
    result does not depend on interruptions. start: what the robot showed, where it has just been reset to the first
    attempt's seed. Raises DexloopError when hardly any attempt succeeds, when several in
    a row are void, when the operator stops, and when nobody says what success is.
    """
    dataset = open_dataset(path, robot)
    tail = round(config.record.tail_seconds * robot.spec.control_hz)
    attempt = next_attempt(dataset, Purpose.DEMONSTRATIONS, config.seed)
    tried = 0
    # Attempts that are there already were made after other resets.
    start = start if attempt == 0 else None
    person_judges = False
    verdicts = EnvironmentVerdicts()
    limit = VoidLimit()
    with Bar("demonstrations", config.record.episodes, "episodes") as bar:
        bar.update(len(dataset))
        while len(dataset) < config.record.episodes:
            episode = run_episode(
                robot,
                StillPolicy(robot.spec),
                recording_reward(config),
                HumanGate(),
                seed=episode_seed(Purpose.DEMONSTRATIONS, config.seed, attempt),
                operator=operator,
                listeners=(verdicts,),
                tail_steps=tail,
                start=start,
            )
            attempt, tried, start = attempt + 1, tried + 1, None
            if episode.stop:
                raise DexloopError(
                    f"the operator stopped after {len(dataset)} of {config.record.episodes} demonstrations; "
                    "the same command with --resume goes on"
                )
            limit.check(episode)
            # An operator's verdict alone is enough to record, but not to learn from the environment's reward.
            unheard = episode.success and config.reward == "simulation"
            person_judges = person_judges or "verdict" in episode.info
            silent = tried >= _SILENT_ATTEMPTS and len(dataset) == 0 and not person_judges
            if config.reward == "person" and silent:
                raise DexloopError(
                    f"--reward person: --operator {config.operator} judged none of {tried} attempts; give --operator "
                    "keyboard, or module:function that makes an operator with verdicts"
                )
            if config.reward != "person" and not verdicts.given and (unheard or silent):
                raise DexloopError(_no_verdict(config, robot))
            if episode.success:
                dataset.append(episode)
            bar.update(len(dataset), f"{tried} tried")
            if tried >= 30 and tried > 20 * (len(dataset) + 1):
                raise DexloopError(f"{tried} attempts gave {len(dataset)} demonstrations; is the task possible?")
    return dataset


class EnvironmentVerdicts:
    """A listener that notes whether the environment has ever said how a step went; ``given`` tells."""

    def __init__(self) -> None:
        self.given = False

    def on_step(self, transition: Transition) -> None:
        """A flag counts, and so does an end of the environment's own with a positive reward."""
        self.given |= transition.true_success is not None or transition.success

    def on_episode(self, episode: Episode) -> None:
        """Nothing: an operator's verdict is not the environment's."""


def _no_verdict(config: RunConfig, robot: Robot) -> str:
    return (
        f"--robot {config.robot}: {robot.spec.name} does not say whether an episode succeeded: it needs "
        "info['is_success'], or to terminate with a positive reward; where a person judges instead, use --operator "
        "keyboard with --reward person, or with --reward classifier where there are cameras"
    )


def record_rollouts(
    config: RunConfig,
    robot: Robot,
    policies: Sequence[Policy],
    path: Path,
    reward: RewardModel,
    person: Operator | None = None,
) -> EpisodeDataset:
    """Let policies try, exploring as they do; every valid episode is kept, failures above all.

    They teach the classifier what is not success and warm up the critic, and count as robot time. policies: take turns.
    person: who judges the episodes where nobody else does. Void episodes are done again from the next seed and count as
    robot time too. Raises DexloopError when several in a row are void, and when the person stops.
    """
    dataset = open_dataset(path, robot)
    void = MetricsFile(path / _VOID)
    tail = round(config.record.tail_seconds * robot.spec.control_hz)
    attempt = next_attempt(dataset, Purpose.ROLLOUTS, config.seed)
    limit = VoidLimit()
    with Bar("rollouts", config.record.rollouts, "episodes") as bar:
        while len(dataset) < config.record.rollouts:
            episode = run_episode(
                robot,
                policies[attempt % len(policies)],
                reward,
                HumanGate(),
                seed=episode_seed(Purpose.ROLLOUTS, config.seed, attempt),
                operator=person,
                explore=True,
                tail_steps=tail,
            )
            attempt += 1
            if not episode.valid:
                fault = episode.info.get("fault")
                void.write("void", fault=fault, length=len(episode), robot_seconds=episode.robot_seconds)
            if episode.stop:
                raise DexloopError(
                    f"the operator stopped after {len(dataset)} of {config.record.rollouts} rollouts; what is there is "
                    "kept, the same command goes on (run and train with --resume)"
                )
            limit.check(episode)
            if episode.valid:
                dataset.append(episode)
            bar.update(len(dataset))
    return dataset


def rollout_seconds(path: Path) -> float:
    """Robot time [s] that the rollouts at ``path`` have cost, void ones and resets counted; 0 where there are none."""
    return robot_seconds(EpisodeDataset.open(path)) + void_seconds(path / _VOID) if path.is_dir() else 0.0


def robot_seconds(dataset: EpisodeDataset) -> float:
    """Robot time [s] of the stored episodes, resets counted."""
    return sum(dataset.episode_info(index).robot_seconds for index in dataset.episodes)


def next_attempt(dataset: EpisodeDataset, purpose: Purpose, run_seed: int) -> int:
    """The attempt after the last one that is stored, read from its seed: attempts that were not kept have seeds too."""
    first = episode_seed(purpose, run_seed, 0)
    return max((dataset.episode_info(i).seed - first + 1 for i in dataset.episodes), default=0)


def episodes_of(dataset: EpisodeDataset) -> list[Episode]:
    """All readable episodes."""
    return [dataset.episode(i) for i in dataset.episodes]
