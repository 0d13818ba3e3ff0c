"""Driver of the Realman RM65-B arm, which can relay a hand on its flange.

Written after the maker's documents and checked against a simulator that the maker's SDK (1.1.6) understands, not yet
against an arm.
"""

from dexloop.robot.drivers.realman.arm import RealmanArm
from dexloop.robot.drivers.realman.hand import RelayedHand

__all__ = ["RealmanArm", "RelayedHand"]
