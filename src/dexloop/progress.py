"""What a person sees while dexloop works: one bar a stage, with the numbers that matter."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_QUIET_SECONDS = 20.0


class Bar:
    """A progress bar on a terminal; elsewhere a line every twenty seconds, so that logs stay short."""

    def __init__(self, label: str, total: float, unit: str = "") -> None:
        self._console = Console(stderr=True)
        self._label, self._total, self._unit = label, total, unit
        self._printed = time.monotonic()
        self._last = ""
        self._bar = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=total, numbers="")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if not self._console.is_terminal and self._last:
            self._console.print(self._last, highlight=False, soft_wrap=True)

    def update(self, done: float, numbers: str = "") -> None:
        """Show that ``done`` of the total is behind us."""
        self._bar.update(self._task, completed=min(round(done, 1), self._total), numbers=numbers)
        self._last = f"{self._label}: {done:.4g}/{self._total:.4g} {self._unit} {numbers}".rstrip()
        if not self._console.is_terminal and time.monotonic() - self._printed > _QUIET_SECONDS:
            self._printed = time.monotonic()
            self._console.print(self._last, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for the person, beside any bar; one line, however narrow the terminal."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)
