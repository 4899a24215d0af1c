"""Leaving: one node, the master, the whole cluster."""

from __future__ import annotations

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.departure import HAND_ON_NS_MAX, LEAVE_NS_MAX
from primacy.machines.events_node import NodeStopped
from primacy.machines.ids import SECOND
from primacy.machines.peer_wire import EndNode, FunctionDone, Leave, Then
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, N3, Rig, record


def _member() -> Rig:
    rig = Rig({"stock": [h.Callback("shutdown", 1, "low"), h.Callback("shutdown", 2, "high")]})
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.effects.clear()
    return rig


def _end(rig: Rig, stopped: bool = False, then: Then = "") -> None:
    word = EndNode("by hand", stopped, then)
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation="x", message=word))
    rig.run(5)


def _exits(rig: Rig) -> c.End:
    """Let all hosts exit; return the word to end."""
    for service in ("naming", "stock", "door"):
        rig.exit(service, "exited with 0")
    [end] = [e for e in rig.effects if isinstance(e, c.End)]
    return end


def test_a_member_says_goodbye_runs_its_callbacks_and_ends_last() -> None:
    rig = _member()
    _end(rig)
    assert c.TellNode("n2", Leave("by hand")) in rig.effects
    assert [r.name for r in rig.runs] == ["high", "low"]
    assert rig.told("stock", h.Stop)
    for service in ("naming", "stock", "door"):
        rig.exit(service, "exited with 0")
    kinds = [type(e) for e in rig.effects]
    assert kinds.index(c.End) > max(i for i, e in enumerate(rig.effects) if isinstance(e, c.ToHost))


def test_the_vice_waits_until_another_one_may_be_chosen() -> None:
    rig = Rig()
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.become("vice", "appointment", record(1, N2, N1, ready=True))
    _end(rig)
    assert rig.ssc.departure.phase == "leaving"
    rig.become("member", "dropped", record(1, N2, appointment=1))
    rig.run(5)
    assert rig.ssc.departure.phase in ("ending", "ended")


def test_nobody_waits_for_ever_to_leave() -> None:
    rig = Rig()
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.become("vice", "appointment", record(1, N2, N1, ready=True))
    _end(rig)
    rig.run(LEAVE_NS_MAX / 1e6 + 10)
    assert rig.ssc.departure.phase in ("ending", "ended")


def test_the_master_switches_over_first() -> None:
    rig = Rig()
    rig.pair()
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="SIGTERM", facts=rig.facts()))
    assert rig.fed(m.HandOver)[-1].in_step
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=5), clean=True)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    assert rig.told("stock", h.Stop) == []
    rig.cmm(m.Served(2))
    assert c.TellNode("n2", Leave("SIGTERM")) in rig.effects


def test_the_master_without_a_ready_vice_is_not_shut_down() -> None:
    rig = Rig()
    rig.master()
    rig.ask("shutdown", rig.facts(vice="", vice_ready=False), node="n1")
    assert rig.answers()[-1].kind == "refused"
    assert rig.told("stock", h.Stop) == []


def test_the_last_node_writes_the_orderly_stop() -> None:
    rig = Rig()
    rig.master()
    rig.ask("shutdown", rig.facts(vice="", vice_ready=False, members=("n1",)), node="n1")
    assert rig.answers()[-1].result == {"stopped": "n1"}  # told before nobody is there to tell it
    assert rig.fed(m.StopCluster)[-1].positions == {"naming": (1, 7), "stock": (1, 7)}


def test_the_whole_cluster_stops_at_one_position() -> None:
    rig = Rig()
    rig.master()
    rig.ask("shutdown", node=None)
    assert rig.told("stock", h.Quiesce)
    assert rig.fed(m.StopCluster)
    assert rig.told("stock", h.Stop) == []
    rig.cmm(m.Closed(Purpose.STOP, Outcome.DONE))
    assert rig.answers()[-1].result["recorded"]
    assert c.TellNode(None, EndNode("asked for by an operator", True)) in rig.effects
    assert rig.told("stock", h.Stop)


