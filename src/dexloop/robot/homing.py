"""The way home: from place to place within every limit, and whether the robot got there."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future

import numpy as np

from dexloop.errors import DexloopError
from dexloop.robot.control_config import ControlConfig
from dexloop.robot.motion import Motion
from dexloop.robot.plant import Plant, PlantState, Setpoint
from dexloop.sim.hand import FINGER_NAMES

# The robot is at home once it is measured this near to where it was told to go [rad, closed fraction], and it has so
# long for that, or rests so long before something on the way [s].
_AT_HOME, _OPENED = 0.01, 0.05
_HOME_SECONDS = 3.0


class Homing:
    """Leads ``motion`` home over the places that ``plant`` names; for the control thread alone."""

    def __init__(self, plant: Plant, motion: Motion, config: ControlConfig) -> None:
        self._plant, self._motion, self._config = plant, motion, config
        self._way: deque[Setpoint] = deque()
        self._home: Future[None] | None = None
        self._by = float("inf")
        self._straight = False

    @property
    def under_way(self) -> bool:
        """Whether the robot is on its way."""
        return self._home is not None

    def begin(self) -> Future[None]:
        """Set out; the future is done at home. Raises DexloopError where there is no way, and while on one."""
        if self._home is not None:
            raise DexloopError("the robot is on its way home already")
        self._plan(straight=False)
        home: Future[None] = Future()
        if not self._way:
            home.set_result(None)
            return home
        self._home = home
        self._next_leg()
        return home

    def abandon(self, why: DexloopError) -> None:
        """Stay where the robot is."""
        if self._home is not None:
            self._home.set_exception(why)
            self._home = None

    def go_further(self, state: PlantState) -> str | None:
        """On to the next place; the fault where there is no getting on."""
        assert self._home is not None
        now = time.monotonic()
        if not self._motion.arrived:
            if not self._motion.at_rest:
                self._by = now + _HOME_SECONDS
            return None if now <= self._by else self._get_round()
        if self._way:
            self._next_leg()
            return None
        off = np.abs(state.joints - self._motion.setpoint.joints)
        fingers_off = np.abs(state.fingers - self._motion.setpoint.fingers)
        if off.max() < _AT_HOME and fingers_off.max() < _OPENED:
            self._motion.rest()
            self._home.set_result(None)
            self._home = None
        elif now > self._by:
            stuck = f"joint {int(off.argmax()) + 1}" if off.max() >= _AT_HOME else FINGER_NAMES[fingers_off.argmax()]
            return f"{stuck} does not reach home"
        return None

    def _get_round(self) -> str | None:
        """Past what keeps the robot from the next place; the fault where there is no getting past."""
        if self._way and self._motion.arm_arrived:
            # The table is in the way of the fingers, which open farther up.
            self._next_leg()
            return None
        if self._way and not self._straight:
            # Retreating would fold the hand onto the arm; from there the straight way is often free.
            try:
                self._plan(straight=True)
            except DexloopError as error:
                return str(error)
            self._next_leg()
            return None
        near = " and ".join(f"{pair} would come too near to each other" for pair in self._motion.held_by)
        return f"the way home is blocked: {near or 'a joint is at its limit'}; move the arm by hand"

    def _plan(self, *, straight: bool) -> None:
        now = self._motion.setpoint
        self._way = deque(self._plant.way_home(now.joints, now.fingers, straight=straight))
        self._straight = straight

    def _next_leg(self) -> None:
        c = self._config
        self._by = time.monotonic() + _HOME_SECONDS
        self._motion.travel(self._way.popleft(), c.homing_speed, c.homing_finger_speed)
