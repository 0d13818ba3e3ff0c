"""The one episode loop: recording, training, evaluation and deployment differ only in what it is given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dexloop.core import Gate, Listener, Operator, Policy, RewardModel, Robot
from dexloop.types import HANDS_OFF, Episode, Transition, Verdict


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
) -> Episode:
    """Run one episode and return it; listeners have heard of it by then.

    explore: whether the policy adds its exploration noise. tail_steps: control steps to go on after
    the first success, so that demonstrations hold enough frames of a finished task to learn a
    reward from. Steps in which the robot holds are not part of the episode.
    """
    spec = robot.spec
    began = time.perf_counter()
    observation = robot.reset(seed)
    for part in (policy, operator):
        if part is not None:
            part.reset(seed)
    for part in (reward, gate):
        part.reset()

    transitions: list[Transition] = []
    success, true_success, valid, stop, asked = False, None, True, False, False
    held_steps, tail, over = 0, tail_steps, False
    while not over:
        proposal = policy.act(observation, explore)
        operator_input = operator.poll(observation, asked) if operator else HANDS_OFF
        decision = gate.decide(proposal, operator_input)
        asked = decision.ask
        stop = stop or operator_input.stop
        verdict = operator_input.verdict
        if stop or verdict is not None:
            success = verdict is Verdict.SUCCESS
            valid = not stop and verdict is not Verdict.DISCARD
            transitions[-1:] = [_judged(t, success) for t in transitions[-1:]]
            break
        if decision.hold:
            observation = robot.hold()
            held_steps += 1
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
        if step.fault is not None:
            valid = False
        over = terminated or step.truncated or step.fault is not None
        observation = step.observation

    episode = Episode(
        transitions=tuple(transitions),
        task=spec.task,
        seed=seed,
        success=success,
        true_success=true_success,
        robot_seconds=(len(transitions) + held_steps) / spec.control_hz + spec.reset_seconds,
        wall_seconds=time.perf_counter() - began,
        valid=valid and len(transitions) > 0,
        stop=stop,
    )
    for listener in listeners:
        listener.on_episode(episode)
    return episode


def _judged(last: Transition, success: bool) -> Transition:
    """The last transition of an episode that the operator ended with a verdict."""
    return replace(last, reward=float(success), success=success, terminated=True, truncated=False)
