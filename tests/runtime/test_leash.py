"""The pipe between actor and learner, also when one of them is suddenly gone."""

from __future__ import annotations

import multiprocessing
import time

from dexloop.runtime.leash import ActorEnd, LearnerEnd


def test_orders_arrive_and_stay() -> None:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        actor, learner = ActorEnd(ours), LearnerEnd(theirs)
        assert learner.wanted and not learner.finishing
        assert not actor.is_ready(patience=0.0)
        learner.ready()
        assert actor.is_ready(patience=1.0)
        actor.finish()
        assert learner.finishing and learner.finishing and learner.wanted
        actor.leave()
        assert not learner.wanted and not learner.wanted


def test_a_learner_whose_actor_is_gone_is_not_wanted() -> None:
    ours, theirs = multiprocessing.Pipe()
    with theirs:
        learner = LearnerEnd(theirs)
        ActorEnd(ours).finish()
        ours.close()
        learner.ready()
        assert not learner.wanted, "nobody is there"
        assert learner.finishing, "what was said before is not forgotten"


def test_an_actor_whose_learner_is_gone_is_told_at_once_and_may_say_what_it_likes() -> None:
    ours, theirs = multiprocessing.Pipe()
    with ours:
        theirs.close()
        actor = ActorEnd(ours)
        began = time.monotonic()
        assert not actor.is_ready(patience=30.0)
        assert time.monotonic() - began < 5
        actor.finish()
        actor.leave()
