"""The simulation as a plant that notes what its controller tells it, and whose fingers feel what they are given."""

from __future__ import annotations

from collections.abc import Sequence

from tests.robot.drive import NOTHING, Feel, Tick

from dexloop.robot.plant import PlantState, Setpoint
from dexloop.robot.simulated_plant import SimulatedPlant
from dexloop.sim.config import SimConfig


class Recorder(SimulatedPlant):
    """Notes every tick since the newest start, which is ``start``."""

    def __init__(self, config: SimConfig) -> None:
        self._feels, self._felt = NOTHING, 0
        super().__init__(config)

    @property
    def path(self) -> list[Setpoint]:
        """Every setpoint since the newest start."""
        return [self.start, *(tick.at for tick in self.ticks)]

    def feel(self, feels: Sequence[Feel]) -> None:
        """From now on, over and over."""
        self._feels = [feel for feel in feels for _ in range(feel.ticks)]

    def state(self) -> PlantState:
        state = super().state()
        force = self._feels[self._felt % len(self._feels)].force
        self._felt += 1
        self._state = PlantState(state.joints, state.fingers, force, state.temperature)
        return self._state

    def command(self, setpoint: Setpoint) -> None:
        self.ticks.append(Tick(self._state, "act", 0, setpoint))
        super().command(setpoint)

    def reset(self, seed: int) -> Setpoint:
        self.start = super().reset(seed)
        self.ticks: list[Tick] = []
        return self.start
