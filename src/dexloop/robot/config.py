"""What a Gymnasium environment may leave unsaid, and how a controller on another machine is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GymConfig:
    """What a Gymnasium environment does not say itself.

    control_hz: control rate [Hz], None for the environment's ``render_fps``. max_steps: deadline in control steps,
    None for its registered limit. reset_seconds: robot time of one reset [s]. render_mode: how the environment draws
    itself: human for a window of its own, where it has one; None for its default.
    """

    control_hz: float | None = None
    max_steps: int | None = None
    reset_seconds: float = 0.0
    render_mode: str | None = None


@dataclass(frozen=True, slots=True)
class ClientSecurity:
    """certificate: PEM file of the authority that signed the controller's, or its own. token: file with the token

    that the controller asks for.
    """

    certificate: Path | None = None
    token: Path | None = None
