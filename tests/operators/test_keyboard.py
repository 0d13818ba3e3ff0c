"""The keyboard operator at a real terminal: the other end of it presses the keys."""

from __future__ import annotations

import os
import pty
import termios
import time
from collections.abc import Iterator

import numpy as np
import pytest

from dexloop import DexloopError
from dexloop.operators.keyboard import KEY_PAIRS, KeyboardOperator, Role
from dexloop.types import (
    HANDS_OFF,
    ActionGroup,
    ActionSpec,
    Observation,
    ObservationSpec,
    OperatorInput,
    RobotSpec,
    Transition,
    Verdict,
)

SEEN = Observation(np.zeros(1, np.float32))


def spec(size: int = 2, can_hold: bool = True, groups: tuple[ActionGroup, ...] = (), hz: float = 100.0) -> RobotSpec:
    return RobotSpec("toy", "toy", ActionSpec(size, groups), ObservationSpec(1), hz, 50, can_hold=can_hold)


class Terminal:
    """Two ends of a terminal."""

    def __init__(self) -> None:
        self.person, self.computer = pty.openpty()

    def type(self, keys: str) -> None:
        os.write(self.person, keys.encode())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    ends = Terminal()
    yield ends
    for end in (ends.person, ends.computer):
        try:
            os.close(end)
        except OSError:
            assert end == ends.person  # a test hung up


def started(terminal: Terminal, role: Role = "demonstrate", **kwargs: object) -> KeyboardOperator:
    operator = KeyboardOperator(spec(**kwargs), terminal.computer, role=role)  # type: ignore[arg-type]
    operator.reset(0)
    return operator


def is_still(said: OperatorInput) -> bool:
    """Whether the operator drives everything and moves nothing."""
    assert said.action is not None and said.control is not None
    return bool(said.control.all()) and not said.action.any()


def step_of(*executed: float) -> Transition:
    action = np.array(executed, np.float32)
    return Transition(SEEN, action, action, np.zeros(len(action), np.bool_), 0.0, SEEN, False, False)


def after(operator: KeyboardOperator, terminal: Terminal, keys: str) -> OperatorInput:
    terminal.type(keys)
    time.sleep(0.02)  # until the terminal has passed them on
    return operator.poll(SEEN)


def test_keys_move_their_dimensions_for_a_moment(terminal: Terminal) -> None:
    operator = started(terminal)
    assert is_still(operator.poll(SEEN))
    said = after(operator, terminal, "d")
    assert said.action is not None and said.control is not None
    assert said.action.tolist() == [1.0, 0.0] and said.control.all()
    said = after(operator, terminal, "s")
    assert said.action is not None and said.action.tolist() == [1.0, -1.0]
    # 0.15 s are 15 control steps; the first key was pressed one step earlier.
    driven = [operator.poll(SEEN) for _ in range(16)]
    assert [np.count_nonzero(one.action) for one in driven] == [2] * 13 + [1] + [0] * 2


def test_capital_letters_count_and_other_keys_do_not(terminal: Terminal) -> None:
    operator = started(terminal)
    assert is_still(after(operator, terminal, "?\n\x1b[A\x1bOD\x1b[3~"))
    said = after(operator, terminal, "W")
    assert said.action is not None and said.action.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("key", "verdict"), [("y", Verdict.SUCCESS), ("n", Verdict.FAILURE)])
def test_verdicts(terminal: Terminal, key: str, verdict: Verdict) -> None:
    assert after(started(terminal), terminal, key).verdict is verdict


def test_q_stops(terminal: Terminal) -> None:
    assert after(started(terminal), terminal, "dq").stop


def test_space_pauses_and_goes_on(terminal: Terminal) -> None:
    operator = started(terminal)
    assert after(operator, terminal, " ").pause and operator.poll(SEEN).pause
    assert not after(operator, terminal, " ").pause


def test_a_robot_that_cannot_hold_stands_still(terminal: Terminal) -> None:
    said = after(started(terminal, can_hold=False), terminal, "d ")
    assert not said.pause and is_still(said)


def test_a_hand_keeps_its_grip_where_the_robot_cannot_hold(terminal: Terminal) -> None:
    groups = (ActionGroup("arm", 0, 1), ActionGroup("hand", 1, 3))
    said = after(started(terminal, size=3, groups=groups, can_hold=False), terminal, "dww ")
    assert said.action is not None and said.action == pytest.approx([0.0, -0.6, -1.0])


def test_positions_of_a_hand_stay(terminal: Terminal) -> None:
    operator = started(terminal, size=3, groups=(ActionGroup("arm", 0, 1), ActionGroup("hand", 1, 3)))
    said = after(operator, terminal, "wwr")
    assert said.action is not None and said.action == pytest.approx([0.0, -0.6, -0.8])
    later = [operator.poll(SEEN) for _ in range(20)][-1]
    assert later.action is not None and later.action == pytest.approx([0.0, -0.6, -0.8])
    assert later.control is not None and later.control.all()


