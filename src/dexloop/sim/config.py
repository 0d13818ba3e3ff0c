"""The configuration of the simulated robot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dexloop.errors import DexloopError
from dexloop.sim.control import ActionForm, ControlLimits
from dexloop.sim.randomisation import Randomisation
from dexloop.sim.scene import CAMERAS
from dexloop.types import HAND_VIEW


@dataclass(frozen=True, slots=True)
class SimConfig:
    """How the simulated robot behaves and what it shows.

    task: name of a file in ``dexloop.sim.tasks``. control_hz: control rate [Hz]. image_size: height and width of
    both cameras' pictures [pixels]. hand_view: width of a second picture that is cut out of each camera's around
    the end effector [m at its distance], of the same size; 0 for none. observation: "images" renders both cameras;
    "privileged" renders nothing, needs no OpenGL and gives the simulation's truth instead. privileged: whether
    pictures come with that truth, for scripted operators and judges. action: see ``dexloop.sim.control``. reset:
    how far starts scatter, "fixed" or "random" (see the task). end_on_success: whether success ends the episode.
    action_latency: range from which each episode draws how late finger commands act [s]. observation_latency: how
    many control steps old observations are. saturation: whether actuators have torque limits. randomise: what else
    differs between episodes. max_seconds: deadline [s], None for the task's own. reset_seconds: robot time that a
    reset is taken to cost [s]. limits: of commanded motion.
    """

    task: str = "cup"
    control_hz: float = 10.0
    image_size: int = 64
    hand_view: float = 0.2
    observation: Literal["images", "privileged"] = "images"
    privileged: bool = False
    action: ActionForm = "delta"
    reset: Literal["fixed", "random"] = "fixed"
    end_on_success: bool = True
    action_latency: tuple[float, float] = (0.050, 0.070)
    observation_latency: int = 0
    saturation: bool = True
    randomise: Randomisation = field(default_factory=Randomisation)
    max_seconds: float | None = None
    reset_seconds: float = 3.0
    limits: ControlLimits = field(default_factory=ControlLimits)

    def __post_init__(self) -> None:
        """Raise DexloopError for a value that cannot be meant."""
        choices = {
            "observation": (self.observation, ("images", "privileged")),
            "action": (self.action, ("delta", "absolute")),
            "reset": (self.reset, ("fixed", "random")),
        }
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise DexloopError(f"--sim.{name} must be {' or '.join(allowed)}, got {value!r}")
        if not 1.0 <= self.control_hz <= 100.0:
            raise DexloopError(f"--sim.control-hz must lie in [1, 100], got {self.control_hz}")
        if not 16 <= self.image_size <= 480:
            raise DexloopError(f"--sim.image-size must lie in [16, 480] pixels, got {self.image_size}")
        if not (self.hand_view == 0.0 or 0.05 <= self.hand_view <= 1.0):
            raise DexloopError(f"--sim.hand-view must be 0 or lie in [0.05, 1] m, got {self.hand_view}")
        if self.observation_latency < 0:
            raise DexloopError(f"--sim.observation-latency must not be negative, got {self.observation_latency}")
        if not 0.0 <= self.action_latency[0] <= self.action_latency[1]:
            raise DexloopError(f"--sim.action-latency must be a range of seconds, low first, got {self.action_latency}")
        if self.max_seconds is not None and self.max_seconds <= 0.0:
            raise DexloopError(f"--sim.max-seconds must be positive, got {self.max_seconds}")

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the pictures in an observation of images."""
        return CAMERAS + (tuple(f"{camera}{HAND_VIEW}" for camera in CAMERAS) if self.hand_view else ())
