"""One operation driven to its end, for every function, by whichever master finds it, whoever is lost meanwhile."""

from __future__ import annotations

import pytest

from primacy.machines import coordination as c
from primacy.machines import membership as m
from primacy.machines.driving import KNOWN_NS_MAX, LEAVE_NS_MAX, REPLACE_NS_MAX, SETTLE_NS
from primacy.machines.host_wire import Quiesce, Quiesced, Unhealthy
from primacy.machines.membership import NodeEntry
from primacy.machines.peer_wire import Do, EndNode, FunctionDone
from primacy.machines.records import NodeRecord, Operation, Operations, decode_node, encode
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, N3, Rig, record

NODES = (
    NodeEntry("n1"),
    NodeEntry("n2"),
    NodeEntry("n3"),
    NodeEntry("n4", True, False),
    NodeEntry("n5", False, False),
)


def master() -> Rig:
    """n1 is master, n2 its ready vice, n3 available, n4 a spare, n5 ineligible; all are members."""
    rig = Rig()
    rig.pair()
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=NODES))
    members(rig, "n1", "n2", "n3", "n4", "n5")
    rig.effects.clear()
    return rig


def members(rig: Rig, *nodes: str) -> None:
    rig.give(c.MembersChanged(now_ns=rig.now_ns, nodes=nodes))


def orders(rig: Rig, kind: type) -> list[tuple[str | None, object]]:
    return [
        (e.node, e.message) for e in rig.effects if isinstance(e, c.TellNode) and isinstance(e.message, kind)
    ]


def reply(rig: Rig, node: str, outcome: str = "done", *reasons: str) -> None:
    message = FunctionDone("op-1", outcome, list(reasons))
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node=node, incarnation="x", message=message))


def kept(rig: Rig, node: str) -> NodeRecord | None:
    _, value = rig.ledger.get(f"nodes/{node}", (0, None))
    return decode_node(value, node) if value is not None else None


@pytest.mark.parametrize(
    ("function", "node", "becomes"),
    [
        ("qualify", "n5", NodeRecord(True, False)),
        ("promote", "n4", NodeRecord(True, True)),
        ("demote", "n3", NodeRecord(True, False)),
        ("disqualify", "n3", NodeRecord(False, False)),
    ],
)
def test_the_node_runs_its_part_and_then_its_record_is_written(
    function: str, node: str, becomes: NodeRecord
) -> None:
    rig = master()
    rig.ask(function, node=node, reason="why")
    assert orders(rig, Do) == [(node, Do("op-1", function, "why"))]
    assert kept(rig, node) is None
    rig.run(1100)
    assert len(orders(rig, Do)) == 2  # it is asked again until it answers
    reply(rig, node)
    assert kept(rig, node) == becomes
    assert rig.answers()[-1].result == {"node": node}


@pytest.mark.parametrize("told", [True, False])
def test_a_function_has_ended_when_the_master_knows_what_was_written_or_hears_nothing(told: bool) -> None:
    rig = master()
    rig.tells_nodes = False
    rig.ask("disqualify", node="n3")
    reply(rig, "n3")
    assert kept(rig, "n3") == NodeRecord(False, False)
    assert rig.operations.current is not None  # else the next request would be judged by what was before
    if told:
        nodes = tuple(NodeEntry(n.id, False, False) if n.id == "n3" else n for n in NODES)
        rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=nodes))
    else:
        rig.run(KNOWN_NS_MAX / 1e6)
    assert rig.operations.current is None
    assert rig.answers()[-1].result == {"node": "n3"}


@pytest.mark.parametrize("function", ["qualify", "promote", "demote", "disqualify", "remove"])
def test_a_refusal_leaves_everything_as_it_was(function: str) -> None:
    rig = master()
    node = {"qualify": "n5", "promote": "n4"}.get(function, "n3")
    rig.ask(function, node=node)
    reply(rig, node, "refused", "stock.low at level 1: not now")
    assert (rig.answers()[-1].kind, rig.answers()[-1].reasons) == (
        "refused",
        ("stock.low at level 1: not now",),
    )
    assert kept(rig, node) is None
    assert [k.why for k in rig.fed(m.KeepBack)][-1:] in ([], [""])
    assert orders(rig, EndNode) == []


