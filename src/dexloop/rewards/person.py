"""The reward of a robot on which nobody but a person knows what success is."""

from __future__ import annotations

from dexloop.types import Judgement, Observation, Step


class PersonReward:
    """A RewardModel that never calls success itself: the operator's verdict ends and rewards the episode.

    Whoever says nothing until the deadline has called it a failure.
    """

    def reset(self) -> None:
        """Nothing to forget."""

    def judge(self, observation: Observation, step: Step) -> Judgement:
        """No reward; over where the environment says so."""
        return Judgement(reward=0.0, success=False, terminated=step.terminated)
