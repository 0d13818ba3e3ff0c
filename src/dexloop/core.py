"""The protocols that the episode loop is written against.

    observation = robot.reset(seed)
    while not over:
        said     = operator.poll(observation, asked)
        proposal = policy.act(observation, explore)
        decision = gate.decide(proposal, said)
        step     = robot.step(the action of whoever drives)
        judgement = reward.judge(observation, step)
        listener.on_step(transition) for each listener

``dexloop.episode.run_episode`` is that loop in full; nothing else steps a robot.
"""

from __future__ import annotations

from typing import Protocol

from dexloop.types import (
    Decision,
    Episode,
    Judgement,
    Observation,
    OperatorInput,
    Proposal,
    RobotSpec,
    Step,
    Transition,
)


class Robot(Protocol):
    """An arm with a hand and cameras, simulated or real, or any Gymnasium environment."""

    @property
    def spec(self) -> RobotSpec: ...

    def reset(self, seed: int) -> Observation:
        """Bring robot and scene to a start state drawn from ``seed``; return what is seen there."""
        ...

    def step(self, action: object) -> Step:
        """Execute one action (A,) for one control period."""
        ...

    def hold(self) -> Observation:
        """Rest for one control period without the task's clock running; raises RobotFault when that goes wrong."""
        ...

    def stop(self) -> None:
        """Stop all motion now. Not an emergency stop."""
        ...

    def rearm(self) -> None:
        """Leave the stopped state; a person has looked."""
        ...

    def announce(self, policy_version: int) -> None:
        """Which version of the policy acts from now on, for the robot's log; nothing where there is none."""
        ...

    def close(self) -> None: ...


class Policy(Protocol):
    """Anything that proposes actions. ``reset`` is called before every episode."""

    def reset(self, seed: int) -> None: ...

    def act(self, observation: Observation, explore: bool) -> Proposal:
        """The action for this observation: the mean, or with exploration noise when ``explore``.

        Asked once in every control step, also while an operator drives, but not during a pause.
        """
        ...


class Operator(Protocol):
    """A person, or a program in a person's place."""

    def reset(self, seed: int) -> None: ...

    def poll(self, observation: Observation, asked: bool) -> OperatorInput:
        """What the operator does now; never blocks. ``asked``: the robot requests help."""
        ...


class Gate(Protocol):
    """Decides who drives; a small state machine over numbers, no networks."""

    def reset(self) -> None: ...

    def decide(self, proposal: Proposal, operator_input: OperatorInput) -> Decision: ...


class RewardModel(Protocol):
    """Turns what is seen into reward and success."""

    def reset(self) -> None: ...

    def judge(self, observation: Observation, step: Step) -> Judgement: ...


class Listener(Protocol):
    """Is told of everything that happens: recorder, journal, link to the learner, metrics, console."""

    def on_step(self, transition: Transition) -> None: ...

    def on_episode(self, episode: Episode) -> None: ...
