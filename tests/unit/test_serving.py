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


def test_only_a_master_that_told_so_serves() -> None:
    rig = Rig(INIT)
    assert isinstance(rig.ssc.serving, Serving)
    assert not rig.ssc.serving.serves
    rig.master()
    assert rig.ssc.serving.serves
    rig.cmm(m.Adopted(9, record(2, N1, appointment=5)))
    assert not rig.ssc.serving.serves  # of the new term it has not told so yet
