"""The environment's own reward and verdict."""

from __future__ import annotations

from dexloop.types import Judgement, Observation, Step


class EnvironmentReward:
    """A RewardModel that believes the environment; for simulations that know when a task is done.

    The reward is 1 at success and 0 otherwise, whatever numbers the environment gives: so is a classifier's, and
    critics clip their targets to what such rewards can sum to.
    An environment without a verdict of its own succeeds when it terminates with a positive reward,
    the sign by which sparse tasks tell reaching the goal from failing.
    """

    def reset(self) -> None:
        """Nothing to forget: every step is judged by itself."""

    def judge(self, observation: Observation, step: Step) -> Judgement:
        """1 at success; terminated by success or by the environment."""
        success = (step.terminated and step.reward > 0) if step.success is None else step.success
        return Judgement(reward=float(success), success=success, terminated=success or step.terminated)
