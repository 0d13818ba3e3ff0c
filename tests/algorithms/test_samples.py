"""Episodes on their way into the replay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from dexloop.algorithms.samples import add_episode, first_success, observations_of, success_seen_by, until_success
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.networks.latent import LatentEncoder
from dexloop.rewards.environment import EnvironmentReward
from dexloop.types import Episode, Judgement, Observation, Step
from tests.data.samples import SMALL_ROBOT, make_episode


def with_tail(success_at: int, steps: int = 8) -> Episode:
    """A demonstration that went on after its first success."""
    episode = make_episode(SMALL_ROBOT, 1, steps)
    transitions = [
        replace(t, success=index >= success_at, reward=float(index >= success_at), terminated=index == steps - 1)
        for index, t in enumerate(episode.transitions)
    ]
    return replace(episode, transitions=tuple(transitions))


def test_the_tail_after_the_first_success_is_cut() -> None:
    episode = with_tail(5)
    cut = until_success(episode)
    assert len(cut) == 6 and cut.success
    last = cut.transitions[-1]
    assert last.terminated and not last.truncated and last.reward == 1.0
    assert last.next_observation is episode.transitions[5].next_observation
    assert cut.transitions[:5] == episode.transitions[:5]
    assert sum(t.reward for t in cut.transitions) == 1.0
    assert cut.robot_seconds == episode.robot_seconds, "the robot's time was spent all the same"


def test_an_episode_without_success_stays_as_it_is() -> None:
    episode = make_episode(SMALL_ROBOT, 2, success=False)
    assert until_success(episode) is episode


class CountingReward:
    """Sees success from the step on at which proprioception says so, and counts what it was asked."""

    def __init__(self, seen: int | None) -> None:
        self.seen = seen
        self.asked = -1

    def reset(self) -> None:
        self.asked = -1

    def judge(self, observation: Observation, step: Step) -> Judgement:
        self.asked += 1
        success = self.asked == self.seen
        return Judgement(float(success), success, success)


def test_what_another_reward_sees_decides_where_an_episode_ends() -> None:
    episode = with_tail(5)
    assert first_success(episode) == 5
    for seen in (3, 7):
        assert success_seen_by(CountingReward(seen), episode) == seen
        cut = until_success(episode, seen)
        assert len(cut) == seen + 1 and cut.success and cut.transitions[-1].terminated
        assert [t.reward for t in cut.transitions] == [0.0] * seen + [1.0]
        assert [t.success for t in cut.transitions] == [False] * seen + [True]
    reward = CountingReward(None)
    assert success_seen_by(reward, episode) is None and reward.asked == 7
    assert success_seen_by(reward, episode) is None and reward.asked == 7, "it begins anew each time"


def test_the_environments_reward_sees_what_the_environment_said() -> None:
    failed, done = make_episode(SMALL_ROBOT, 2, success=False), make_episode(SMALL_ROBOT, 2, success=True)
    assert success_seen_by(EnvironmentReward(), failed) is None
    assert success_seen_by(EnvironmentReward(), done) == len(done) - 1


def test_observations_include_the_terminal_one() -> None:
    episode = make_episode(SMALL_ROBOT, 3, steps=4)
    seen = observations_of(episode)
    assert len(seen) == 5
    assert [o is t.observation for o, t in zip(seen, episode.transitions, strict=False)] == [True] * 4
    assert seen[-1] is episode.transitions[-1].next_observation


def test_an_episode_is_stored_with_what_was_done_what_was_commanded_and_its_end() -> None:
    replay = Replay(3, 2, ReplayConfig(capacity=50, n_step=1, discount=0.9, deadline_is_terminal=False))
    latent = LatentEncoder(3, None, privileged=False)
    failed, done = make_episode(SMALL_ROBOT, 4, success=False), make_episode(SMALL_ROBOT, 5, success=True)
    for key, episode, demonstration in (("failed", failed, False), ("done", done, True)):
        latents = latent.encode(observations_of(episode))[:, None]
        add_episode(replay, key, episode, latents, demonstration=demonstration, online=not demonstration)
    for share, episode, bootstraps in ((0.0, failed, 0.9), (1.0, done, 0.0)):
        batch = replay.sample(300, share)
        for index, transition in enumerate(episode.transitions):
            wanted = torch.from_numpy(transition.observation.proprio).clamp(-5, 5)
            rows = torch.nonzero((batch.observation == wanted).all(-1))[:, 0]
            assert len(rows) > 0, "every step can be drawn"
            row = int(rows[0])
            np.testing.assert_array_equal(batch.action[row], transition.executed)
            np.testing.assert_array_equal(
                batch.commanded[row], np.where(transition.control, transition.executed, transition.proposed)
            )
            np.testing.assert_allclose(
                batch.next_observation[row], transition.next_observation.proprio.clip(-5, 5), rtol=1e-6
            )
            assert batch.reward[row] == transition.reward
            last = index == len(episode) - 1
            assert batch.discount[row].item() == np.float32(bootstraps if last else 0.9)
