"""The space that the hand takes: spheres along its fingers, the palm's corners, and a capsule around all of it.

The measures are those of the simulated hand (``dexloop.sim.hand``; the tests compare them), in its frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dexloop.robot.devices import Array
from dexloop.sim.hand import HandCalibration

# Knuckles (4, 3), lengths of proximal and distal links, radii [m]; little, ring, middle, index.
_KNUCKLES = np.array([(0.002, y, 0.137) for y in (-0.0255, -0.0064, 0.0128, 0.0320)])
_PROXIMAL = np.array([0.029, 0.034, 0.037, 0.034])
_DISTAL = np.array([0.038, 0.045, 0.048, 0.045])
_RADII = np.array([0.0080, 0.0085, 0.0085, 0.0085])
_DISTAL_COUPLING, _DISTAL_OFFSET = 1.06, 0.006
_THUMB = np.array([0.008, 0.030, 0.066])
_THUMB_LENGTHS = np.array([0.046, 0.022, 0.022])
# Angle of each thumb link for a bend of 1, and for none [rad].
_THUMB_BENDS, _THUMB_SPREAD = np.array([1.0, 1.8, 2.8]), np.radians(-80.0)
_THUMB_RADIUS = 0.0095
# The palm is a box; the wrist end of the hand a cylinder, of which the spheres at its ends stand for the whole.
_PALM = np.array([(x, 0.003 + y, 0.09 + z) for x in (-0.013, 0.013) for y in (-0.04, 0.04) for z in (-0.047, 0.047)])
_STUB, _STUB_RADIUS = np.array([(0.0, 0.0, 0.0), (0.0, 0.0, 0.044)]), 0.028

RIGID = np.concatenate([_PALM, _STUB])
"""Points (10, 3) of palm and wrist end, in the hand's frame [m]."""
RIGID_RADII = np.array([0.0] * 8 + [_STUB_RADIUS] * 2)
"""Of the spheres about them (10,) [m]."""
FINGER_RADII = np.concatenate([_RADII, _RADII, _RADII, np.full(4, _THUMB_RADIUS)])
"""Of the spheres that ``finger_points`` places (16,) [m]."""
_CLOSED = np.array(HandCalibration().closed)


def finger_points(fingers: Array) -> Array:
    """Knuckles, middle joints and tips of the fingers, then the thumb's four (F, 16, 3), in the hand's frame [m].

    fingers (F, 6): closed fractions.
    """
    angles = fingers * _CLOSED
    out = np.empty((len(fingers), 16, 3))
    first = angles[:, :4]
    second = first * (1.0 + _DISTAL_COUPLING)
    out[:, 0:4] = _KNUCKLES
    out[:, 4:12, 1] = np.tile(_KNUCKLES[:, 1], 2)
    out[:, 4:8, 0] = _KNUCKLES[:, 0] + _PROXIMAL * np.sin(first)
    out[:, 4:8, 2] = _KNUCKLES[:, 2] + _PROXIMAL * np.cos(first)
    sine, cosine = np.sin(second), np.cos(second)
    out[:, 8:12, 0] = out[:, 4:8, 0] + _DISTAL * sine + _DISTAL_OFFSET * cosine
    out[:, 8:12, 2] = out[:, 4:8, 2] + _DISTAL * cosine - _DISTAL_OFFSET * sine
    bends = _THUMB_SPREAD + angles[:, 4:5] * _THUMB_BENDS
    aside = np.cumsum(-np.sin(bends) * _THUMB_LENGTHS, axis=1)
    out[:, 12] = _THUMB
    out[:, 13:, 0] = _THUMB[0] + aside * np.sin(angles[:, 5:6])
    out[:, 13:, 1] = _THUMB[1] + aside * np.cos(angles[:, 5:6])
    out[:, 13:, 2] = _THUMB[2] + np.cumsum(np.cos(bends) * _THUMB_LENGTHS, axis=1)
    return out


@dataclass(frozen=True, slots=True)
class HandShape:
    """The hand with fingers that are, or will be, at some places; in the flange's frame [m].

    points (P, 3) and radii (P,): spheres, the first ``len(RIGID)`` of palm and wrist end, the others of fingers. ends
    (2, 3) and radius: of a capsule along the hand that all of them are in.
    """

    points: Array
    radii: Array
    ends: Array
    radius: float


def hand_shape(fingers: Array, mounted: Array) -> HandShape:
    """With fingers at all of the closed fractions (F, 6); mounted: rotation (3, 3) of the hand in the flange."""
    points = np.concatenate([RIGID, finger_points(fingers).reshape(-1, 3)])
    radii = np.concatenate([RIGID_RADII, np.tile(FINGER_RADII, len(fingers))])
    low, high = points.min(axis=0), points.max(axis=0)
    centre = 0.5 * (low + high)
    across = np.hypot(points[:, 0] - centre[0], points[:, 1] - centre[1]) + radii
    ends = np.array([[centre[0], centre[1], low[2]], [centre[0], centre[1], high[2]]])
    return HandShape(points @ mounted.T, radii, ends @ mounted.T, float(across.max()))
