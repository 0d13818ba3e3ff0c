"""Labels of frames, from the simulation's truth and from a person's mark."""

from __future__ import annotations

from dataclasses import replace

from tests.data.samples import SMALL_ROBOT, make_episode

from dexloop.rewards.labelled import FrameLabel, label_from_mark, label_from_truth, label_from_verdict
from dexloop.types import Episode

U, F, S = FrameLabel.UNSURE, FrameLabel.FAILURE, FrameLabel.SUCCESS


def episode(*truths: bool | None) -> Episode:
    made = make_episode(SMALL_ROBOT, 1, steps=len(truths))
    steps = zip(made.transitions, truths, strict=True)
    return replace(made, transitions=tuple(replace(t, true_success=truth) for t, truth in steps))


def test_frames_before_a_success_begins_are_unsure() -> None:
    labelled = label_from_truth(episode(False, False, False, False, True, True), margin=2)
    assert labelled.labels == (F, F, U, U, S, S)
    assert labelled.success
    assert label_from_truth(episode(False, False, True), margin=0).labels == (F, F, S)


def test_a_dropped_object_is_a_failure_again() -> None:
    labelled = label_from_truth(episode(True, False, False, False, True), margin=1)
    assert labelled.labels == (S, F, F, U, S)


def test_steps_without_a_verdict_are_unsure_and_failures_are_failures() -> None:
    labelled = label_from_truth(episode(None, False, None, False), margin=2)
    assert labelled.labels == (U, F, U, F)
    assert not labelled.success


def test_a_mark_is_success_from_its_step_on() -> None:
    assert label_from_mark(episode(*[None] * 6), 4, margin=1).labels == (F, F, F, U, S, S)
    assert label_from_mark(episode(*[True] * 4), None, margin=2).labels == (F, F, F, F)
    assert not label_from_mark(episode(*[True] * 4), None, margin=2).success
    assert label_from_mark(episode(*[False] * 3), 0, margin=2).labels == (S, S, S)
    late = label_from_mark(episode(*[False] * 3), 3, margin=0)
    assert late.labels == (F, F, F) and not late.success


def test_a_verdict_of_success_is_about_the_last_frames_and_says_nothing_of_the_others() -> None:
    labelled = label_from_verdict(episode(*[None] * 6), True, frames=2)
    assert labelled.labels == (U, U, U, U, S, S) and labelled.success
    assert not labelled.timed, "nobody said when it began"
    assert label_from_verdict(episode(*[False] * 2), True, frames=4).labels == (S, S), "however short it was"


def test_a_verdict_of_failure_is_about_every_frame() -> None:
    labelled = label_from_verdict(episode(*[True] * 3), False, frames=2)
    assert labelled.labels == (F, F, F) and not labelled.success and labelled.timed


def test_a_frame_is_what_was_seen_after_its_step() -> None:
    made = episode(False, True)
    labelled = label_from_truth(made, margin=0)
    assert [o is t.next_observation for o, t in zip(labelled.observations, made.transitions, strict=True)] == [True] * 2