@pytest.mark.parametrize("function", ["demote", "disqualify", "remove"])
def test_a_refusal_takes_back_nothing_that_a_former_master_has_written(function: str) -> None:
    """It took the node for lost, and wrote what the function gives; who goes on ends it, and says what was refused."""
    rig = master()
    rig.tells_nodes = False
    rig.ask(function, node="n3", reason="why")
    written = {"demote": [NodeEntry("n3", True, False)], "disqualify": [NodeEntry("n3", False, False)]}
    others = [n for n in NODES if n.id != "n3"]
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=(*others, *written.get(function, []))))
    reply(rig, "n3", "refused", "stock.low at level 1: not now")
    if function == "remove":
        assert [node for node, _ in orders(rig, EndNode)] == ["n3"]
        members(rig, "n1", "n2")
    [operation] = rig.operations.ended
    assert (operation.outcome, operation.reasons) == (
        "done",
        ("it stood in the records already", "stock.low at level 1: not now"),
    )


def test_a_vice_is_replaced_first() -> None:
    rig = master()
    rig.ask("demote", node="n2")
    assert rig.fed(m.KeepBack)[-1].why
    assert orders(rig, Do) == []
    rig.cmm(m.Adopted(3, record(1, N1, N3, appointment=2)))
    assert orders(rig, Do) == []  # the next vice is to be ready first
    rig.cmm(m.Adopted(4, record(1, N1, N3, ready=True, appointment=2)))
    assert len(orders(rig, Do)) == 1
    reply(rig, "n2")
    assert kept(rig, "n2") == NodeRecord(True, False)
    assert not rig.fed(m.KeepBack)[-1].why


def test_a_vice_whom_nobody_can_replace_goes_all_the_same() -> None:
    rig = master()
    members(rig, "n1", "n2")
    rig.ask("disqualify", node="n2")
    rig.cmm(m.Adopted(3, record(1, N1, appointment=2)))
    assert len(orders(rig, Do)) == 1


def test_a_vice_that_cannot_be_dropped_stays() -> None:
    rig = master()
    rig.ask("demote", node="n2")
    rig.run(REPLACE_NS_MAX / 1e6 + 100)
    assert rig.answers()[-1].kind == "failed"
    assert "still vice" in rig.answers()[-1].reasons[0]
    assert not rig.fed(m.KeepBack)[-1].why


@pytest.mark.parametrize("function", ["demote", "disqualify", "remove", "shutdown"])
def test_the_master_switches_over_and_its_successor_goes_on(function: str) -> None:
    rig = master()
    rig.ask(function, node="n1")
    assert rig.fed(m.HandOver)[-1].in_step
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=3), clean=True)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.cmm(m.Served(2))
    intent = rig.operations.current
    assert intent is not None  # not ended: the rest is the successor's
    successor = Rig()
    successor.pair()
    members(successor, "n1", "n2", "n3")
    renamed = Operation(intent.id, function, "n2", intent.reason, "n2", 0)  # the rig is always n1
    successor.write("operation", encode(Operations(renamed)))
    if function == "shutdown":  # its own coordinator gives its role up
        assert orders(successor, EndNode) == [("n2", EndNode(intent.reason, False, operation="op-1"))]
    else:
        assert successor.fed(m.KeepBack)[-1].node == "n2"


def test_a_switchover_that_fails_ends_the_operation() -> None:
    rig = master()
    rig.ask("demote", node="n1")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    assert rig.answers()[-1].kind == "failed"
    assert kept(rig, "n1") is None


def test_a_master_that_finds_that_it_cannot_switch_over_refuses() -> None:
    rig = master()
    rig.cmm(m.Adopted(3, record(1, N1, appointment=2)))
    rig.write("operation", encode(Operations(Operation("op-1", "demote", "n1", "why", "n3", 1))))
    rig.run(5)
    assert rig.answers() == []  # a vice may still become ready
    rig.run(REPLACE_NS_MAX / 1e6)
    assert rig.answers()[-1].kind == "refused"


@pytest.mark.parametrize("function", ["demote", "disqualify"])
def test_a_node_that_is_lost_on_its_way_down_goes_down(function: str) -> None:
    rig = master()
    rig.ask(function, node="n3")
    members(rig, "n1", "n2")
    assert rig.answers()[-1].kind == "done"
    assert "its callbacks did not run" in rig.answers()[-1].reasons[0]
    assert kept(rig, "n3") is not None


