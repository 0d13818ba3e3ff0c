"""Episodes with a label on every frame, from the simulation's truth, a person's marks, or a person's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from dexloop.types import Episode, Observation


class FrameLabel(IntEnum):
    """What a frame shows; UNSURE ones teach nothing and count for nothing."""

    UNSURE = -1
    FAILURE = 0
    SUCCESS = 1


@dataclass(frozen=True, slots=True)
class LabelledEpisode:
    """observations (T) as seen after each step, labels (T), and whether the episode succeeded.

    timed: whether the labels say when success began. Without that an episode teaches what success looks like, but
    nobody can measure on it whether it was called too early or too late.
    """

    observations: tuple[Observation, ...]
    labels: tuple[FrameLabel, ...]
    success: bool
    timed: bool = True


def label_from_truth(episode: Episode, margin: int) -> LabelledEpisode:
    """Labels from the environment's own verdict at each step.

    margin: the frames before success begins are UNSURE, as they may show the very same thing (a
    grasp is a success only once it has held for a while). Steps without a verdict are UNSURE.
    """
    truths = [t.true_success for t in episode.transitions]
    return _label(episode, [None if t is None else bool(t) for t in truths], margin)


def label_from_mark(episode: Episode, success_from: int | None, margin: int) -> LabelledEpisode:
    """Labels from a person's mark: success holds from step ``success_from`` on, or never (None)."""
    marks: list[bool | None] = [success_from is not None and index >= success_from for index in range(len(episode))]
    return _label(episode, marks, margin)


def label_from_verdict(episode: Episode, success: bool, frames: int) -> LabelledEpisode:
    """Labels from a person's verdict on the whole episode, given when it ended.

    Of a success only the last ``frames`` are known to show it; since when it held, nobody said, so the ones before are
    UNSURE. A failure shows it nowhere.
    """
    if not success:
        return label_from_mark(episode, None, 0)
    known = min(frames, len(episode))
    labels = [FrameLabel.UNSURE] * (len(episode) - known) + [FrameLabel.SUCCESS] * known
    return LabelledEpisode(tuple(t.next_observation for t in episode.transitions), tuple(labels), True, timed=False)


def _label(episode: Episode, truths: Sequence[bool | None], margin: int) -> LabelledEpisode:
    labels: list[FrameLabel] = []
    for index, truth in enumerate(truths):
        soon = any(t for t in truths[index : index + margin + 1])
        if truth:
            labels.append(FrameLabel.SUCCESS)
        elif truth is None or soon:
            labels.append(FrameLabel.UNSURE)
        else:
            labels.append(FrameLabel.FAILURE)
    return LabelledEpisode(
        observations=tuple(t.next_observation for t in episode.transitions),
        labels=tuple(labels),
        success=FrameLabel.SUCCESS in labels,
    )
