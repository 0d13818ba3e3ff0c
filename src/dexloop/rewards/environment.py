"""The environment's own reward and verdict."""

from __future__ import annotations

from dexloop.types import Judgement, Observation, Step


class EnvironmentReward:
    """A RewardModel that believes the environment; for simulations that know when a task is done.

    An environment without a verdict of its own succeeds when it terminates with a positive reward,
    the sign by which sparse tasks tell reaching the goal from failing.
    """

    def reset(self) -> None:
        """Nothing to forget: every step is judged by itself."""

    def judge(self, observation: Observation, step: Step) -> Judgement:
        """The step's reward; terminated by success or by the environment."""
        success = (step.terminated and step.reward > 0) if step.success is None else step.success
        return Judgement(reward=step.reward, success=success, terminated=success or step.terminated)
