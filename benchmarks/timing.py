"""Contestants, the round-robin that times them, and what is asked of the result."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

CPU, WALL = "cpu", "wall"
CLOCKS: dict[str, Callable[[], float]] = {CPU: time.process_time, WALL: time.perf_counter}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much work a benchmark does; the shapes that make it comparable are in ``batch``.

    batch: transitions an update or a sample holds. env_steps, updates, encodings, samples, acts: calls in
    a round of each kind. images, latents: rows of the image stores and of the latent replay. images must be
    more than the processor's cache holds. compiled: whether contestants take part that compile for a minute first.
    """

    batch: int = 256
    env_steps: int = 100
    updates: int = 3
    encodings: int = 1
    samples: int = 10
    acts: int = 200
    images: int = 4_000
    vision_rows: int = 2_000
    latents: int = 100_000
    compiled: bool = True


QUICK = Scale(
    batch=4,
    env_steps=3,
    updates=1,
    encodings=1,
    samples=1,
    acts=3,
    images=12,
    vision_rows=12,
    latents=400,
    compiled=False,
)


@dataclass(frozen=True, slots=True)
class Contestant:
    """run: the call that is timed. calls: how often a round makes it. before_round: what is not timed."""

    name: str
    run: Callable[[], object]
    calls: int
    before_round: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times the speed of ``slower`` the contestant ``faster`` has; the aim is ``at_least``."""

    faster: str
    slower: str
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class RateAim:
    """A contestant's calls a second are to be ``at_least`` this many."""

    name: str
    at_least: float


@dataclass(frozen=True, slots=True)
class Contest:
    """Contestants that take turns. skipped: names of those that could not be had, and why."""

    contestants: tuple[Contestant, ...]
    comparisons: tuple[Comparison, ...] = ()
    rates: tuple[RateAim, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Timings:
    """Seconds of every call, round by round, on each clock."""

    rounds: dict[str, list[list[float]]] = field(default_factory=lambda: {clock: [] for clock in CLOCKS})

    def round_means(self, clock: str) -> list[float]:
        """The mean call of each round [s]."""
        return [fmean(calls) for calls in self.rounds[clock]]

    def quantile(self, clock: str, share: float) -> float:
        """The time that the given share of all calls stays within [s]."""
        calls = sorted(call for calls in self.rounds[clock] for call in calls)
        return calls[min(len(calls) - 1, int(share * len(calls)))]


def measure(contestants: Sequence[Contestant], rounds: int) -> dict[str, Timings]:
    """Let the contestants take turns: a turn each in every round, after one untimed call each.

    So a busy minute of the machine falls on all of them, and ratios are taken within a round.
    """
    timings = {contestant.name: Timings() for contestant in contestants}
    for contestant in contestants:
        contestant.before_round()
        contestant.run()
    # What the others hold would otherwise be looked through again and again in everyone's turn.
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            for contestant in contestants:
                contestant.before_round()
                turn = _turn(contestant)
                for clock, calls in turn.items():
                    timings[contestant.name].rounds[clock].append(calls)
    finally:
        gc.unfreeze()
    return timings


def _turn(contestant: Contestant) -> dict[str, list[float]]:
    cpu: list[float] = []
    wall: list[float] = []
    for _ in range(contestant.calls):
        wall_began, cpu_began = time.perf_counter(), time.process_time()
        contestant.run()
        cpu.append(time.process_time() - cpu_began)
        wall.append(time.perf_counter() - wall_began)
    return {CPU: cpu, WALL: wall}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def speed_ratio(faster: Timings, slower: Timings, clock: str) -> dict[str, float]:
    """Spread over the rounds of slower's time divided by faster's in the same round."""
    pairs = zip(faster.round_means(clock), slower.round_means(clock), strict=True)
    return spread([long / short for short, long in pairs])
