"""The gate of a person who takes over when they see fit."""

from __future__ import annotations

import numpy as np

from dexloop.types import Decision, OperatorInput, Proposal


class HumanGate:
    """The operator drives what their control mask covers, and the policy the rest; never asks for help.

    With nobody at the controls the policy drives everything, so this is also the gate of an
    evaluation. A pause holds the robot for as long as it lasts.
    """

    def reset(self) -> None:
        """Nothing to forget: each decision follows from the operator's hands alone."""

    def decide(self, proposal: Proposal, operator_input: OperatorInput) -> Decision:
        """Control (A,) is the operator's mask; all dimensions where an action comes without a mask."""
        nobody = np.zeros(proposal.action.shape, np.bool_)
        if operator_input.pause:
            return Decision(control=nobody, hold=True, reason="paused by the operator")
        if operator_input.action is None:
            return Decision(control=nobody)
        control = ~nobody if operator_input.control is None else operator_input.control.astype(np.bool_)
        return Decision(control=control, reason="operator drives" if control.any() else "")
