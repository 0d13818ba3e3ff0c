"""How the success classifier is trained and read."""

from __future__ import annotations

from dataclasses import dataclass

from dexloop.errors import DexloopError

_MOST_FOLDS = 20
_LONGEST_MOTION = 10.0


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """folds: heads, at least 2; each learns without another part of the episodes, on which it is measured.

    updates: of each head, gradient steps of ``batch`` frames, half of them positive. threshold: the probability
    above which a frame counts as success. motion_seconds: it is also told how what it sees has changed since so
    long ago each [s], as a picture does not show whether the object is at rest; empty for pictures alone. crops:
    versions of each episode, all but one shifted at random by up to ``shift`` [pixels]. input_noise: deviation of
    the noise on standardised inputs. typical: a frame counts only where it is no farther from the successes shown
    than this share of them is, measured on episodes left out; 1 counts all. window_seconds: how long success must
    be seen before it counts [s], longer than the task's own half second so that it is seldom called early; hits:
    the share of that window's frames that must say so. margin_seconds: of frames just before success, which may
    look the same and teach nothing [s].
    """

    folds: int = 4
    updates: int = 2_000
    batch: int = 128
    threshold: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    motion_seconds: tuple[float, ...] = (0.2, 0.5)
    crops: int = 6
    shift: int = 3
    input_noise: float = 0.3
    typical: float = 0.95
    window_seconds: float = 1.0
    hits: float = 0.7
    margin_seconds: float = 0.5

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        if not 2 <= self.folds <= _MOST_FOLDS:
            raise DexloopError(f"--classifier.folds must lie in [2, {_MOST_FOLDS}], got {self.folds}")
        if not all(0 < seconds <= _LONGEST_MOTION for seconds in self.motion_seconds):
            raise DexloopError(
                f"--classifier.motion-seconds must be above 0 and at most {_LONGEST_MOTION:g} each, "
                f"got {list(self.motion_seconds)}"
            )
        if self.crops < 1:
            raise DexloopError(f"--classifier.crops must be at least 1, got {self.crops}")
        if not 0 < self.threshold < 1:
            raise DexloopError(f"--classifier.threshold must lie in (0, 1), got {self.threshold:g}")
        if not 0 < self.typical <= 1:
            raise DexloopError(f"--classifier.typical must lie in (0, 1], got {self.typical:g}")
