"""The one episode loop: recording, training, evaluation and deployment differ only in what it is given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dexloop.core import Gate, Listener, Operator, Policy, RewardModel, Robot
from dexloop.errors import DexloopError, RobotFault
from dexloop.types import HANDS_OFF, Episode, Observation, Proposal, Transition, Verdict


def run_episode(
    robot: Robot,
    policy: Policy,
    reward: RewardModel,
    gate: Gate,
    *,
    seed: int,
    operator: Operator | None = None,
    listeners: Sequence[Listener] = (),
    explore: bool = False,
    tail_steps: int = 0,
    start: Observation | None = None,
) -> Episode:
    """Run one episode and return it; listeners have heard of it by then.

    explore: whether the policy adds its exploration noise. tail_steps: control steps to go on after
    the first success, so that demonstrations hold enough frames of a finished task to learn a
    reward from. start: what the robot showed after a reset to ``seed``, where that has just been done.
    Steps in which the robot holds are not part of the episode.

    A fault, in a step or while holding, ends the episode and voids it: it is not valid and no success.
    """
    spec = robot.spec
    began = time.perf_counter()
    observation = robot.reset(seed) if start is None else start
    for part in (policy, operator):
        if part is not None:
            part.reset(seed)
    for part in (reward, gate):
        part.reset()

    transitions: list[Transition] = []
    success, true_success, discarded, stop, asked = False, None, False, False, False
    fault: str | None = None
    verdict: Verdict | None = None
    held_steps, tail, over = 0, tail_steps, False
    proposal = Proposal(np.zeros(spec.action.size, np.float32))
    while not over:
        operator_input = operator.poll(observation, asked) if operator else HANDS_OFF
        # Of a pause a policy shall remember nothing: what it learns from has none.
        if not operator_input.pause:
            proposal = policy.act(observation, explore)
        decision = gate.decide(proposal, operator_input)
        asked = decision.ask
        stop = stop or operator_input.stop
        verdict = operator_input.verdict
        if stop or verdict is not None:
            success = verdict is Verdict.SUCCESS
            discarded = stop or verdict is Verdict.DISCARD
            transitions[-1:] = [_judged(t, success) for t in transitions[-1:]]
            break
        if decision.hold:
            held_steps += 1
            try:
                observation = robot.hold()
            except RobotFault as error:
                fault = str(error)
                break
            continue

        wanted = proposal.action
        if operator_input.action is not None:
            wanted = np.where(decision.control, operator_input.action, wanted)
        step = robot.step(wanted)
        judgement = reward.judge(observation, step)
        success = success or judgement.success
        if step.success is not None:
            true_success = bool(true_success) or step.success
        # A demonstration goes on for its tail; everything else ends with the judgement.
        ending = judgement.terminated or (tail < tail_steps)
        terminated = step.terminated or (ending and tail == 0)
        tail -= int(ending)
        transition = Transition(
            observation=observation,
            proposed=proposal.action,
            executed=step.executed,
            control=decision.control,
            reward=judgement.reward,
            next_observation=step.observation,
            terminated=terminated,
            truncated=step.truncated and not terminated,
            success=judgement.success,
            true_success=step.success,
            score=judgement.score,
        )
        transitions.append(transition)
        for listener in listeners:
            listener.on_step(transition)
        fault = step.fault
        over = terminated or step.truncated or fault is not None
        observation = step.observation

    valid = fault is None and not discarded and len(transitions) > 0
    said = {"fault": fault, "verdict": verdict.value if verdict is not None else None}
    episode = Episode(
        transitions=tuple(transitions),
        task=spec.task,
        seed=seed,
        success=success and valid,
        true_success=true_success,
        robot_seconds=(len(transitions) + held_steps) / spec.control_hz + spec.reset_seconds,
        wall_seconds=time.perf_counter() - began,
        valid=valid,
        stop=stop,
        info={name: value for name, value in said.items() if value is not None},
    )
    for listener in listeners:
        listener.on_episode(episode)
    return episode


class VoidLimit:
    """Ends a series of episodes when ``most`` in a row were void, as with a fault that does not go away."""

    def __init__(self, most: int = 10) -> None:
        self._most = most
        self._in_a_row = 0

    def check(self, episode: Episode) -> None:
        """Count one more episode; raises DexloopError, naming the last fault, when it is one too many."""
        trouble = self.trouble(episode)
        if trouble is not None:
            raise DexloopError(f"{trouble}; see to the robot, what is finished is kept")

    def trouble(self, episode: Episode) -> str | None:
        """Count one more episode; why it is one too many, naming the last fault, and None when it is not."""
        self._in_a_row = 0 if episode.valid else self._in_a_row + 1
        if self._in_a_row < self._most:
            return None
        why = f"the last by a fault: {episode.info['fault']}" if "fault" in episode.info else "without a fault"
        return f"{self._in_a_row} episodes in a row were void, {why}"


def _judged(last: Transition, success: bool) -> Transition:
    """The last transition of an episode that the operator ended with a verdict."""
    return replace(last, reward=float(success), success=success, terminated=True, truncated=False)
