"""A primary's host dies at the master: who goes on, and when nobody may."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import RecoveryStep, ServerDied
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


# ---- in maintenance of the cluster ----


def _held(rig: Rig, why: str = "the cluster is in maintenance") -> None:
    rig.give(c.Maintained(now_ns=rig.now_ns, cluster=why))


def _ready(rig: Rig) -> None:
    rig.cmm(m.Adopted(9, record(1, N1, N2, ready=True, appointment=2)))
    rig.cmm(m.ViceReady(1, 2))


def test_in_maintenance_the_master_goes_on_where_it_is_though_its_vice_is_ready() -> None:
    rig = Rig()
    rig.master()
    _ready(rig)
    _held(rig)
    rig.exit("stock")
    assert rig.fed(m.Renew)
    assert not rig.fed(m.HandOver)
    [step] = rig.events(RecoveryStep)
    assert (step.recommended, step.applied) == (
        "switchover",
        "restart in place, for the cluster is in maintenance",
    )
    rig.cmm(m.Closed(Purpose.RENEW, Outcome.NOT_WRITTEN))
    rig.run(2 * RETRY_NS / 1e6)
    assert len(rig.fed(m.Renew)) >= 2
    assert not rig.fed(m.HandOver)


def _memory_lost_in_maintenance() -> Rig:
    rig = Rig(services=(c.ServiceEntry("naming"), c.ServiceEntry("stock", volatile=True)))
    rig.master()
    _ready(rig)
    _held(rig)
    rig.exit("stock")
    rig.run(1_000)
    rig.say("stock", h.Opened("stock", [], 0, 0))
    rig.run(1_000)
    return rig


def test_in_maintenance_what_was_in_memory_waits_for_its_end() -> None:
    rig = _memory_lost_in_maintenance()
    assert not rig.fed(m.Renew)
    assert not rig.fed(m.HandOver)
    assert not any(isinstance(e, c.Abandon) for e in rig.effects)
    assert len(rig.told("stock", h.Assign)) == 1  # the new process is no primary of anything
    [wait] = rig.ssc.rescue.waits()
    assert "`primacy maintenance off`" in wait.what
    assert "none: what it kept in memory" in rig.events(RecoveryStep)[-1].applied
    _held(rig, "")
    assert [e.in_step for e in rig.fed(m.HandOver)] == [False]
    assert rig.ssc.rescue.waits() == []


def test_in_maintenance_an_operators_switchover_hands_over_what_only_the_vice_has() -> None:
    rig = _memory_lost_in_maintenance()
    rig.ask("switchover")
    assert [e.in_step for e in rig.fed(m.HandOver)] == [False]
    rig.become("member", "deposed", record(2, N2, appointment=3))
    assert rig.operations.current is not None  # the new master tells that it is done


def test_a_new_process_does_not_make_up_for_what_the_old_one_kept_in_memory() -> None:
    rig = Rig(services=(c.ServiceEntry("naming"), c.ServiceEntry("stock", volatile=True)))
    rig.master()
    _ready(rig)
    rig.exit("stock")
    for _ in range(20):  # the ledger does not answer for so long that the host is up again
        rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
        rig.run(50)
        if rig.ssc.servers.by_service["stock"].process == "starting":
            rig.say("stock", h.Opened("stock", [], 0, 0))
    assert rig.ssc.servers.by_service["stock"].ready
    assert not rig.fed(m.Renew)
    assert len(rig.told("stock", h.Assign)) == 1


def test_a_primary_that_ends_when_mastership_has_gone_is_nobodys_loss() -> None:
    rig = Rig()
    rig.master()
    rig.say("stock", h.Unhealthy(1, 3, "out of stock"))
    rig.become("spare", "failover", record(2, N2, appointment=2))
    rig.exit("stock")
    assert not rig.ssc.rescue.lost
    assert not rig.fed(m.HandOver)
