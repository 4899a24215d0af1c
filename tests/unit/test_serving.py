"""From a new mastership to service, and the reconnect sequence."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.serving import Serving
from tests.unit.ssc_tools import N1, N2, N3, Rig, record

INIT = {
    "naming": [h.Callback("initialize", 1, "first"), h.Callback("failover", 1, "take_over")],
    "stock": [h.Callback("initialize", 2, "second")],
    "door": [h.Callback("initialize", 2, "hinge"), h.Callback("reconnect", 1, "reattach")],
}


def test_failover_promotes_the_same_processes_and_runs_the_sequence() -> None:
    rig = Rig.of_vice(INIT)
    rig.become("master", "failover", record(2, N1, appointment=5))
    assert rig.told("stock", h.Assign)[-1] == h.Assign(2, "primary")
    assert rig.runs[-2].name == "take_over"
    assert rig.told("stock", h.Serve)[-1] == h.Serve(2)
    assert len([e for e in rig.effects if isinstance(e, c.Spawn)]) == 3


def test_local_services_reattach_once_for_each_term() -> None:
    rig = Rig.of_vice(INIT)
    assert [r.name for r in rig.runs].count("reattach") == 1
    rig.cmm(m.Served(1))
    assert [r.name for r in rig.runs].count("reattach") == 1
    rig.cmm(m.Adopted(9, record(2, N3, N1, appointment=5)))
    rig.cmm(m.Served(2))
    assert [r.name for r in rig.runs].count("reattach") == 2
    assert rig.told("door", h.Primaries)[-1].node == "n3"


def test_news_of_a_newer_term_begins_no_function_of_the_old_place() -> None:
    rig = Rig.of_vice(INIT)
    rig.become("master", "failover", record(2, N1, appointment=5))
    ran = len(rig.runs)
    rig.cmm(m.Adopted(9, record(3, N2, N1, ready=True, appointment=6)))
    assert len(rig.runs) == ran


def test_a_local_service_that_starts_anew_is_told_of_the_primaries_and_reattaches() -> None:
    rig = Rig.of_vice(INIT)
    rig.exit("door")
    rig.run(1_000)
    rig.say("door", h.Opened("door", INIT["door"], 0, 0))
    doors = [r.name for r in rig.runs if r.name in ("hinge", "reattach")]
    assert doors == ["hinge", "reattach", "hinge", "reattach"]
    assert len(rig.told("door", h.Primaries)) == 2
    rig.cmm(m.Served(1))
    assert len(rig.told("door", h.Primaries)) == 2


def test_a_reconnection_ends_with_its_term() -> None:
    rig = Rig.of_vice(INIT)
    rig.hold = {"reattach"}
    rig.cmm(m.Adopted(9, record(2, N3, N1, appointment=5)))
    rig.cmm(m.Served(2))
    begun = rig.runs[-1].id
    assert rig.told("door", h.Cancel) == []
    rig.cmm(m.Adopted(10, record(3, N2, N1, appointment=6)))
    assert rig.told("door", h.Cancel) == [h.Cancel(begun)]
    ran = len(rig.runs)
    rig.run(100)
    assert len(rig.runs) == ran  # nobody reattaches to primaries that do not serve yet
    rig.cmm(m.Served(3))
    assert rig.runs[-1].context.term == 3


def test_only_a_master_that_told_so_serves() -> None:
    rig = Rig(INIT)
    assert isinstance(rig.ssc.serving, Serving)
    assert not rig.ssc.serving.serves
    rig.master()
    assert rig.ssc.serving.serves
    rig.cmm(m.Adopted(9, record(2, N1, appointment=5)))
    assert not rig.ssc.serving.serves  # of the new term it has not told so yet


def test_a_node_that_is_shut_down_reattaches_no_more() -> None:
    rig = Rig.of_vice(INIT)
    rig.hold = {"reattach"}
    rig.cmm(m.Adopted(9, record(2, N3, N1, appointment=5)))
    rig.cmm(m.Served(2))
    begun = rig.runs[-1].id
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="the system asked it to stop", facts=rig.facts()))
    rig.cmm(m.Adopted(10, record(3, N2, appointment=6)))
    assert h.Cancel(begun) in rig.told("door", h.Cancel)
    assert [r.name for r in rig.runs].count("reattach") == 2
