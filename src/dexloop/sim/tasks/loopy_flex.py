"""The plush beaver of ``loopy`` with a belly of deformable tetrahedra instead of two capsules."""

from __future__ import annotations

from dataclasses import replace

from dexloop.sim.tasks import loopy

# Stuffing: Young's modulus [Pa] and damping [s]. Of a belly four times as stiff and four times as damped the solver of
# MuJoCo 4.0.0 warns that its inertia is too close to singular.
_YOUNG, _DAMPING = 5e3, 0.005
# The middle of the body and those of its lower and upper end: where it is sewn to what carries limbs and head.
_SEWN = "0 5 14"


def _soft_mjcf() -> str:
    skin = 'contype="1" conaffinity="2" condim="4" friction="1.2 .01 .0005" solref=".02 1" solimp=".7 .95 .006"'
    body = (
        f'<flexcomp name="belly" type="ellipsoid" count="3 3 4" spacing=".028 .028 .022" pos="0 0 .012" radius=".007"'
        f' dim="3" mass=".060" dof="full" rgba="{loopy.PINK}"><pin id="{_SEWN}"/><contact selfcollide="none" {skin}/>'
        f'<elasticity young="{_YOUNG}" poisson=".3" damping="{_DAMPING}"/></flexcomp>'
    )
    return loopy.doll_mjcf(
        body + loopy.ball("0 0 0", 0.012, 0.010, loopy.PINK), loopy.ball("0 0 .010", 0.012, 0.010, loopy.PINK)
    )


TASK = replace(
    loopy.TASK,
    name="loopy_flex",
    summary="grasp a plush beaver with a deformable belly and lift it",
    mjcf=_soft_mjcf(),
    flexible=True,
)
