"""Films of policies for people, and recorded episodes shown and done again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dexloop.core import Policy
from dexloop.data.dataset import EpisodeDataset
from dexloop.episode import run_episode
from dexloop.errors import DexloopError
from dexloop.gates.human import HumanGate
from dexloop.pipeline.robots import GRPC
from dexloop.pipeline.run import Run
from dexloop.progress import say
from dexloop.report.video import side_by_side, write_video
from dexloop.rewards.environment import EnvironmentReward
from dexloop.seeds import Purpose, episode_seed
from dexloop.types import Episode, Proposal

_FILMED = 3


def film(run: Run, name: str, policy: Policy) -> None:
    """A few of a policy's test trials as videos, the clone's as "before", any other's as "after".

    Earlier films of the same policy go first, whatever their outcome: it may have learned since. None of a served robot
    that is no simulation, before which somebody would have to put the object back for each.
    """
    if not run.robot.spec.observation.cameras or _may_be_real(run):
        return
    side = "before" if name == "bc" else "after"
    for old in run.directory.videos.glob(f"{side}_{name}_[0-9]*.mp4"):
        old.unlink()
    for trial in range(_FILMED):
        episode = run_episode(
            run.robot,
            policy,
            EnvironmentReward(),
            HumanGate(),
            seed=episode_seed(Purpose.TEST, run.config.seed, trial),
            tail_steps=round(run.robot.spec.control_hz),
        )
        judged = episode.success or episode.true_success is not None or run.config.reward == "simulation"
        outcome = "success" if episode.success else "failure" if judged else "unjudged"
        write_episode(run.directory.videos / f"{side}_{name}_{trial}_{outcome}.mp4", episode, run)


def write_episode(path: Path, episode: Episode, run: Run) -> None:
    """The cameras of an episode side by side, at the robot's pace."""
    seen = [t.observation for t in episode.transitions] + [episode.transitions[-1].next_observation]
    cameras = {c: np.stack([o.images[c] for o in seen]) for c in run.robot.spec.observation.cameras}
    write_video(path, side_by_side(cameras), run.robot.spec.control_hz)


def _may_be_real(run: Run) -> bool:
    """Whether the robot stands behind a controller and shows no state, as simulations do."""
    return run.config.robot.startswith(GRPC) and not run.robot.spec.observation.privileged


class RecordedActions:
    """Proposes an episode's actions again, one by one, and stands still after the last."""

    def __init__(self, episode: Episode) -> None:
        self._actions = [t.executed for t in episode.transitions]
        self._next = 0

    def reset(self, seed: int) -> None:
        """Begin with the first action."""
        self._next = 0

    def act(self, observation: object, explore: bool) -> Proposal:
        """The next recorded action (A,); what is seen does not matter."""
        action = self._actions[min(self._next, len(self._actions) - 1)]
        self._next += 1
        return Proposal(action)


def replay_episode(run: Run, dataset: str, number: int, out: Path | None) -> None:
    """Write a recorded episode as a video, and do its actions again from the same seed.

    Not on a served robot that is no simulation: there the object lies elsewhere, and nobody may be looking. Raises
    DexloopError when there is no such dataset or episode.
    """
    folder = run.directory.root / dataset
    if dataset not in ("demos", "rollouts", "episodes") or not folder.is_dir():
        raise DexloopError(f"--dataset {dataset}: not in {run.directory.root}; give demos, rollouts or episodes")
    stored = EpisodeDataset.open(folder)
    if number not in stored.episodes:
        raise DexloopError(f"--episode {number}: {folder} has {len(stored)} episodes, {stored.episodes[:1]} on")
    episode = stored.episode(number)
    say(f"{dataset}/{number}: {len(episode)} steps, success {episode.success}, seed {episode.seed}")
    if run.robot.spec.observation.cameras:
        path = out or run.directory.videos / f"{dataset}-{number}.mp4"
        write_episode(path, episode, run)
        say(f"video: {path}")
    if _may_be_real(run):
        say(f"not done again: {run.robot.spec.name} may be a real robot")
        return
    again = run_episode(
        run.robot,
        RecordedActions(episode),
        EnvironmentReward(),
        HumanGate(),
        seed=episode.seed,
        tail_steps=len(episode),
    )
    say(f"done again: success {again.success}")
