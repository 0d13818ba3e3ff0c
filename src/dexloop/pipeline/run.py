"""The stages of a run, each leaving something in the run directory and passed over if it is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dexloop.config import RunConfig
from dexloop.core import Policy, Robot
from dexloop.data.dataset import EpisodeDataset
from dexloop.errors import DexloopError
from dexloop.networks.storage import load_agent, save_agent
from dexloop.pipeline.evaluate import Evaluation, evaluate_policy, steps_to_success, summarise
from dexloop.pipeline.online import train_in_processes, train_synchronously
from dexloop.pipeline.operators import opened_operator
from dexloop.pipeline.prior import pretrain
from dexloop.pipeline.record import episodes_of, open_dataset, record_demonstrations, record_rollouts
from dexloop.pipeline.rewards import labelled_episodes, train_reward
from dexloop.pipeline.robots import training_reward
from dexloop.pipeline.threads import all_cores
from dexloop.progress import say
from dexloop.rewards.environment import EnvironmentReward
from dexloop.rewards.labels import Labels
from dexloop.rewards.storage import save_classifier
from dexloop.runtime.run_directory import RunDirectory


@dataclass(slots=True)
class Run:
    """A run directory with its configuration and robot: what every verb works on."""

    directory: RunDirectory
    config: RunConfig
    robot: Robot

    def record(self) -> None:
        """Demonstrations, frozen once there are enough of them."""
        with opened_operator(self.config, self.robot.spec) as operator:
            record_demonstrations(self.config, self.robot, operator, self.directory.demos).close()

    def pretrain(self) -> None:
        """The clone."""
        if self.directory.prior.is_file():
            return
        with all_cores():
            agent, architecture = pretrain(self.config, self.robot.spec, episodes_of(self._demonstrations()))
        save_agent(self.directory.prior, agent, architecture, seed=self.config.seed)

    def collect_rollouts(self) -> None:
        """The clone's own attempts, with whatever it does wrong."""
        agent = load_agent(self.directory.prior).agent
        record_rollouts(self.config, self.robot, agent, self.directory.rollouts, EnvironmentReward()).close()

    def train_reward(self) -> None:
        """The reward classifier, measured on episodes it has not seen."""
        if self.config.reward == "simulation" or self.directory.classifier.is_file():
            return
        datasets = {"demos": self._demonstrations()}
        if self.directory.rollouts.is_dir():
            datasets["rollouts"] = open_dataset(self.directory.rollouts, self.robot)
        episodes = labelled_episodes(self.config, self.robot.spec, datasets, Labels(self.directory.labels).episodes)
        with all_cores():
            classifier, report = train_reward(self.config, self.robot.spec, episodes)
        save_classifier(self.directory.classifier, classifier, report.threshold)
        self.directory.write_json(self.directory.reward / "metrics.json", asdict(report))
        say(
            f"classifier: precision {report.precision:.3f}, recall {report.recall:.3f}, "
            f"{report.false_positives_per_failed_episode:.2f} false successes a failed episode (held out)"
        )

    def train(self) -> None:
        """Online improvement within the budget of robot minutes."""
        train = train_synchronously if self.config.train.runtime == "synchronous" else train_in_processes
        train(self.config, self.directory, self.robot)

    def evaluate(self, name: str, policy: Policy, robot_minutes: float) -> Evaluation:
        """Trials of one policy on test seeds, added to ``evaluation.json``."""
        witness = None
        if self.directory.classifier.is_file():
            witness = training_reward(self.config, self.directory, self.robot.spec)
        result = evaluate_policy(
            self.config, self.robot, policy, self.config.trials, witness=witness, label=f"evaluate {name}"
        )
        self._add_evaluation(name, result, robot_minutes)
        return result

    def evaluate_demonstrations(self) -> None:
        """The demonstrations' own steps to success, to compare with; failed attempts were not kept."""
        steps = [steps_to_success(e) for e in episodes_of(self._demonstrations())]
        self._add_evaluation("demonstrations", summarise(steps, 0.0), 0.0)

    def robot_minutes(self) -> float:
        """What the online phase has cost: rollouts and online episodes, resets counted [min]."""
        total = 0.0
        for path in (self.directory.rollouts, self.directory.episodes):
            if path.is_dir():
                dataset = EpisodeDataset.open(path)
                total += sum(dataset.episode_info(i).robot_seconds for i in dataset.episodes)
        return total / 60

    def _demonstrations(self) -> EpisodeDataset:
        if not self.directory.demos.is_dir():
            raise DexloopError(f"{self.directory.demos}: no demonstrations; record some with: dexloop record")
        dataset = open_dataset(self.directory.demos, self.robot)
        if not dataset.episodes:
            raise DexloopError(f"{self.directory.demos}: no readable demonstration; record some with: dexloop record")
        return dataset

    def _add_evaluation(self, name: str, result: Evaluation, robot_minutes: float) -> None:
        config, spec = self.config, self.robot.spec
        entry = {
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
            "operator_steps": 0,
        }
        self.directory.add_evaluation(entry)
