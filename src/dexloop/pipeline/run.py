"""The stages of a run, each leaving something in the run directory and passed over if it is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dexloop.config import RunConfig, config_to_json
from dexloop.core import Policy, Robot
from dexloop.data.dataset import EpisodeDataset
from dexloop.data.schema import INTERVENTION
from dexloop.errors import DexloopError
from dexloop.networks.act_storage import load_act, save_act
from dexloop.networks.pretrained import ImageEncoder
from dexloop.networks.storage import load_agent, save_agent
from dexloop.pipeline.evaluate import (
    BrokenOff,
    Evaluation,
    JudgedBy,
    demonstrations_judged_by,
    evaluate_in_run,
    steps_to_success,
    summarise,
    who_judges,
)
from dexloop.pipeline.judging import StoredJudge
from dexloop.pipeline.online import train_in_processes, train_synchronously
from dexloop.pipeline.operators import opened_judge, opened_operator, opened_take_over
from dexloop.pipeline.prior import distil, learn_chunks, pretrain
from dexloop.pipeline.record import (
    episodes_of,
    open_dataset,
    record_demonstrations,
    record_rollouts,
    robot_seconds,
    rollout_seconds,
)
from dexloop.pipeline.rewards import OnlineLabels, labelled_episodes, train_reward
from dexloop.pipeline.robots import recording_reward
from dexloop.pipeline.threads import all_cores
from dexloop.pipeline.unfinished import digest_of, earlier_trials, entry_of, is_behind, is_whole
from dexloop.progress import say
from dexloop.rewards.labelled import LabelledEpisode
from dexloop.rewards.labels import Label, Labels
from dexloop.rewards.storage import save_classifier
from dexloop.runtime.actor import void_seconds
from dexloop.runtime.run_directory import RunDirectory
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import Observation


@dataclass(slots=True)
class Run:
    """A run directory with its configuration and robot: what every verb works on.

    judge: who decides whether a trial succeeded; None for whom configuration and demonstrations imply.
    """

    directory: RunDirectory
    config: RunConfig
    robot: Robot
    judge: JudgedBy | None = None

    def record(self) -> None:
        """Demonstrations, frozen once there are enough of them; the run directory is made where there is none yet."""
        with opened_operator(self.config, self.robot.spec) as operator:
            start = None if self.directory.exists else self._begin()
            record_demonstrations(self.config, self.robot, operator, self.directory.demos, start).close()

    def _begin(self) -> Observation:
        """Make the run directory, but only once the robot can begin: what it lacks would leave one in the way.

        Returns what it shows, for the first demonstration to start from: a reset moves a robot, and a person has to put
        the object back.
        """
        start = self.robot.reset(episode_seed(Purpose.DEMONSTRATIONS, self.config.seed, 0))
        self.directory.create(config_to_json(self.config))
        return start

    def pretrain(self) -> None:
        """The clone, and the chunking policy where that makes the rollouts."""
        directory, config = self.directory, self.config
        if not directory.prior.is_file():
            if directory.checkpoints.is_dir():
                raise DexloopError(
                    f"{directory.prior} is missing, and what was learned online rests on it; put it back, or remove "
                    f"{directory.checkpoints} as well to learn anew from another clone"
                )
            # What was made with another clone's encoder goes with it.
            directory.act.unlink(missing_ok=True)
            directory.distilled.unlink(missing_ok=True)
            with all_cores():
                agent, architecture = pretrain(config, self.robot.spec, episodes_of(self._demonstrations()))
            save_agent(directory.prior, agent, architecture, seed=config.seed)
        if config.record.rollouts_by == "act":
            self.learn_act()

    def learn_act(self) -> None:
        """A chunking policy of the demonstrations, on the clone's encoder."""
        directory, config = self.directory, self.config
        if directory.act.is_file():
            return
        with all_cores():
            taught = learn_chunks(config, load_agent(directory.prior), episodes_of(self._demonstrations()))
        save_act(directory.act, *taught, seed=config.seed, **config.act.training())

    def collect_rollouts(self) -> None:
        """Attempts before online learning, with whatever goes wrong in them.

        A chunking policy makes two of three, or the clone one of two; the others are the clone's with much noise. Where
        no noise is wanted all are the former's.
        """
        made = self.directory.rollouts
        if made.is_dir() and len(EpisodeDataset.open(made)) >= self.config.record.rollouts:
            return
        agents: list[Policy] = [load_agent(self.directory.prior).agent]
        if self.config.record.rollouts_by == "act":
            self.learn_act()
            agents = [load_act(self.directory.act).agent] * 2
        if self.config.record.rollout_noise > 0:
            clumsy = load_agent(self.directory.prior).agent
            clumsy.head.log_deviation = math.log(self.config.record.rollout_noise)
            agents.append(clumsy)
        reward, rollouts = recording_reward(self.config), self.directory.rollouts
        person = opened_judge(self.config, self.robot.spec) if self.config.reward == "person" else nullcontext()
        with person as judge:
            record_rollouts(self.config, self.robot, agents, rollouts, reward, judge).close()

    def train_reward(self, online: OnlineLabels | None = None, *, again: bool = False) -> None:
        """The reward classifier, measured on episodes it has not seen.

        online: train it, again if it is there, from these online episodes as well. again: train it even if it is there,
        from the same episodes; the old one stays until the new one is finished. Raises DexloopError where no online
        episode is one of those asked for.
        """
        there = self.directory.classifier.is_file() and not again
        if online is None and (self.config.reward != "classifier" or there):
            return
        datasets = {"demos": self._demonstrations()}
        if self.directory.rollouts.is_dir():
            datasets["rollouts"] = open_dataset(self.directory.rollouts, self.robot)
        marks = Labels(self.directory.labels).episodes
        episodes = labelled_episodes(self.config, self.robot.spec, datasets, marks, online)
        judged = [] if online is None else self._judged_online(online, marks)
        with all_cores():
            classifier, report = train_reward(self.config, self.robot.spec, self._encoder(), [*episodes, *judged])
        facts = {} if online is None else {"online_episodes": len(judged)}
        # The classifier's file last: it is what makes this stage a finished one.
        self.directory.write_json(self.directory.reward / "metrics.json", {**asdict(report), **facts})
        save_classifier(self.directory.classifier, classifier, report.threshold)
        if not self.directory.episodes.is_dir():
            # It may call other rollouts successes.
            self.directory.distilled.unlink(missing_ok=True)
        say(
            f"classifier: precision {report.precision:.3f}, recall {report.recall:.3f}, "
            f"{report.false_positives_per_failed_episode:.2f} false successes a failed episode (held out)"
        )

    def distil(self) -> None:
        """The clone, and one of the rollouts that succeeded as well, as one policy, where a chunking policy made those.

        What has begun to learn online goes on from where it began.
        """
        directory = self.directory
        done = directory.distilled.is_file() or directory.episodes.is_dir() or not directory.rollouts.is_dir()
        if done or self.config.record.rollouts_by != "act":
            return
        judge = StoredJudge(self.config, directory, self.robot.spec)
        tried = [episode for _, episode in judge.episodes(directory.rollouts)]
        good = [episode for episode in tried if episode.success]
        say(f"{len(good)} of {len(tried)} rollouts succeeded" + ("; they are cloned as well" if good else ""))
        if not good:
            return
        stored = load_agent(directory.prior)
        with all_cores():
            taught = distil(self.config, stored, [*episodes_of(self._demonstrations()), *good])
        save_agent(directory.distilled, *taught, seed=self.config.seed)

    def train(self) -> None:
        """Online improvement within the budget of robot minutes."""
        train = train_synchronously if self.config.train.runtime == "synchronous" else train_in_processes
        with opened_take_over(self.config, self.robot.spec) as operator:
            train(self.config, self.directory, self.robot, operator)

    def evaluate(self, name: str, policy: Policy, robot_minutes: float, file: Path | None = None) -> Evaluation:
        """Trials of one policy on test seeds, added to ``evaluation.json``.

        file: the policy's, by which an evaluation that was broken off is known and gone on with; None begins anew.
        Raises DexloopError where it is broken off; the finished trials are in ``evaluation.json`` then.
        """
        digest = None if file is None else digest_of(file, self.directory.classifier)
        earlier, judge = None, self.judge or who_judges(self.config, self.directory)
        found = entry_of(self._evaluations(), name)
        if digest is not None:
            earlier = earlier_trials(found, digest, judge, self.config.trials)
        if earlier is not None:
            say(f"evaluate {name}: goes on after {earlier.trials} of {self.config.trials} trials")
        steps = self.operator_steps() if file == self.directory.policy else 0
        facts = {} if digest is None else {"digest": digest}

        def keep(done: Evaluation, why: str = "interrupted") -> None:
            """Trials on a robot are dear: whatever ends the rest, these are on the disk."""
            if not is_whole(found, digest, done.trials):
                unfinished = {"trials": self.config.trials, "why": why}
                self._add_evaluation(name, done, robot_minutes, steps, **facts, unfinished=unfinished)

        try:
            result = evaluate_in_run(self.config, self.directory, self.robot, policy, name, judge, earlier, keep)
        except BrokenOff as broken:
            if broken.done.trials == 0:
                raise
            if is_whole(found, digest, broken.done.trials):
                raise DexloopError(f"{broken}; the earlier evaluation of the same policy stays") from None
            keep(broken.done, str(broken))
            raise DexloopError(f"{broken}; they are kept, the same command goes on after them") from None
        self._add_evaluation(name, result, robot_minutes, steps, **facts)
        return result

    def is_evaluated(self, name: str, file: Path) -> bool:
        """Whether an evaluation that was broken off, and is to go on, had all trials of this policy behind it."""
        digest = digest_of(file, self.directory.classifier)
        return is_behind(self._evaluations(), name, digest, self.config.trials)

    def evaluate_demonstrations(self) -> None:
        """The demonstrations' own steps to success, to compare with; failed attempts were not kept."""
        dataset = self._demonstrations()
        steps = [steps_to_success(e) for e in episodes_of(dataset)]
        self._add_evaluation("demonstrations", summarise(steps, 0.0, judged_by=demonstrations_judged_by(dataset)), 0.0)

    def robot_minutes(self) -> float:
        """What the online phase has cost: rollouts and online episodes, void ones and resets counted [min]."""
        total = rollout_seconds(self.directory.rollouts) + void_seconds(self.directory.metrics.path)
        if self.directory.episodes.is_dir():
            total += robot_seconds(EpisodeDataset.open(self.directory.episodes))
        return total / 60

    def operator_steps(self) -> int:
        """Control steps of the online episodes in which the operator drove."""
        if not self.directory.episodes.is_dir():
            return 0
        dataset = EpisodeDataset.open(self.directory.episodes)
        return sum(int(dataset.columns(index)[INTERVENTION].sum()) for index in dataset.episodes)

    def entry(
        self, name: str, result: Evaluation, robot_minutes: float, operator_steps: int = 0, **facts: Any
    ) -> dict[str, Any]:
        """What ``evaluation.json`` says of a policy's trials under the conditions of this run, and ``facts``."""
        config, spec = self.config, self.robot.spec
        return {
            "policy": name,
            "task": config.task,
            "seed": config.seed,
            "observation": config.observation,
            "reward": config.reward,
            **asdict(result),
            "control_hz": spec.control_hz,
            "image_size": max((height for height, _ in spec.observation.cameras.values()), default=None)
            if config.observation == "images"
            else None,
            "robot_minutes": round(robot_minutes, 2),
            "operator_steps": operator_steps,
            **facts,
        }

    def _evaluations(self) -> list[dict[str, Any]]:
        path = self.directory.evaluation
        return self.directory.read_json(path) if path.is_file() else []

    def _judged_online(self, online: OnlineLabels, marks: Mapping[str, Label]) -> list[LabelledEpisode]:
        judged: list[LabelledEpisode] = []
        if self.directory.episodes.is_dir():
            lived = open_dataset(self.directory.episodes, self.robot)
            judged = labelled_episodes(self.config, self.robot.spec, {"episodes": lived}, marks, online)
        if not judged:
            word = "a person's verdict" + (" or the simulation's" if online == "truth" else "")
            raise DexloopError(f"--online {online}: no online episode of {self.directory.root} has {word}")
        say(f"classifier: also from {len(judged)} online episodes, {sum(e.success for e in judged)} of them successes")
        return judged

    def _encoder(self) -> ImageEncoder:
        """The clone's, of which the classifier is made."""
        if not self.directory.prior.is_file():
            raise DexloopError(
                f"{self.directory.prior}: the reward classifier needs a clone; make it with: dexloop pretrain"
            )
        encoder = load_agent(self.directory.prior).agent.latent.encoder
        if encoder is None:
            raise DexloopError("--reward classifier needs pictures, and the clone sees none; give --reward simulation")
        return encoder

    def _demonstrations(self) -> EpisodeDataset:
        if not self.directory.demos.is_dir():
            raise DexloopError(f"{self.directory.demos}: no demonstrations; record some with: dexloop record")
        dataset = open_dataset(self.directory.demos, self.robot)
        if not dataset.episodes:
            raise DexloopError(f"{self.directory.demos}: no readable demonstration; record some with: dexloop record")
        return dataset

    def _add_evaluation(
        self, name: str, result: Evaluation, robot_minutes: float, operator_steps: int = 0, **facts: Any
    ) -> None:
        self.directory.add_evaluation(self.entry(name, result, robot_minutes, operator_steps, **facts))
