"""The planned switchover: every phase, every way out."""

from __future__ import annotations

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.ids import SECOND
from primacy.machines.swap import Outcome, Purpose
from primacy.machines.switchover import QUIESCE_NS_MAX, SERVE_NS_MAX
from tests.unit.ssc_tools import N1, N2, N3, Rig, record

GIVE_UP = {"stock": [h.Callback("switchover", 1, "low"), h.Callback("switchover", 2, "high")]}


def _master(callbacks: dict[str, list[h.Callback]] | None = None) -> Rig:
    rig = Rig(callbacks)
    rig.pair()
    return rig


def _settle(rig: Rig) -> None:
    rig.cmm(m.Adopted(9, record(2, N2, N1, ready=True, appointment=5)))
    rig.cmm(m.Became("vice", "switchover", 9, record(2, N2, N1, ready=True, appointment=5), True))
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.cmm(m.Served(2))


def test_without_callbacks_it_quiesces_and_hands_over() -> None:
    rig = _master()
    rig.ask("switchover")
    assert rig.told("naming", h.Quiesce) == rig.told("stock", h.Quiesce) == [h.Quiesce(1, handing_over=True)]
    assert rig.fed(m.HandOver)[-1].in_step
    assert rig.answers() == []
    _settle(rig)
    assert rig.ssc.switchover.phase == ""
    assert rig.operations.current is not None  # its outcome is the new master's to write


def test_callbacks_run_in_descending_levels_and_are_drained_afterwards() -> None:
    rig = _master(GIVE_UP)
    rig.ask("switchover")
    assert [r.name for r in rig.runs] == ["high", "low"]
    assert rig.runs[0].context.old_state == "primary"
    assert len(rig.told("stock", h.Quiesce)) == 2
    assert len(rig.fed(m.HandOver)) == 1


def test_a_refusing_callback_undoes_and_names_itself() -> None:
    rig = _master(GIVE_UP)
    rig.fail = {"low": "not now"}
    rig.ask("switchover")
    assert [r.name for r in rig.runs] == ["high", "low", "high"]
    assert rig.runs[-1].context.cause.startswith("undone")
    assert rig.told("stock", h.Resume) == [h.Resume(1)]
    assert rig.fed(m.HandOver) == []
    answer = rig.answers()[-1]
    assert answer.kind == "failed"
    assert "stock.low" in answer.reasons[0]
    assert "not now" in answer.reasons[0]


def test_a_host_that_does_not_quiesce_is_named() -> None:
    rig = _master()
    rig.quiesces = False
    rig.ask("switchover")
    rig.say("naming", h.Quiesced(1, 0))
    rig.run(QUIESCE_NS_MAX / 1e6 + 10)
    assert "stock" in rig.answers()[-1].reasons[0]
    assert rig.told("naming", h.Resume)


@pytest.mark.parametrize("outcome", [Outcome.NOT_WRITTEN, Outcome.LOST])
def test_a_swap_that_is_not_written_is_undone_while_still_master(outcome: Outcome) -> None:
    rig = _master()
    rig.ask("switchover")
    rig.cmm(m.Closed(Purpose.HANDOVER, outcome))
    assert rig.told("stock", h.Resume) == [h.Resume(1)]
    assert rig.answers()[-1].kind == "failed"


def test_a_claim_in_the_middle_is_reported_truthfully() -> None:
    rig = _master(GIVE_UP)
    rig.hold = {"high"}
    rig.ask("switchover")
    rig.become("member", "deposed", record(2, N2, by=N2, appointment=2))
    assert rig.ssc.switchover.phase == ""
    assert rig.answers() == []  # the new master finds the intent
    assert rig.operations.current is not None


def test_it_hands_over_to_nobody_else_than_it_began_with() -> None:
    rig = _master(GIVE_UP)
    rig.hold = {"low"}
    rig.ask("switchover")
    rig.cmm(m.Adopted(8, record(1, N1, N3, ready=True, appointment=2)))
    rig.hold.clear()
    rig.say("stock", h.Ran(rig.runs[-1].id, "done"))
    assert rig.fed(m.HandOver) == []
    assert [(r.name, r.context.new_state) for r in rig.runs[2:]] == [("low", "primary"), ("high", "primary")]
    assert rig.told("stock", h.Resume) == [h.Resume(1)]
    assert "n2 is no longer the ready vice" in rig.answers()[-1].reasons[0]


@pytest.mark.parametrize("outcome", [Outcome.NOT_WRITTEN, Outcome.LOST])
def test_what_was_given_up_is_taken_back_when_the_swap_is_not_written(outcome: Outcome) -> None:
    rig = _master(GIVE_UP)
    rig.ask("switchover")
    assert [r.name for r in rig.runs] == ["high", "low"]
    rig.hold = {"high"}
    rig.cmm(m.Closed(Purpose.HANDOVER, outcome))
    assert [(r.name, r.context.new_state) for r in rig.runs[2:]] == [("low", "primary"), ("high", "primary")]
    assert rig.told("stock", h.Resume) == []  # no call is taken before all of it is taken back
    rig.say("stock", h.Ran(rig.runs[-1].id, "done"))
    assert rig.told("stock", h.Resume) == [h.Resume(1)]
    assert rig.answers()[-1].kind == "failed"


