from __future__ import annotations

import numpy as np

from dexloop.core import Policy
from dexloop.operators.idle import StillPolicy
from dexloop.types import ActionSpec, Observation, ObservationSpec, RobotSpec

SPEC = RobotSpec("tiny", "tiny", ActionSpec(4), ObservationSpec(1), control_hz=10.0, max_steps=5)


def test_it_proposes_zeros_of_the_robots_size() -> None:
    policy: Policy = StillPolicy(SPEC)
    policy.reset(3)
    seen = Observation(np.ones(1, np.float32))
    first = policy.act(seen, explore=True)
    assert first.action.tolist() == [0.0] * 4 and first.action.dtype == np.float32
    first.action[:] = 1  # whoever writes into one proposal does not write into the next
    assert not policy.act(seen, explore=False).action.any()
