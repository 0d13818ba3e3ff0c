from __future__ import annotations

import numpy as np
import pytest

from dexloop.core import RewardModel
from dexloop.rewards.environment import EnvironmentReward
from dexloop.types import Judgement, Observation, Step

SEEN = Observation(np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("reward", "terminated", "verdict", "success", "over"),
    [
        (0.0, False, False, False, False),
        (1.0, False, True, True, True),
        (0.0, True, False, False, True),  # dropped: over, and the environment says it failed
        (5.0, True, False, False, True),  # its own verdict beats the sign of the reward
        (0.2, False, None, False, False),  # shaped reward on the way is no success
        (1.0, True, None, True, True),
        (-1.0, True, None, False, True),
    ],
)
def test_the_environment_is_believed(
    reward: float, terminated: bool, verdict: bool | None, success: bool, over: bool
) -> None:
    model: RewardModel = EnvironmentReward()
    model.reset()
    step = Step(SEEN, np.zeros(1, np.float32), reward, terminated, False, verdict)
    assert model.judge(SEEN, step) == Judgement(float(success), success, over)