def test_a_ledger_that_is_away_does_not_keep_the_cluster_from_stopping() -> None:
    rig = Rig()
    rig.master()
    rig.ask("shutdown", node=None)
    for _ in range(3):
        rig.cmm(m.Closed(Purpose.STOP, Outcome.NOT_WRITTEN))
        rig.run(150)
    assert not rig.answers()[-1].result["recorded"]
    assert rig.told("stock", h.Stop)


def test_another_node_is_told_and_its_leaving_is_the_answer() -> None:
    rig = Rig()
    rig.master()
    rig.give(c.MembersChanged(now_ns=rig.now_ns, nodes=("n1", "n2")))
    rig.ask("shutdown", node="n2")
    rig.run(5)
    assert c.TellNode("n2", EndNode("asked for by an operator", False, operation="op-1")) in rig.effects
    assert rig.answers() == []
    rig.give(c.MembersChanged(now_ns=rig.now_ns, nodes=("n1",)))
    assert rig.answers()[-1].result == {"stopped": "n2"}


def test_a_host_that_does_not_end_is_not_waited_for_for_ever() -> None:
    rig = _member()
    _end(rig, stopped=True)
    rig.say("naming", h.Note("x", "y"))
    rig.run(11_000)
    assert any(isinstance(e, c.End) for e in rig.effects)


def test_the_system_asks_a_node_to_stop() -> None:
    rig = Rig()
    rig.pair()
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="SIGTERM", facts=rig.facts()))
    assert rig.fed(m.HandOver)


def test_a_master_that_the_system_stops_without_a_ready_vice_ends_itself_and_nobody_else() -> None:
    rig = Rig()
    rig.master()
    facts = rig.facts(vice="", vice_ready=False)
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="SIGTERM", facts=facts))
    assert rig.fed(m.StopCluster)
    rig.cmm(m.Closed(Purpose.STOP, Outcome.DONE))
    assert rig.told("stock", h.Stop)
    assert [e for e in rig.effects if isinstance(e, c.TellNode) and isinstance(e.message, EndNode)] == []


def test_a_switchover_that_went_wrong_in_the_end_lets_a_former_master_leave_as_any_node() -> None:
    rig = Rig()
    rig.pair()
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="SIGTERM", facts=rig.facts()))
    rig.become("member", "deposed", record(3, N3, appointment=6))
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.LOST))
    assert rig.fed(m.StopCluster) == []
    assert c.TellNode("n3", Leave("SIGTERM")) in rig.effects


@pytest.mark.parametrize("then", ["", "halt", "reboot"])
def test_what_the_machine_is_to_do_goes_along_to_the_end(then: Then) -> None:
    rig = _member()
    _end(rig, then=then)
    assert _exits(rig) == c.End("by hand", then)
    [event] = [e.event for e in rig.effects if isinstance(e, c.Publish) and isinstance(e.event, NodeStopped)]
    assert event.cause == (f"by hand; its machine is to {then}" if then else "by hand")


def test_another_node_is_told_what_its_machine_is_to_do() -> None:
    rig = Rig()
    rig.master()
    rig.give(c.MembersChanged(now_ns=rig.now_ns, nodes=("n1", "n2")))
    rig.ask("shutdown", node="n2", then="reboot")
    order = EndNode("asked for by an operator", False, "reboot", operation="op-1")
    assert c.TellNode("n2", order) in rig.effects


def test_all_nodes_and_the_master_itself_do_the_same_to_their_machines() -> None:
    rig = Rig()
    rig.master()
    rig.ask("shutdown", node=None, then="halt")
    rig.cmm(m.Closed(Purpose.STOP, Outcome.DONE))
    assert c.TellNode(None, EndNode("asked for by an operator", True, "halt")) in rig.effects
    assert _exits(rig).then == "halt"


