"""The sequences of one node at work: contexts, outcomes, events, and a tick whenever one is needed."""

from __future__ import annotations

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import CallbackFailed, FunctionBegan, FunctionEnded, LevelCompleted
from primacy.machines.ids import SECOND
from primacy.machines.runs import Frame
from primacy.machines.sequence import SILENCE_NS, plan
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, Rig, record

FUNCTION = "failover"
TAKE_OVER = {
    "naming": [h.Callback(FUNCTION, 1, "low", timeout_s=2.0)],
    "stock": [h.Callback(FUNCTION, 2, "high", on_failure="escalate")],
}


def _rig() -> Rig:
    """n1 is vice and ready; its take-over is the next thing."""
    rig = Rig(TAKE_OVER)
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.become("vice", "appointment", record(1, N2, N1, ready=True, appointment=2))
    rig.effects.clear()
    return rig


def _last_wake_ns(rig: Rig) -> int:
    return [e.at_ns for e in rig.effects if isinstance(e, c.Wake)][-1]


def test_a_callback_is_told_all_that_it_may_want_to_know() -> None:
    rig = _rig()
    rig.hold = {"low"}
    rig.become("master", "failover", record(2, N1, appointment=3, by=N1))
    assert rig.runs[-1].context == h.Context(
        function=FUNCTION, level=1, term=2, cause="test", old_state="secondary", new_state="primary", peer=None,
        clean=False, deadline_s=2.0, node="n1",
    )  # fmt: skip


def test_a_callback_that_is_tried_again_is_told_so() -> None:
    rig = Rig({"stock": [h.Callback(FUNCTION, 2, "high", on_failure="retry", retries=2)]})
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.become("vice", "appointment", record(1, N2, N1, ready=True, appointment=2))
    rig.fail = {"high": "not yet"}
    rig.become("master", "failover", record(2, N1, appointment=3))
    rig.run(50)
    assert [(r.name, r.context.again) for r in rig.runs] == [("high", False), ("high", True), ("high", True)]


def test_a_callback_runs_once_for_each_term_function_and_level() -> None:
    """Whatever tells this node once more that it is master, the sequence of a term begins once."""
    rig = _rig()
    for _ in range(3):
        rig.become("master", "failover", record(2, N1, appointment=3))
        rig.run(50)
    assert [(r.name, r.context.term, r.context.again) for r in rig.runs] == [
        ("low", 2, False),
        ("high", 2, False),
    ]
    rig.become("master", "restart", record(3, N1, appointment=4))
    assert [(r.name, r.context.term, r.context.again) for r in rig.runs[2:]] == [
        ("low", 3, False),
        ("high", 3, False),
    ]


def test_a_switchover_that_is_asked_for_again_says_so() -> None:
    rig = Rig({"naming": [h.Callback("switchover", 2, "a")], "stock": [h.Callback("switchover", 1, "b")]})
    rig.pair()
    rig.fail = {"b": "no"}
    for _ in range(2):
        rig.ask("switchover")
    told = [(r.name, r.context.new_state, r.context.again) for r in rig.runs]
    first = [("a", "secondary", False), ("b", "secondary", False), ("a", "primary", False)]
    assert told == first + [(name, state, True) for name, state, _ in first]


def test_a_server_that_is_started_again_is_told_that_its_levels_ran_before() -> None:
    rig = Rig({"stock": [h.Callback("initialize", 1, "warm_up")]})
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.exit("stock")
    rig.run(300)
    rig.say("stock", h.Opened("stock", rig.callbacks["stock"], 0, 0))
    assert [(r.name, r.context.again) for r in rig.runs] == [("warm_up", False), ("warm_up", True)]


def test_a_function_is_told_from_its_beginning_to_its_end() -> None:
    rig = _rig()
    rig.become("master", "failover", record(2, N1, appointment=3))
    assert [e.function for e in rig.events(FunctionBegan)] == [FUNCTION]
    assert [(e.level, e.services) for e in rig.events(LevelCompleted)] == [(1, ["naming"]), (2, ["stock"])]
    assert [(e.function, e.outcome) for e in rig.events(FunctionEnded)] == [(FUNCTION, "completed")]


def test_a_failure_is_told_and_the_primary_that_took_over_in_vain_is_ended() -> None:
    rig = _rig()
    rig.fail = {"low": "no disk"}
    rig.become("master", "failover", record(2, N1, appointment=3))
    failed = rig.events(CallbackFailed)[-1]
    assert (failed.service, failed.callback, failed.level) == ("naming", "low", 1)
    assert "no disk" in failed.reason
    assert "recovery ladder" in failed.meaning
    assert c.KillHost("naming") in rig.effects
    assert FUNCTION not in rig.ssc.runs
    assert rig.ssc.serving.own_term == 0
    rig.exit("naming")
    assert [(e.term, e.in_step) for e in rig.fed(m.HandOver)] == [(2, False)]