def test_a_new_master_waits_until_it_has_heard_the_others() -> None:
    rig = Rig()
    rig.write("operation", encode(Operations(Operation("op-1", "demote", "n3", "why", "n2", 0))))
    rig.master()
    rig.run(500)
    assert rig.operations.current is not None
    rig.run(SETTLE_NS / 1e6)
    assert rig.answers()[-1].kind == "done"
    assert "is not a member" in rig.answers()[-1].reasons[0]


@pytest.mark.parametrize(("function", "node"), [("qualify", "n5"), ("promote", "n4")])
def test_a_node_that_is_lost_on_its_way_up_stays_what_it_was(function: str, node: str) -> None:
    rig = master()
    rig.ask(function, node=node)
    members(rig, "n1", "n2")
    assert rig.answers()[-1].kind == "failed"
    assert kept(rig, node) is None


def test_a_node_that_is_removed_leaves_and_is_deleted() -> None:
    rig = master()
    rig.write("nodes/n3", encode(NodeRecord()))
    rig.ask("remove", node="n3", reason="why")
    reply(rig, "n3")
    assert orders(rig, EndNode) == [("n3", EndNode("why", False, operation="op-1"))]
    members(rig, "n1", "n2")
    assert c.EditTable("n3") in rig.effects
    assert rig.operations.current is not None
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=NODES[:2]))
    rig.run(1100)
    assert rig.answers()[-1].result == {"removed": "n3"}
    assert kept(rig, "n3") is None


def test_a_node_that_does_not_leave_is_no_success() -> None:
    rig = master()
    rig.ask("shutdown", node="n3")
    rig.run(LEAVE_NS_MAX / 1e6 + 100)
    assert rig.answers()[-1].kind == "failed"
    assert "has not left" in rig.answers()[-1].reasons[0]


@pytest.mark.parametrize(
    ("to", "outcome"), [("n1", "done"), ("n2", "failed")], ids=["it took over", "somebody else did"]
)
def test_a_switchover_that_its_master_did_not_live_to_tell(to: str, outcome: str) -> None:
    rig = Rig()
    rig.write(
        "operation", encode(Operations(Operation("op-1", "switchover", "n3", "why", "n3", 0, {"to": to})))
    )
    rig.pair()
    rig.run(5)
    assert rig.answers()[-1].kind == outcome


# ---- where it meets others ----


def test_a_shutdown_is_about_one_life_of_the_node() -> None:
    rig = master()
    rig.ask("shutdown", node="n3", life="one")
    assert orders(rig, EndNode) == [("n3", EndNode("asked for by an operator", False, "", "op-1", "one"))]
    rig.run(1100)
    assert len(orders(rig, EndNode)) == 2  # nobody knows whether it was heard
    reply(rig, "n3")  # a later life says that the one that was meant is over
    assert (rig.answers()[-1].kind, rig.answers()[-1].result) == ("done", {"stopped": "n3"})


def test_a_later_life_that_is_master_by_now_is_not_shut_down() -> None:
    rig = master()
    intent = Operation("op-1", "shutdown", "n1", "why", "n3", 0, {"life": "an earlier one", "then": "halt"})
    rig.write("operation", encode(Operations(intent)))
    rig.run(100)
    assert rig.answers()[-1].kind == "done"
    assert rig.ssc.departure.phase == ""
    assert not rig.fed(m.HandOver)


def test_a_node_that_has_not_left_may_be_vice_again() -> None:
    rig = master()
    rig.ask("remove", node="n3")
    reply(rig, "n3")
    rig.run(LEAVE_NS_MAX / 1e6 + 100)
    assert rig.answers()[-1].kind == "failed"
    assert [(k.node, k.why) for k in rig.fed(m.KeepBack)][-1] == ("n3", "")


def test_a_table_that_cannot_do_without_the_node_ends_its_removal() -> None:
    rig = master()
    rig.ask("remove", node="n3")
    reply(rig, "n3")
    members(rig, "n1", "n2")
    rig.run(LEAVE_NS_MAX / 1e6 + 1_100)
    assert rig.answers()[-1].kind == "failed"
    assert "the table cannot do without it" in rig.answers()[-1].reasons[0]


