"""Who waits for whom on a node, from the first host to the last."""

from __future__ import annotations

from primacy.agent import waits
from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.ids import SECOND
from primacy.machines.peer_wire import Do
from primacy.machines.sequence import Wait
from tests.unit.ssc_tools import N1, N2, Rig, record

CALLBACKS = {"stock": [h.Callback("initialize", 2, "count"), h.Callback("switchover", 1, "close")]}


def _said(rig: Rig) -> list[str]:
    return [wait.what for wait in waits.waits(rig.ssc)]


def test_initialization_waits_for_hosts_then_for_the_master_then_for_callbacks() -> None:
    rig = Rig(CALLBACKS)
    assert _said(rig) == [f"the host of {service} to start" for service in ("naming", "stock", "door")]
    rig.open_hosts()
    assert _said(rig) == ["a master"]
    assert waits.function(rig.ssc) == ("initialize", None)
    rig.cmm(m.Adopted(1, record(1, N2)))
    assert _said(rig) == ["the master to complete its first level"]
    rig.hold = {"count"}
    rig.cmm(m.Served(1))
    assert _said(rig) == ["stock.count"]
    assert waits.function(rig.ssc) == ("initialize", 2)
    rig.say("stock", h.Ran(rig.runs[-1].id, "done"))
    assert (_said(rig), waits.function(rig.ssc)) == ([], (None, None))


def test_a_switchover_says_for_whom_it_waits_in_each_phase() -> None:
    rig = Rig(CALLBACKS)
    rig.pair()
    rig.quiesces = False
    rig.hold = {"close"}
    rig.ask("switchover")
    calls = "to finish the calls that it has accepted"
    assert _said(rig) == [f"naming {calls}", f"stock {calls}"]
    assert waits.function(rig.ssc) == ("switchover", None)
    for service in ("naming", "stock"):
        rig.say(service, h.Quiesced(1, 7, 1))
    assert _said(rig) == ["stock.close"]
    rig.say("stock", h.Ran(rig.runs[-1].id, "done"))
    for service in ("naming", "stock"):
        rig.say(service, h.Quiesced(1, 7, 1))
    assert _said(rig) == ["the ledger to name n2 master"]


def test_a_shutdown_says_for_whom_it_waits_at_its_end() -> None:
    rig = Rig(CALLBACKS)
    rig.master()
    rig.ask("shutdown", node=None)
    assert waits.function(rig.ssc) == ("shutdown", None)
    assert _said(rig) == ["the ledger to record the orderly stop"]


def test_the_master_waits_for_the_node_that_a_function_is_about() -> None:
    rig = Rig(CALLBACKS)
    rig.pair()
    rig.ask("demote", node="n3")
    assert _said(rig) == ["n3 to run its callbacks of demote"]
    assert waits.function(rig.ssc) == ("demote", None)


def test_a_node_on_its_way_up_waits_for_its_servers() -> None:
    rig = Rig(CALLBACKS, nodes=(m.NodeEntry("n1", True, False),))
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.run(5)
    rig.hold = {"count"}
    say = Do("x", "promote", "test")
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation=N2.incarnation, message=say))
    rig.run(5)
    assert set(_said(rig)) >= {"stock to be initialized", "stock.count"}
    rig.say("stock", h.Ran(rig.runs[-1].id, "done"))
    assert _said(rig) == []


def test_times_are_told_from_now() -> None:
    found = waits.plain([Wait("a", 2 * SECOND, 9 * SECOND, "failover", 2), Wait("b")], 5 * SECOND)
    assert found == [
        {"for": "a", "function": "failover", "level": 2, "since_s": 3.0, "until_s": 4.0},
        {"for": "b", "function": "", "level": None, "since_s": None, "until_s": None},
    ]


def test_a_master_that_waits_for_the_end_of_maintenance_says_so_and_runs_no_function() -> None:
    rig = Rig(services=(c.ServiceEntry("naming"), c.ServiceEntry("stock", volatile=True)))
    rig.master()
    rig.cmm(m.Adopted(9, record(1, N1, N2, ready=True, appointment=2)))
    rig.give(c.Maintained(now_ns=rig.now_ns, cluster="the cluster is in maintenance"))
    rig.exit("stock")
    assert any("`primacy maintenance off`" in wait.what for wait in waits.waits(rig.ssc))
    rig.run(1_000)
    rig.say("stock", h.Opened("stock", [], 0, 0))
    assert waits.function(rig.ssc) == (None, None)