def test_a_node_that_leaves_already_still_hears_what_its_machine_is_to_do() -> None:
    rig = _member()
    _end(rig)
    _end(rig, then="halt")
    _end(rig)
    assert _exits(rig).then == "halt"


def test_the_last_node_does_it_to_its_machine() -> None:
    rig = Rig()
    rig.master()
    rig.ask("shutdown", rig.facts(vice="", vice_ready=False, members=("n1",)), node="n1", then="halt")
    rig.cmm(m.Closed(Purpose.STOP, Outcome.DONE))
    assert _exits(rig).then == "halt"


# ---- where it meets others ----


def _pair() -> Rig:
    rig = Rig()
    rig.pair()
    return rig


def _terminate(rig: Rig) -> None:
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="stopped", facts=rig.facts()))


def _quiesced(rig: Rig) -> None:
    for service in ("naming", "stock"):
        rig.say(service, h.Quiesced(1, 7, 1))


def test_a_later_life_of_the_node_that_was_to_leave_stays() -> None:
    rig = _member()
    order = EndNode("by hand", False, "halt", "op-1", "an earlier life")
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation="x", message=order))
    assert rig.ssc.departure.phase == ""
    assert c.TellNode("n2", FunctionDone("op-1", "done")) in rig.effects
    order = EndNode("by hand", False, "", "op-1", N1.incarnation)
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation="x", message=order))
    assert rig.ssc.departure.phase


def test_the_switchover_that_is_in_progress_is_the_one_that_a_leaving_master_needs() -> None:
    rig = _pair()
    rig.quiesces = False
    rig.ask("switchover")
    _terminate(rig)
    assert len(rig.told("stock", h.Quiesce)) == 1
    _quiesced(rig)
    assert len(rig.fed(m.HandOver)) == 1
    assert not rig.fed(m.StopCluster)
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=3), clean=True)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.cmm(m.Served(2))
    assert rig.ssc.departure.phase == "leaving"


def test_when_that_switchover_is_undone_the_leaving_master_has_its_own() -> None:
    rig = _pair()
    rig.ask("switchover")
    _terminate(rig)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert len(rig.fed(m.HandOver)) == 2
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert rig.fed(m.StopCluster)  # its own did not succeed either


def test_a_master_that_restarts_a_server_just_now_serves_before_it_leaves() -> None:
    rig = _pair()
    rig.exit("stock")
    _terminate(rig)
    assert rig.ssc.departure.phase == "waiting"
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    rig.become("master", "restart", record(2, N1, appointment=2))
    rig.say("stock", h.Opened("stock", [], 1, 9))
    assert rig.ssc.serving.serves
    rig.cmm(m.Adopted(4, record(2, N1, N2, ready=True, appointment=3)))
    assert rig.ssc.departure.phase == "switching"
    assert rig.fed(m.HandOver)[-1].in_step


def test_a_node_that_becomes_master_while_it_leaves_waits_for_a_vice_but_not_for_ever() -> None:
    rig = Rig()
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.become("vice", "appointment", record(1, N2, N1, ready=True))
    _end(rig)
    rig.become("master", "failover", record(2, N1, appointment=2))
    rig.run(50)
    assert rig.ssc.serving.serves
    assert "before it hands over" in rig.ssc.departure.waits()[0].what
    rig.run(HAND_ON_NS_MAX / 1e6)
    assert rig.fed(m.StopCluster)


def test_when_all_leave_a_switchover_that_has_only_begun_is_left_alone() -> None:
    rig = _pair()
    rig.quiesces = False
    rig.ask("switchover")
    rig.ask("shutdown")
    _quiesced(rig)
    assert rig.fed(m.StopCluster)
    assert not rig.fed(m.HandOver)
    assert rig.operations.ended[-1].reasons == ("the cluster is shut down",)