def test_a_removal_that_has_deleted_the_nodes_row_is_not_told_as_refused() -> None:
    rig = master()
    intent = Operation("op-1", "remove", "n1", "why", "n3", 0)
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=NODES[1:]))
    rig.cmm(m.Adopted(3, record(1, N1, appointment=2)))
    rig.write("operation", encode(Operations(intent)))
    rig.run(REPLACE_NS_MAX / 1e6 + 100)
    assert rig.answers()[-1].kind == "failed"
    assert "there is no vice" in rig.answers()[-1].reasons[0]


def test_what_is_about_a_node_that_has_left_the_table_writes_no_record_of_it() -> None:
    rig = master()
    rig.ask("demote", node="n3")
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=NODES[:2]))
    rig.run(5)
    assert rig.answers()[-1].kind == "failed"
    assert kept(rig, "n3") is None


def test_a_function_waits_for_a_hand_over_that_is_in_progress() -> None:
    rig = master()
    rig.quiesces = False
    rig.say("stock", Unhealthy(1, 3, "sick"))
    rig.ask("demote", node="n1")
    assert len(rig.told("stock", Quiesce)) == 1
    for service in ("naming", "stock"):
        rig.say(service, Quiesced(1, 7, 1))
    assert len(rig.fed(m.HandOver)) == 1
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))  # that one failed: the function has its own
    assert rig.operations.current is not None
    rig.exit("stock")
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.become("member", "deposed", record(2, N2, appointment=3))
    assert rig.operations.current is not None  # and the next master goes on


def test_nobody_waits_for_a_vice_that_is_in_maintenance() -> None:
    rig = master()
    rig.give(c.Maintained(now_ns=rig.now_ns, nodes=frozenset({"n3"})))
    rig.ask("demote", node="n2")
    rig.cmm(m.Adopted(3, record(1, N1, appointment=2)))
    assert len(orders(rig, Do)) == 1


def test_what_another_master_has_ended_keeps_nobody_back() -> None:
    rig = master()
    intent = Operations(Operation("op-1", "demote", "n2", "why", "n3", 0))
    rig.write("operation", encode(intent))
    rig.run(5)
    assert rig.fed(m.KeepBack)[-1].why
    rig.write("operation", encode(intent.with_outcome("done", (), {"node": "n2"})))
    assert not rig.fed(m.KeepBack)[-1].why


def _said(rig: Rig) -> list[str]:
    drive = rig.ssc.functions.drive
    assert drive is not None
    return [wait.what for wait in drive.waits()]


def test_who_is_waited_for_is_told() -> None:
    rig = master()
    rig.ask("demote", node="n2")
    assert _said(rig) == ["another vice to be ready"]
    rig.cmm(m.Adopted(3, record(1, N1, N3, ready=True, appointment=2)))
    assert _said(rig) == ["n2 to run its callbacks of demote"]
    rig.tells_nodes = False
    reply(rig, "n2")
    assert _said(rig) == ["the ledger's watch to tell of the record of n2"]
    rig = master()
    rig.ask("shutdown", node="n3")
    assert _said(rig) == ["n3 to leave"]


def test_what_another_node_or_another_operation_is_told_of_ends_nothing() -> None:
    rig = master()
    rig.ask("demote", node="n3")
    reply(rig, "n2")
    late = FunctionDone("an earlier one", "done")
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n3", incarnation="x", message=late))
    assert kept(rig, "n3") is None
    assert rig.operations.current is not None
    reply(rig, "n3")
    assert kept(rig, "n3") == NodeRecord(True, False)


def test_a_record_that_could_not_be_written_is_written_again() -> None:
    rig = master()
    rig.ask("demote", node="n3")
    rig.ledger_says = m.SwapAnswer.UNAVAILABLE
    reply(rig, "n3")
    assert kept(rig, "n3") is None
    rig.ledger_says = None
    rig.run(1_000)
    assert kept(rig, "n3") == NodeRecord(True, False)
    assert rig.answers()[-1].kind == "done"


def test_a_record_that_could_not_be_deleted_is_deleted_again() -> None:
    rig = master()
    rig.write("nodes/n3", encode(NodeRecord()))
    rig.ask("remove", node="n3")
    reply(rig, "n3")
    members(rig, "n1", "n2")
    rig.ledger_says = m.SwapAnswer.UNAVAILABLE
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=NODES[:2]))
    rig.run(1_100)
    assert kept(rig, "n3") == NodeRecord()
    rig.ledger_says = None
    rig.run(1_000)
    assert kept(rig, "n3") is None
    assert rig.answers()[-1].result == {"removed": "n3"}
