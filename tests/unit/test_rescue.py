"""A primary's host dies at the master: who goes on, and when nobody may."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import ServerDied
from primacy.machines.rescue import RETRY_NS
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, Rig, record


def _volatile() -> Rig:
    rig = Rig(services=(c.ServiceEntry("naming"), c.ServiceEntry("stock", volatile=True)))
    rig.master()
    rig.cmm(m.Adopted(9, record(1, N1, N2, ready=True, appointment=2)))
    rig.cmm(m.ViceReady(1, 2))
    rig.cmm(m.Adopted(10, record(1, N1, appointment=2)))
    rig.cmm(m.Alone(1))
    return rig


def test_death_of_a_primarys_host_hands_over_at_once() -> None:
    rig = Rig()
    rig.master()
    rig.exit("stock")
    assert [(e.term, e.in_step) for e in rig.fed(m.HandOver)] == [(1, False)]
    assert "switchover" in rig.events(ServerDied)[-1].action


def test_with_nobody_to_hand_over_to_the_master_goes_on_in_a_new_term() -> None:
    rig = Rig()
    rig.master()
    rig.exit("stock")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert rig.fed(m.Renew)[-1].term == 1
    rig.become("master", "restart", record(2, N1, appointment=2))
    assert rig.ssc.serving.own_term == 1
    rig.say("stock", h.Opened("stock", [], 1, 9))
    assert rig.told("stock", h.Assign)[-1] == h.Assign(2, "primary")
    assert rig.told("naming", h.Assign)[-1] == h.Assign(2, "primary")
    assert rig.ssc.serving.own_term == 2


def test_a_ledger_that_does_not_answer_is_asked_again() -> None:
    rig = Rig()
    rig.master()
    rig.exit("stock")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    rig.cmm(m.Closed(Purpose.RENEW, Outcome.NOT_WRITTEN))
    rig.run(2 * RETRY_NS / 1e6)
    assert len(rig.fed(m.HandOver)) >= 2


def test_restart_in_place_renews_without_asking_the_vice() -> None:
    rig = Rig(services=(c.ServiceEntry("naming"), c.ServiceEntry("stock", restart_in_place=True)))
    rig.master()
    rig.exit("stock")
    assert rig.fed(m.Renew)
    assert not rig.fed(m.HandOver)


def test_with_memory_durability_only_the_ready_vice_may_go_on() -> None:
    rig = Rig(services=(c.ServiceEntry("naming"), c.ServiceEntry("stock", volatile=True)))
    rig.master()
    rig.cmm(m.Adopted(9, record(1, N1, N2, ready=True, appointment=2)))
    rig.exit("stock")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert not rig.fed(m.Renew)
    rig.run(2 * RETRY_NS / 1e6)
    assert len(rig.fed(m.HandOver)) >= 2


def test_with_memory_durability_nobody_goes_on_for_what_may_be_on_no_disk() -> None:
    rig = _volatile()
    rig.say("stock", h.Progress(1, 20, -1, 12))
    rig.exit("stock")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert not rig.fed(m.Renew)
    assert any(isinstance(e, c.Abandon) for e in rig.effects)


def test_with_memory_durability_a_lone_master_goes_on_once_all_is_on_disk() -> None:
    rig = _volatile()
    rig.say("stock", h.Progress(1, 20, -1, 12))
    rig.say("stock", h.Progress(1, 30, -1, 25))
    rig.exit("stock")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert rig.fed(m.Renew)