def test_a_node_that_was_frozen_in_its_callbacks_leaves_out_the_rest_of_them() -> None:
    rig = _member()
    rig.hold = {"high"}
    _end(rig, stopped=True)
    rig.now_ns += 3_600 * SECOND
    rig.give(c.Tick(now_ns=rig.now_ns))
    assert [r.name for r in rig.runs] == ["high"]
    assert rig.told("stock", h.Cancel)
    assert rig.told("stock", h.Stop)
    assert rig.ssc.departure.phase == "ending"


# ---- who is waited for ----


def _said(rig: Rig) -> list[str]:
    return [wait.what for wait in rig.ssc.departure.waits()]


def test_a_vice_that_leaves_waits_for_its_master() -> None:
    rig = Rig.of_vice({})
    _end(rig)
    assert _said(rig) == ["the master to let this vice go"]


def test_a_cluster_that_stops_waits_for_calls_and_then_for_processes() -> None:
    rig = _pair()
    rig.quiesces = False
    rig.ask("shutdown")
    rig.say("naming", h.Quiesced(1, 7, 1))
    assert _said(rig) == ["stock to finish the calls that it has accepted"]
    rig.say("stock", h.Quiesced(1, 7, 1))
    rig.cmm(m.Closed(Purpose.STOP, Outcome.DONE))
    rig.exit("naming", "exited with 0")
    assert _said(rig) == ["the host of door to end", "the host of stock to end"]
    for service in ("stock", "door"):
        rig.exit(service, "exited with 0")
    assert _said(rig) == []


@pytest.mark.parametrize("others_first", [True, False])
def test_where_the_cluster_stops_is_not_written_when_a_primary_dies_before_it_is_drained(
    others_first: bool,
) -> None:
    """What that one has acknowledged may be nowhere else: a record without it would let another node form without."""
    rig = Rig()
    rig.master()
    rig.quiesces = False
    facts = rig.facts(vice="", vice_ready=False, members=("n1",))
    rig.give(c.Terminate(now_ns=rig.now_ns, reason="SIGTERM", facts=facts))
    assert rig.ssc.departure.phase == "quiescing"
    if others_first:
        rig.say("naming", h.Quiesced(1, 7, 1))
    rig.exit("stock")
    if not others_first:
        rig.say("naming", h.Quiesced(1, 7, 1))
    rig.run(5)
    assert rig.fed(m.StopCluster) == []
    assert rig.told("naming", h.Stop)


def test_where_the_cluster_stops_is_not_written_when_a_primary_has_died_before() -> None:
    rig = Rig()
    rig.master()
    rig.exit("stock")
    rig.ask("shutdown", rig.facts(vice="", vice_ready=False, members=("n1",)), node=None)
    rig.run(5)
    assert rig.fed(m.StopCluster) == []
    assert not rig.answers()[-1].result["recorded"]


def test_what_was_drained_for_a_switchover_is_not_where_the_cluster_stops() -> None:
    rig = _pair()
    rig.quiesces = False
    rig.ask("shutdown")
    rig.say("naming", h.Quiesced(1, 7, 1))
    rig.say("stock", h.Quiesced(1, 7, 1, handing_over=True))  # late: it has gone on since, and drains again
    assert rig.fed(m.StopCluster) == []
    rig.say("stock", h.Quiesced(1, 8, 1))
    assert rig.fed(m.StopCluster)[-1].positions == {"naming": (1, 7), "stock": (1, 8)}


def test_a_cluster_that_stops_already_is_not_stopped_once_more() -> None:
    rig = _pair()
    rig.quiesces = False
    rig.ask("shutdown")
    rig.ask("shutdown")
    [answer] = rig.answers()
    assert (answer.kind, answer.reasons) == ("refused", ("a shutdown is in progress (quiescing)",))


def test_a_dry_run_stops_nothing() -> None:
    rig = _pair()
    rig.ask("shutdown", dry_run=True)
    assert [(a.kind, a.result) for a in rig.answers()] == [("done", {"possible": True})]
    assert rig.ssc.departure.phase == ""
    assert rig.told("stock", h.Quiesce) == []
