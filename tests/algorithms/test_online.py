"""What the learner process holds: episodes in, policies out, and a state that survives a crash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dexloop.algorithms.encoding import EpisodeEncoder
from dexloop.algorithms.iborl import ImitationRegulariser, RegulariserConfig
from dexloop.algorithms.online import OnlineLearner
from dexloop.algorithms.sac import ActorCritic, ActorCriticConfig
from dexloop.data.replay import Replay, ReplayConfig
from dexloop.networks.chooser import Chooser, PacedClone
from dexloop.networks.encoders import EncoderConfig
from dexloop.networks.storage import Architecture, load_agent
from dexloop.runtime.checkpoint import load_checkpoint, save_checkpoint
from tests.data.samples import SMALL_ROBOT, make_episode

TINY = ActorCriticConfig(batch=32, members=3, width=16, warmup_updates=4)


PACES = ((1.0, 1.0), (2.0, 1.0))


def learner(
    config: ActorCriticConfig = TINY, episodes: int = 4, *, chooses: bool = False, paced: bool = False
) -> OnlineLearner:
    torch.manual_seed(0)
    architecture = Architecture(
        state_size=3,
        action_size=2,
        privileged=False,
        cameras=(),
        encoder=EncoderConfig(),
        width=16,
        learn_deviation=config.learn_temperature,
    )
    agent = architecture.build()
    replay = Replay(agent.latent.size, 2, ReplayConfig(capacity=500), seed=0)
    teacher = replace(architecture, learn_deviation=False).head(agent.latent.size)
    made = OnlineLearner(
        architecture,
        EpisodeEncoder(agent.latent),
        replay,
        ActorCritic(
            agent.head,
            replay,
            config,
            latent_size=agent.latent.size,
            action_size=2,
            regulariser=ImitationRegulariser(teacher, RegulariserConfig()),
            learns_policy=not paced,
        ),
        teacher=teacher if chooses or paced else None,
        paces=PACES if paced else (),
        caution=2.0,
    )
    made.add_demonstration("demos/0", make_episode(SMALL_ROBOT, 100))
    for index in range(episodes):
        made.add(f"episodes/{index}", make_episode(SMALL_ROBOT, index, success=index % 2 == 0))
    return made


def test_online_steps_count_each_episode_once_and_successes_go_to_both_halves() -> None:
    made = learner(episodes=0)
    assert (made.online_steps, made.replay.demonstration_steps) == (0, 8)
    for _ in range(2):
        made.add("episodes/0", make_episode(SMALL_ROBOT, 0, steps=5, success=False))
        made.add("episodes/1", make_episode(SMALL_ROBOT, 1, steps=7, success=True))
        made.add_demonstration("demos/0", make_episode(SMALL_ROBOT, 100))
    assert made.online_steps == made.replay.online_steps == 12
    assert made.replay.demonstration_steps == 8 + 7


@pytest.mark.parametrize("learns_deviation", [False, True])
def test_critics_choose_once_they_are_warm(tmp_path: Path, learns_deviation: bool) -> None:
    config = replace(TINY, learn_temperature=learns_deviation, temperature=0.01 if learns_deviation else 0.0)
    made, path = learner(config, chooses=True), tmp_path / "policy.safetensors"
    choosers: list[Chooser | None] = []
    for version in range(3):
        path.write_bytes(made.policy(version))
        choosers.append(load_agent(path).agent.chooser)
        made.update()
    assert [chooser is None for chooser in choosers] == [True, True, False], choosers
    path.write_bytes(made.policy(3))
    chooser = load_agent(path).agent.chooser
    assert chooser is not None
    latent, action = torch.randn(4, 3), torch.rand(4, 2)
    with torch.no_grad():
        torch.testing.assert_close(chooser.critic(latent, action), made.learner.critic(latent, action))


def test_a_clone_stays_what_it_is_and_critics_pace_it_once_they_are_warm(tmp_path: Path) -> None:
    made, path = learner(paced=True), tmp_path / "policy.safetensors"
    before = [parameter.clone() for parameter in made.learner.policy.parameters()]
    choosers: list[Chooser | PacedClone | None] = []
    for version in range(3):
        path.write_bytes(made.policy(version))
        choosers.append(load_agent(path).agent.chooser)
        made.update()
    assert [chooser is None for chooser in choosers] == [True, True, False], choosers
    assert isinstance(choosers[-1], PacedClone)
    stored = load_agent(path)
    assert stored.architecture.paces == PACES
    assert stored.agent.chooser.caution == stored.architecture.caution == 2.0
    kept = stored.agent.head.parameters()
    assert all(torch.equal(old, new) for old, new in zip(before, kept, strict=True))


def test_a_verdict_that_came_later_moves_an_episode_between_the_halves() -> None:
    made = learner(episodes=0)
    failed, done = (make_episode(SMALL_ROBOT, 1, steps=7, success=success) for success in (False, True))
    made.add("episodes/1", failed)
    assert (made.online_steps, made.replay.demonstration_steps) == (7, 8)
    made.add("episodes/1", done)
    assert (made.online_steps, made.replay.demonstration_steps) == (7, 8 + 7)
    assert made.replay.sample(200, 0.0).outcome.max() == 1.0
    made.add("episodes/1", failed)
    assert (made.online_steps, made.replay.demonstration_steps) == (7, 8)
    assert made.replay.sample(200, 0.0).outcome.max() == 0.0


def test_a_verdict_on_an_episode_long_forgotten_changes_nothing() -> None:
    made = learner(episodes=0)
    for index in range(70):
        made.add(f"episodes/{index}", make_episode(SMALL_ROBOT, index, success=False))
    assert "episodes/0" not in made.replay
    steps, kept = made.online_steps, made.replay.online_steps
    made.add("episodes/0", make_episode(SMALL_ROBOT, 0, success=True))
    assert (made.online_steps, made.replay.online_steps) == (steps, kept) and "episodes/0" not in made.replay


def test_metrics_are_plain_numbers() -> None:
    made = learner()
    for _ in range(3):
        metrics = made.update()
    assert made.updates == 6
    assert all(type(value) is float for value in metrics.values())
    assert {"critic_loss", "q_mean", "return_mean", "bc_weight", "bc_loss"} <= metrics.keys()
    assert 0 <= metrics["bc_weight"] <= 1


def test_the_published_policy_is_the_present_one(tmp_path: Path) -> None:
    made = learner()
    first = made.policy(0)
    for _ in range(4):
        made.update()
    path = tmp_path / "policy.safetensors"
    path.write_bytes(made.policy(8))
    assert path.read_bytes() != first
    stored = load_agent(path)
    assert stored.facts == {"version": 8, "steps": made.online_steps} and stored.architecture == made.architecture
    state = torch.randn(5, 3)
    assert torch.equal(stored.agent.head.mean(state), made.learner.policy.mean(state))


@pytest.mark.parametrize(
    "config", [TINY, ActorCriticConfig(batch=32, width=16, temperature=0.1, learn_temperature=True)]
)
def test_updates_after_a_checkpoint_are_bit_identical(tmp_path: Path, config: ActorCriticConfig) -> None:
    made = learner(config)
    for _ in range(3):
        made.update()
    save_checkpoint(tmp_path, made.updates, made.state_dict())
    expected = [made.update() for _ in range(4)]

    fresh = learner(config)
    state, troubles = load_checkpoint(tmp_path)
    assert state is not None and troubles == []
    fresh.load_state_dict(state)
    assert [fresh.update() for _ in range(4)] == expected
    assert fresh.policy(1) == made.policy(1)
    assert fresh.updates == made.updates == 14


def test_the_critics_close_up_is_made_from_the_steps_before_a_demonstrations_success() -> None:
    made = learner(replace(TINY, close_up=3), episodes=0)
    close_up, target = made.learner.critic.close_up, made.learner.target.close_up
    assert close_up is not None and target is not None
    shown = made.encoder("demos/0", make_episode(SMALL_ROBOT, 100))[-3:, 0]
    torch.testing.assert_close(close_up.centre, shown.mean(0))
    torch.testing.assert_close(target.centre, close_up.centre)
    torch.testing.assert_close(target.magnification, close_up.magnification)
    made.add_demonstration("demos/1", make_episode(SMALL_ROBOT, 101, success=False))
    torch.testing.assert_close(close_up.centre, shown.mean(0))
    made.update()


def test_without_a_close_up_critics_see_the_latents_once() -> None:
    made = learner(episodes=0)
    assert made.learner.critic.close_up is None
    assert made.learner.critic.weights[0].shape[1] == made.encoder.latent.size + 2
