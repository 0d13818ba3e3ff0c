"""Which measured states are faults, and that no other is one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.robot.drive import NONE, SAFETY, UNMEASURED

from dexloop.robot.faults import PressWatch
from dexloop.robot.plant import PlantState, Setpoint
from dexloop.sim.hand import FINGER_NAMES

# Times that add up without rounding [s].
STEP, PRESSING = 1 / 64, 8 / 64
Presses = arrays(np.float64, 6, elements=st.sampled_from([math.nan, 0.0, 20.0, -20.0, 20.5, -25.0]))


@settings(max_examples=200, deadline=None)
@given(pressed=st.lists(st.tuples(Presses, st.integers(1, 12)), min_size=1, max_size=8))
def test_a_finger_that_presses_too_hard_for_too_long_is_a_fault_and_no_other(
    pressed: list[tuple[np.ndarray, int]],
) -> None:
    watch = PressWatch(SAFETY.highest_force, PRESSING)
    forces = np.array([force for force, ticks in pressed for _ in range(ticks)])
    hard = np.abs(forces) > SAFETY.highest_force
    for tick, force in enumerate(forces):
        fault = watch.fault_of(force, tick * STEP)
        # Pressing then, and at every tick since ``PRESSING`` ago.
        first = tick - round(PRESSING / STEP)
        long = hard[first : tick + 1].all(axis=0) if first >= 0 else np.zeros(6, bool)
        assert (fault is not None) == long.any(), f"tick {tick}"
        if fault is not None:
            names = [FINGER_NAMES[k] for k in np.flatnonzero(long)]
            assert any(f"finger {name} presses with" in fault for name in names)
            # It stays until somebody has looked.
            return


@settings(max_examples=200, deadline=None)
@given(
    off=arrays(np.float64, 6, elements=st.floats(-0.4, 0.4)) | st.just(NONE),
    temperature=arrays(np.float64, 6, elements=st.floats(0, 100) | st.sampled_from([math.nan, 65.0, 65.5])),
    lost=st.sampled_from([None, "joints", "fingers"]),
    device=st.sampled_from([None, "arm: joint 2 is hot"]),
)
def test_heat_lost_angles_a_joint_off_its_setpoint_and_what_devices_say_are_faults_and_nothing_else_is(
    off: np.ndarray, temperature: np.ndarray, lost: str | None, device: str | None
) -> None:
    at = Setpoint(np.array([0.1, -1.0, -2.0, 0.0, 1.0, 0.0]), np.full(6, 0.5))
    state = PlantState(at.joints + off, at.fingers, UNMEASURED, temperature, device)
    if lost is not None:
        state = replace(state, **{lost: np.array([*getattr(state, lost)[:5], math.nan])})
    fault = SAFETY.fault_of(state, at)
    hot = [
        name for name, degrees in zip(FINGER_NAMES, temperature, strict=True) if degrees > SAFETY.highest_temperature
    ]
    far = np.abs(state.joints - at.joints).max() > SAFETY.following if lost != "joints" else False
    if device is not None:
        assert fault == device
    elif lost is not None:
        assert fault is not None and "not finite" in fault
    elif hot:
        assert fault is not None and f"finger {hot[0]} has" in fault
    elif far:
        joint = int(np.abs(state.joints - at.joints).argmax()) + 1
        assert fault is not None and f"joint {joint} is" in fault and "from its setpoint" in fault
    else:
        assert fault is None
