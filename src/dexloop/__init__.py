"""dexloop teaches robots with dexterous hands: clone a few demonstrations, then improve online on the robot."""

from __future__ import annotations

from dexloop import interruption

if interruption.is_command():
    # Here and not in ``__main__``, which comes after its package and so after Gymnasium's tenths of a second.
    interruption.end_at_once()

import gymnasium

from dexloop.errors import DexloopError

__version__ = "0.1.0"
__all__ = ["DexloopError", "__version__"]

# The entry point is a string, so that nothing is imported before an environment is made.
for _task in ("cup", "cube", "scanner", "loopy", "loopy_flex"):
    _name = _task.title().replace("_", "")
    gymnasium.register(id=f"dexloop/{_name}Taking-v0", entry_point="dexloop.sim.env:DexEnv", kwargs={"task": _task})