def test_what_was_pressed_between_episodes_does_not_count(terminal: Terminal) -> None:
    operator = started(terminal)
    after(operator, terminal, "d ")
    terminal.type("q")
    time.sleep(0.02)
    operator.reset(1)
    assert is_still(operator.poll(SEEN))


def test_polling_keeps_the_control_rate(terminal: Terminal) -> None:
    operator = started(terminal, hz=50.0)
    operator.poll(SEEN)
    began = time.monotonic()
    for _ in range(10):
        operator.poll(SEEN)
    assert 0.19 < time.monotonic() - began < 0.6
    time.sleep(0.2)
    began = time.monotonic()
    operator.poll(SEEN)
    operator.poll(SEEN)
    assert time.monotonic() - began > 0.015  # lost time is not caught up with


def test_the_terminal_is_given_back(terminal: Terminal) -> None:
    before = termios.tcgetattr(terminal.computer)
    operator = started(terminal)
    during = termios.tcgetattr(terminal.computer)
    assert not during[3] & (termios.ECHO | termios.ICANON) and during[3] & termios.ISIG
    operator.close()
    assert termios.tcgetattr(terminal.computer) == before


def test_a_pipe_is_no_terminal() -> None:
    reading, writing = os.pipe()
    with pytest.raises(DexloopError, match="--operator keyboard needs a terminal"):
        KeyboardOperator(spec(), reading).reset(0)
    os.close(reading)
    os.close(writing)


def test_a_hung_up_terminal_is_named(terminal: Terminal) -> None:
    operator = started(terminal)
    os.close(terminal.person)
    with pytest.raises(DexloopError, match="terminal was closed"):
        operator.poll(SEEN)


def test_keys_are_distinct_and_too_few_are_named() -> None:
    keys = "".join(KEY_PAIRS) + "qyn "
    assert len(set(keys)) == len(keys)
    with pytest.raises(DexloopError, match="17 action dimensions, toy has 18"):
        KeyboardOperator(spec(size=18))


def test_the_help_names_what_the_keys_move() -> None:
    named = RobotSpec("toy", "toy", ActionSpec(2, (), ("x", "grip")), ObservationSpec(1), 10.0, 50)
    assert "d/a x, w/s grip" in KeyboardOperator(named).help()
    assert "Enter" in KeyboardOperator(named, role="take over").help()
    assert "grip" not in KeyboardOperator(named, role="judge").help()


def test_a_person_who_takes_over_drives_from_a_key_press_until_enter(terminal: Terminal) -> None:
    operator = started(terminal, "take over")
    assert operator.poll(SEEN) == HANDS_OFF
    said = after(operator, terminal, "d")
    assert said.action is not None and said.action.tolist() == [1.0, 0.0]
    later = [operator.poll(SEEN) for _ in range(20)]
    assert is_still(later[-1]), "between two presses the policy does not interfere"
    assert after(operator, terminal, "d\n") == HANDS_OFF and operator.poll(SEEN) == HANDS_OFF
    after(operator, terminal, "d")
    operator.reset(1)
    assert operator.poll(SEEN) == HANDS_OFF, "each episode begins with the policy"


def test_a_hand_is_taken_over_as_it_is(terminal: Terminal) -> None:
    groups = (ActionGroup("arm", 0, 1), ActionGroup("hand", 1, 3))
    operator = started(terminal, "take over", size=3, groups=groups)
    operator.on_step(step_of(0.7, 0.1, 0.4))
    said = after(operator, terminal, "w")
    assert said.action is not None and said.action == pytest.approx([0.0, 0.3, 0.4])
    operator.on_step(step_of(0.0, 0.0, 0.0))
    assert operator.poll(SEEN).action == pytest.approx([0.0, 0.3, 0.4]), "what the person set does not change"
    after(operator, terminal, "\n")
    operator.on_step(step_of(0.0, 0.9, 0.9))
    said = after(operator, terminal, "d")
    assert said.action is not None and said.action == pytest.approx([1.0, 0.9, 0.9])


def test_a_judge_never_drives(terminal: Terminal) -> None:
    operator = started(terminal, "judge", size=30, can_hold=False)
    assert after(operator, terminal, "dw ") == HANDS_OFF
    assert after(operator, terminal, "y").verdict is Verdict.SUCCESS


def test_errors_name_the_flag_that_was_given(terminal: Terminal) -> None:
    with pytest.raises(DexloopError, match=r"^--train\.take-over keyboard has keys for"):
        KeyboardOperator(spec(size=18), flag="--train.take-over")
    operator = KeyboardOperator(spec(), terminal.computer, flag="--train.take-over")
    operator.reset(0)
    os.close(terminal.person)
    with pytest.raises(DexloopError, match=r"^--train\.take-over keyboard: the terminal was closed"):
        operator.poll(SEEN)
