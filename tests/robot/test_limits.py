"""Whatever is asked for, setpoints stay within position, speed and acceleration, and braking is always possible."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dexloop.robot.limits import MotionLimiter, MotionLimits

PERIOD = 0.01
LIMITS = MotionLimits(
    low=np.array([-1.0, 0.0]), high=np.array([1.5, 1.0]), speed=np.array([2.0, 3.0]), acceleration=np.array([8.0, 40.0])
)
TINY = 1e-9
Asked = st.lists(arrays(np.float64, (2, 2), elements=st.floats(-1e6, 1e6)), min_size=1, max_size=120)


def check(before: np.ndarray, speed: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The new speed, after every limit was looked at."""
    assert (after >= LIMITS.low).all() and (after <= LIMITS.high).all()
    new = (after - before) / PERIOD
    assert (np.abs(new) <= LIMITS.speed + 1e-6).all()
    assert (np.abs(new - speed) <= LIMITS.acceleration * PERIOD + 1e-6).all()
    return new


@settings(max_examples=200, deadline=None)
@given(start=arrays(np.float64, 2, elements=st.floats(-3, 3)), asked=Asked)
def test_any_sequence_of_references_gives_setpoints_within_every_limit(start: np.ndarray, asked: list) -> None:
    limiter = MotionLimiter(LIMITS, PERIOD, start)
    position, speed = limiter.position.copy(), np.zeros(2)
    for reference, reference_speed in asked:
        after = limiter.follow(reference, reference_speed)
        speed = check(position, speed, after)
        position = after


@settings(max_examples=200, deadline=None)
@given(asked=Asked)
def test_braking_ends_at_rest_within_the_stopping_distance(asked: list) -> None:
    limiter = MotionLimiter(LIMITS, PERIOD, np.array([0.2, 0.5]))
    for reference, reference_speed in asked:
        limiter.follow(reference, reference_speed)
    position, speed, begun = limiter.position.copy(), limiter.speed.copy(), limiter.position.copy()
    for _ in range(200):
        after = limiter.brake()
        speed = check(position, speed, after)
        position = after
        if limiter.at_rest:
            break
    assert limiter.at_rest
    assert (np.abs(position - begun) <= LIMITS.stopping_distance() + TINY).all()


def test_a_moving_reference_is_followed_without_lag_and_without_overshoot() -> None:
    limiter = MotionLimiter(LIMITS, PERIOD, np.array([-0.5, 0.2]))
    speed = np.array([1.0, 0.5])
    for tick in range(1, 81):
        reference = np.array([-0.5, 0.2]) + speed * PERIOD * tick
        after = limiter.follow(reference, speed)
    np.testing.assert_allclose(after, reference, atol=1e-6)
    highest = after.copy()
    for _ in range(60):
        highest = np.maximum(highest, limiter.follow(reference, np.zeros(2)))
    braking = speed**2 / (2 * LIMITS.acceleration)
    assert (highest <= reference + braking + 1e-6).all(), "no farther than braking takes"
    np.testing.assert_allclose(limiter.position, reference, atol=1e-6)


def test_a_far_reference_is_reached_in_the_shortest_time_and_not_passed() -> None:
    limiter = MotionLimiter(LIMITS, PERIOD, np.array([-0.5, 0.0]))
    reference = np.array([0.5, 0.8])
    reached, highest = None, np.full(2, -np.inf)
    for tick in range(200):
        after = limiter.follow(reference, np.zeros(2))
        highest = np.maximum(highest, after)
        if reached is None and np.abs(after - reference).max() < 1e-3:
            reached = tick * PERIOD
    assert (highest <= reference + 1e-9).all()
    # Accelerate at 8 to 2, cruise, brake: 1.0 = 2 t - 4 / 8, so t = 0.75 s.
    assert reached is not None and 0.70 < reached < 0.85


@settings(max_examples=100, deadline=None)
@given(asked=Asked)
def test_the_way_that_braking_takes_is_known_beforehand(asked: list) -> None:
    limiter = MotionLimiter(LIMITS, PERIOD, np.array([0.2, 0.5]))
    for reference, reference_speed in asked:
        limiter.follow(reference, reference_speed)
    foreseen = limiter.braking()
    taken = np.array([limiter.brake() for _ in range(len(foreseen))]).reshape(-1, 2)
    np.testing.assert_allclose(taken, foreseen, atol=1e-9)
    rest = limiter.brake()
    assert limiter.at_rest or np.abs(limiter.speed).max() < 1e-6
    np.testing.assert_allclose(rest, foreseen[-1] if len(foreseen) else rest, atol=1e-9)


def test_a_share_of_the_speed_is_reached_by_braking_and_then_kept() -> None:
    limiter = MotionLimiter(LIMITS, PERIOD, np.array([-1.0, 0.0]))
    for _ in range(40):
        limiter.follow(np.array([1.5, 1.0]), np.zeros(2), 1.0)
    for _ in range(20):
        before, speed = limiter.position.copy(), limiter.speed.copy()
        after = limiter.follow(np.array([1.5, 1.0]), np.zeros(2), 0.25)
        check(before, speed, after)
    assert (np.abs(limiter.speed) <= 0.25 * LIMITS.speed + 1e-9).all()
