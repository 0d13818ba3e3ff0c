"""Simulator of the Realman RM65-B's controller, true to its protocol."""

from dexloop.robot.simulators.realman.plant import ArmPlant, KinematicPlant
from dexloop.robot.simulators.realman.server import Faults, RealmanSimulator

__all__ = ["ArmPlant", "Faults", "KinematicPlant", "RealmanSimulator"]
