from __future__ import annotations

import numpy as np

from dexloop.core import Gate
from dexloop.gates.human import HumanGate
from dexloop.types import HANDS_OFF, OperatorInput, Proposal

PROPOSAL = Proposal(np.array([0.1, 0.2, 0.3], np.float32))
ACTION = np.ones(3, np.float32)
HAND = np.array([False, False, True])


def gate() -> Gate:
    fresh = HumanGate()
    fresh.reset()
    return fresh


def test_the_policy_drives_while_hands_are_off() -> None:
    decision = gate().decide(PROPOSAL, HANDS_OFF)
    assert decision.control.tolist() == [False] * 3 and decision.control.dtype == np.bool_
    assert not decision.hold and not decision.ask


def test_the_operator_drives_what_the_mask_covers() -> None:
    decision = gate().decide(PROPOSAL, OperatorInput(ACTION, HAND))
    assert decision.control.tolist() == [False, False, True]
    assert decision.reason and not decision.ask


def test_an_action_without_a_mask_takes_everything() -> None:
    assert gate().decide(PROPOSAL, OperatorInput(ACTION)).control.all()


def test_a_mask_without_an_action_takes_nothing() -> None:
    assert not gate().decide(PROPOSAL, OperatorInput(control=HAND)).control.any()


def test_a_pause_holds_even_with_hands_on_and_only_while_it_lasts() -> None:
    pausing = gate()
    paused = pausing.decide(PROPOSAL, OperatorInput(ACTION, HAND, pause=True))
    assert paused.hold and not paused.control.any() and paused.reason
    assert not pausing.decide(PROPOSAL, OperatorInput(ACTION, HAND)).hold
