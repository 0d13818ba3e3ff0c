"""Whoever gives orders, in whatever sequence: what is not to begin does not, and who waits is told."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dexloop import DexloopError
from dexloop.robot.backend import Command
from dexloop.robot.orders import Orders

Calls = st.lists(
    st.tuples(st.just("submit"), st.floats(-0.3, 0.5).map(lambda valid: round(valid, 3)))
    | st.tuples(
        st.sampled_from(["next", "executed", "stop", "rearm", "fault", "begin", "end", "attach", "detach", "hold"]),
        st.just(0.0),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(calls=Calls)
def test_nothing_begins_that_expired_or_may_not_begin_and_who_waits_is_told(calls: list[tuple[str, float]]) -> None:
    orders, now = Orders(), 0.0
    told: list[int] = []
    begun: list[int] = []
    waiting: int | None = None
    for number, (name, valid) in enumerate([("begin", 0.0), *calls]):
        now += 0.05
        try:
            if name == "submit":
                command = Command(
                    number, np.zeros(12, np.float32), now + valid, lambda why, number=number: told.append(number)
                )
                orders.submit(command, now, now + 0.1)
                assert valid >= 0.0 and orders.running and orders.halted is None
                waiting = number
            elif name == "next":
                halted = orders.halted
                rest, begins = orders.next(now, closing=False, busy=False)
                assert rest or halted is None
                if begins is not None:
                    assert halted is None and orders.running and begins.expires >= now
                    assert begins.sequence == waiting and begins.sequence not in begun, "the newest, and never twice"
                    begun.append(begins.sequence)
            elif name == "fault":
                orders.latch("broken")
            elif name == "attach":
                orders.attach(lambda sample: None)
            else:
                getattr(orders, name)()
        except DexloopError:
            assert name in ("submit", "begin")
        if name in ("stop", "rearm", "fault", "begin", "attach", "detach"):
            # A sample tells of it, or nobody waits any more.
            waiting = None
        pending = orders._pending.sequence if orders._pending is not None else None
        if waiting is not None and pending != waiting:
            assert (waiting in begun) != (waiting in told), "begun or refused, and its sender knows"
    assert not set(begun) & set(told)