def test_a_callback_that_ends_with_a_host_that_was_ended_for_another_one_is_not_judged() -> None:
    callbacks = [
        h.Callback("initialize", 1, "first", on_failure="restart"),
        h.Callback("initialize", 2, "second", on_failure="escalate"),
    ]
    rig = Rig({"stock": callbacks})
    rig.fail, rig.hold = {"first": "no disk"}, {"second"}
    rig.master()
    assert [r.name for r in rig.runs] == ["first", "second"]  # the next level began before the host was gone
    assert c.KillHost("stock") in rig.effects
    rig.exit("stock")
    assert [(e.callback, bool(e.meaning)) for e in rig.events(CallbackFailed)] == [
        ("first", True),
        ("second", False),
    ]
    assert not any(isinstance(e, c.Abandon) for e in rig.effects)


def test_a_host_that_says_nothing_is_given_up_though_nothing_else_happens() -> None:
    """The sequence begins in the same step that looks for what is due: its own deadline must be asked for."""
    rig = _rig()
    rig.hold = {"low"}
    rig.become("master", "failover", record(2, N1, appointment=3))
    due_ns = rig.now_ns + 2 * SECOND + SILENCE_NS
    assert rig.now_ns < _last_wake_ns(rig) <= due_ns
    while c.KillHost("naming") not in rig.effects:
        assert _last_wake_ns(rig) > rig.now_ns
        rig.now_ns = _last_wake_ns(rig)
        assert rig.now_ns <= due_ns
        rig.give(c.Tick(now_ns=rig.now_ns))
    assert rig.told("naming", h.Cancel)


def test_a_new_place_cancels_what_was_begun_for_the_old_one() -> None:
    rig = _rig()
    rig.hold = {"low"}
    rig.become("master", "failover", record(2, N1, appointment=3))
    run = rig.runs[-1].id
    rig.become("member", "deposed", record(3, N2, by=N2, appointment=4))
    assert rig.told("naming", h.Cancel) == [h.Cancel(run)]
    rig.say("naming", h.Ran(run, "done"))
    assert rig.ssc.serving.own_term == 1 or rig.ssc.serving.own_term == 0
    assert FUNCTION not in rig.ssc.runs


def test_progress_names_the_level_and_who_is_waited_for() -> None:
    rig = _rig()
    assert rig.ssc.runs.progress() is None
    rig.hold = {"low"}
    rig.become("master", "failover", record(2, N1, appointment=3))
    assert rig.ssc.runs.progress() == (FUNCTION, 1, ["naming.low"])


@pytest.mark.parametrize("quiet", [False, True])
def test_an_undone_sequence_ends_once_with_its_reasons(quiet: bool) -> None:
    rig = Rig(TAKE_OVER)
    rig.master()
    ended: list[tuple[str, ...] | None] = []
    rig.hold = {"low"}
    steps = plan(FUNCTION, rig.callbacks)
    rig.ssc.runs.begin(
        "x", FUNCTION, steps, Frame("test", "a", "b"), ended.append, abortable=True, quiet=quiet
    )
    rig.ssc.runs.abort("x", "somebody said no")
    rig.ssc.runs.abort("x", "and again")
    assert ended == [("somebody said no",)]
    assert "x" not in rig.ssc.runs


def test_an_undo_exchanges_the_states() -> None:
    rig = Rig({"naming": [h.Callback("switchover", 2, "a")], "stock": [h.Callback("switchover", 1, "b")]})
    rig.pair()
    rig.fail = {"b": "no"}
    rig.ask("switchover")
    contexts = [(r.name, r.context.old_state, r.context.new_state) for r in rig.runs]
    assert contexts == [
        ("a", "primary", "secondary"),
        ("b", "primary", "secondary"),
        ("a", "secondary", "primary"),
    ]


def test_what_is_taken_back_is_in_progress_at_no_level() -> None:
    rig = Rig({"stock": [h.Callback("switchover", 1, "close")]})
    rig.pair()
    rig.ask("switchover")
    rig.hold = {"close"}
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert rig.ssc.runs.progress() == ("switchover", 0, ["the undoing of stock.close"])
    assert [wait.what for wait in rig.ssc.runs.waits()] == ["the undoing of stock.close"]