@pytest.mark.parametrize(("to", "outcome"), [("n2", "done"), ("n1", "failed")])
def test_a_hosts_death_in_the_middle_is_settled_before_it_is_told_how_it_ended(to: str, outcome: str) -> None:
    rig = _master()
    rig.quiesces = False
    rig.ask("switchover")
    rig.exit("stock")
    assert rig.answers() == []
    assert rig.told("naming", h.Resume) == [h.Resume(1)]  # the others answer meanwhile
    assert not rig.fed(m.HandOver)[-1].in_step
    if to == "n2":  # the hand-over is what was asked for: the new master tells so
        rig.become("member", "deposed", record(2, N2, appointment=3))
        assert rig.operations.current is not None
        return
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    rig.become("master", "restart", record(2, N1, appointment=3))
    rig.say("stock", h.Opened("stock", [], 1, 9))
    rig.run(50)
    assert rig.answers()[-1].kind == outcome
    assert "n1 is master of term 2" in rig.answers()[-1].reasons[0]


def test_a_hosts_death_while_the_swap_is_under_way_waits_for_its_outcome() -> None:
    rig = _master()
    rig.ask("switchover")
    rig.exit("stock")
    assert [e.in_step for e in rig.fed(m.HandOver)] == [
        True
    ]  # nothing else is asked for before it is settled
    assert rig.answers() == []
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert [e.in_step for e in rig.fed(m.HandOver)] == [True, False]


def test_two_who_want_the_same_wait_for_one() -> None:
    rig = _master()
    rig.quiesces = False
    rig.ask("switchover")
    rig.say("stock", h.Unhealthy(1, 3, "sick"))
    assert len(rig.told("stock", h.Quiesce)) == 1
    rig.say("naming", h.Quiesced(1, 7, 1))
    rig.say("stock", h.Quiesced(1, 7, 1))
    assert [e.in_step for e in rig.fed(m.HandOver)] == [True]
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=5), clean=True)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.cmm(m.Served(2))
    assert c.KillHost("stock") in rig.effects  # it is not well, and starts anew as a secondary


def test_a_service_that_is_taken_out_of_the_table_is_not_waited_for() -> None:
    rig = _master()
    rig.quiesces = False
    rig.ask("switchover")
    rig.say("naming", h.Quiesced(1, 7, 1))
    rig.give(c.ServicesGone(now_ns=rig.now_ns, services=("stock",)))
    assert [e.in_step for e in rig.fed(m.HandOver)] == [True]


def test_a_second_one_is_refused_while_one_is_in_progress() -> None:
    rig = _master()
    rig.quiesces = False
    rig.ask("switchover")
    rig.ask("switchover")
    assert rig.answers()[-1].kind == "refused"
    assert "in progress" in rig.answers()[-1].reasons[0]


def test_dry_run_changes_nothing() -> None:
    rig = _master()
    rig.ask("switchover", dry_run=True)
    assert rig.answers()[-1].result["possible"]
    assert rig.told("stock", h.Quiesce) == []


def test_a_new_master_that_is_lost_before_it_serves_is_no_success() -> None:
    rig = _master()
    rig.ask("switchover")
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=5), clean=True)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.become("master", "failover", record(3, N1, appointment=6))
    assert rig.ssc.switchover.phase == ""
    rig.cmm(m.Served(3))
    answer = rig.answers()[-1]
    assert (answer.kind, answer.reasons) == ("failed", ("n2 took over and was lost; n1 is master of term 3",))


def test_a_new_master_that_does_not_serve_is_not_waited_for_for_ever() -> None:
    rig = _master()
    ended: list[tuple[bool, str]] = []
    rig.ask("switchover")
    rig.ssc.switchover.join(lambda done, why: ended.append((done, why)))
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=5), clean=True)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    [wait] = rig.ssc.switchover.waits()
    assert (wait.what, wait.until_ns - rig.now_ns) == ("n2 to serve", SERVE_NS_MAX)
    rig.run(SERVE_NS_MAX / 1e6 + 10)
    assert rig.ssc.switchover.phase == ""
    assert ended == [(False, "n2 is master but does not serve yet")]


def test_a_node_that_was_frozen_while_it_gave_up_takes_back_what_it_had_given_up() -> None:
    """The callback ended in time, as far as anybody knows; the calls have been held for too long all the same."""
    rig = _master(GIVE_UP)
    rig.hold = {"high"}
    rig.ask("switchover")
    rig.now_ns += 3_600 * SECOND
    rig.hold.clear()
    rig.say("stock", h.Ran(rig.runs[-1].id, "done"))
    assert [r.name for r in rig.runs] == ["high", "low", "high"]
    assert rig.told("stock", h.Cancel) == [h.Cancel(rig.runs[1].id)]
    assert rig.runs[-1].context.cause.startswith("undone")
    assert rig.fed(m.HandOver) == []
    assert rig.told("stock", h.Resume) == [h.Resume(1)]
    assert (rig.answers()[-1].kind, rig.answers()[-1].reasons) == ("failed", ("its time is over",))
