"""Whatever fingers feel while a client asks for anything: arm and hand give way as the limits say, and at once."""

from __future__ import annotations

from benchmarks.oracle import Oracle
from hypothesis import given, settings
from tests.robot.drive import SAFETY, Ask, Asks, Feel, Feels, Run, Seeds, Tasks, motion_of
from tests.robot.told import Told, check_back_off, check_contact, check_not_lowered, check_stops


@settings(max_examples=40, deadline=None)
@given(asks=Asks, feels=Feels, task=Tasks, seed=Seeds)
def test_whatever_fingers_feel_arm_and_hand_give_way(asks: list[Ask], feels: list[Feel], task: str, seed: int) -> None:
    run = Run(motion_of(task, seed), feels)
    for ask in asks:
        run.ask(ask)
    run.rest()
    told, oracle = Told.of(run), Oracle(run.start, SAFETY)
    placed = oracle.shapes.place(run.path)
    check_contact(told)
    check_back_off(told, oracle)
    check_not_lowered(told, placed, oracle)
    check_stops(told)
