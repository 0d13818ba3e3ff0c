"""Which robot and judge a configuration names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import gymnasium
import pytest

from dexloop.config import RunConfig
from dexloop.errors import DexloopError
from dexloop.pipeline.robots import open_robot, recording_reward
from dexloop.rewards.environment import EnvironmentReward
from dexloop.rewards.person import PersonReward
from dexloop.robot.config import GymConfig
from tests.lift import Lift


class Window(Lift):
    """Takes note of how it was told to draw itself."""

    metadata = {"render_modes": ["human"], "render_fps": 10}  # noqa: RUF012
    drawn: list[str | None] = []  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode
        self.drawn.append(render_mode)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    gymnasium.register("Own/Window-v0", Window)
    Window.drawn.clear()
    yield
    del gymnasium.registry["Own/Window-v0"]


def test_an_environment_draws_itself_as_it_is_told() -> None:
    config = RunConfig(robot="gym:Own/Window-v0", reward="person")
    for mode in (None, "human"):
        assert open_robot(replace(config, gym=GymConfig(render_mode=mode))).spec.name == "lift"
    assert Window.drawn == [None, "human"]


def test_a_classifier_needs_a_camera_and_a_person_does_not() -> None:
    with pytest.raises(DexloopError, match=r"no cameras .* --reward person"):
        open_robot(RunConfig(robot="gym:Own/Window-v0"))
    assert open_robot(RunConfig(robot="gym:Own/Window-v0", reward="person")).spec.name == "lift"


def test_a_classifier_needs_a_policy_with_pictures_on_any_robot() -> None:
    for robot in ("sim", "gym:Own/Window-v0", "grpc://127.0.0.1:1"):
        with pytest.raises(DexloopError, match="--observation privileged has no pictures"):
            open_robot(RunConfig(robot=robot, observation="privileged"))


def test_a_person_is_the_only_judge_where_they_are_the_reward() -> None:
    assert isinstance(recording_reward(RunConfig(reward="person")), PersonReward)
    assert isinstance(recording_reward(RunConfig(reward="classifier")), EnvironmentReward)
