"""Requests for functions at the master: accepted with their intent in the ledger, and never carried out twice."""

from __future__ import annotations

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.driving import REPLACE_NS_MAX
from primacy.machines.events import FunctionBegan, FunctionEnded, OperationBegan, OperationEnded
from primacy.machines.functions import AUTO_NS
from primacy.machines.membership import NodeEntry, SwapAnswer
from primacy.machines.peer_wire import Do, FunctionDone
from primacy.machines.records import Operation, Operations, encode
from primacy.machines.swap import Outcome, Purpose
from tests.unit.ssc_tools import N1, N2, Rig, record


def master() -> Rig:
    rig = Rig()
    rig.pair()
    return rig


def reply(rig: Rig, node: str, outcome: str = "done", reasons: tuple[str, ...] = ()) -> None:
    """A node answers the last `Do`."""
    [*_, asked] = [e for e in rig.effects if isinstance(e, c.TellNode) and isinstance(e.message, Do)]
    message = FunctionDone(asked.message.operation, outcome, list(reasons))
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node=node, incarnation="x", message=message))


def answered(rig: Rig) -> list[str]:
    """What the requests were told at once."""
    return [e.kind for e in rig.effects if isinstance(e, c.Answer)]


def test_the_intent_is_in_the_ledger_before_anything_is_done() -> None:
    rig = master()
    rig.ledger_says = SwapAnswer.UNCERTAIN
    rig.ask("demote", node="n3")
    assert answered(rig) == []
    assert not rig.fed(m.KeepBack)
    rig.ledger_says = None
    rig.run(300)
    assert answered(rig) == ["accepted"]
    assert rig.operations.current is not None
    assert rig.operations.current.function == "demote"
    assert [(k.node, k.why) for k in rig.fed(m.KeepBack)] == [("n3", "demote of n3")]
    assert rig.events(OperationBegan)[-1].operation == "op-1"


def test_a_ledger_that_is_away_begins_nothing() -> None:
    rig = master()
    rig.ledger_says = SwapAnswer.UNAVAILABLE
    rig.ask("demote", node="n3")
    assert rig.answers()[-1].kind == "failed"
    assert "nothing was begun" in rig.answers()[-1].reasons[0]
    rig.run(100)
    assert not rig.fed(m.KeepBack)


def test_the_same_id_is_the_same_request() -> None:
    rig = master()
    rig.ask("demote", node="n3", operation="same")
    rig.ask("demote", node="n3", operation="same")
    assert answered(rig) == ["accepted", "accepted"]
    reply(rig, "n3")
    rig.ask("demote", node="n3", operation="same")
    assert answered(rig) == ["accepted", "accepted", "accepted"]
    assert [e.outcome for e in rig.operations.ended] == ["done"]


def test_the_same_id_while_its_intent_is_under_way() -> None:
    rig = master()
    rig.ledger_says = SwapAnswer.UNCERTAIN
    rig.ask("demote", node="n3", operation="same")
    rig.ask("demote", node="n3", operation="same")
    rig.ask("demote", node="n2", operation="other")
    assert answered(rig) == ["refused"]
    rig.ledger_says = None
    rig.run(300)
    assert answered(rig) == ["refused", "accepted", "accepted"]


def test_two_operators_at_once() -> None:
    rig = master()
    rig.ask("demote", node="n3")
    rig.ask("demote", node="n2")
    assert answered(rig) == ["accepted", "refused"]
    assert "in progress: demote n3" in rig.answers()[-1].reasons[0]


def test_a_dry_run_writes_nothing() -> None:
    rig = master()
    rig.ask("demote", node="n3", dry_run=True)
    rig.ask("switchover", dry_run=True)
    assert [a.result.get("to") for a in rig.answers()] == [None, "n2"]
    assert rig.ledger == {}


def test_the_outcome_is_written_though_the_ledger_is_away_for_a_while() -> None:
    rig = master()
    rig.ask("demote", node="n3")
    rig.ledger_says = SwapAnswer.UNAVAILABLE
    reply(rig, "n3", "refused", ("stock.low: not now",))
    rig.run(1000)
    assert rig.operations.current is not None
    rig.ledger_says = None
    rig.run(1000)
    [ended] = rig.operations.ended
    assert (ended.outcome, ended.reasons) == ("refused", ("stock.low: not now",))
    assert rig.events(OperationEnded)[-1].reasons == ["stock.low: not now"]


@pytest.mark.parametrize("late", [False, True])
def test_an_intent_of_an_earlier_master_is_finished(late: bool) -> None:
    rig = Rig()
    intent = Operation("old", "demote", "n3", "because", "n2", 1)
    if not late:
        rig.write("operation", encode(Operations(intent)))
    rig.pair()
    if late:
        rig.write("operation", encode(Operations(intent)))
    rig.run(1100)
    assert any(isinstance(e, c.TellNode) and e.message == Do("old", "demote", "because") for e in rig.effects)
    reply(rig, "n3")
    assert [(e.id, e.outcome) for e in rig.operations.ended] == [("old", "done")]


def test_who_is_no_longer_master_drives_nothing() -> None:
    rig = master()
    rig.ask("demote", node="n3")
    rig.become("member", "deposed", record(2, N2, by=N2, appointment=3))
    rig.effects.clear()
    rig.run(3000)
    assert [e for e in rig.effects if isinstance(e, c.TellNode)] == []
    assert rig.operations.current is not None


def test_who_is_master_again_begins_with_what_the_ledger_says() -> None:
    rig = master()
    rig.ask("demote", node="n1")
    rig.become("vice", "switchover", record(2, N2, N1, ready=True, appointment=3), clean=True)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.DONE))
    rig.cmm(m.Served(2))
    rig.run(50)
    rig.become("master", "failover", record(3, N1, appointment=4))
    rig.run(REPLACE_NS_MAX / 1e6 + 100)
    [ended] = rig.operations.ended  # it would have to switch over again, and there is nobody
    assert (ended.id, ended.outcome) == ("op-1", "refused")


def test_a_spare_is_promoted_when_nobody_else_could_be_vice() -> None:
    rig = Rig(nodes=(NodeEntry("n1"), NodeEntry("n2", True, False), NodeEntry("n3", True, False, 5)))
    rig.master()
    rig.give(c.MembersChanged(now_ns=rig.now_ns, nodes=("n1", "n2", "n3")))
    rig.run(AUTO_NS / 1e6 - 50)
    assert rig.operations.current is None
    rig.run(100)
    assert rig.operations.current is not None
    assert (rig.operations.current.function, rig.operations.current.node) == ("promote", "n3")
    reply(rig, "n3")
    assert rig.operations.ended[-1].outcome == "done"


def test_no_spare_is_promoted_without_need_or_leave() -> None:
    three = (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3", True, False))
    for options in ({"auto_promote": False}, {"nodes": three}):
        nodes = (NodeEntry("n1"), NodeEntry("n2", True, False))
        rig = Rig(**({"nodes": nodes} | options))
        rig.master()
        rig.give(c.MembersChanged(now_ns=rig.now_ns, nodes=("n1", "n2", "n3")))
        rig.run(3 * AUTO_NS / 1e6)
        assert rig.operations.current is None
        assert rig.told("stock", h.Serve)


@pytest.mark.parametrize("entry", [NodeEntry("n1", True, False), NodeEntry("n1", False, False)])
def test_a_master_whose_record_says_that_it_may_not_lead_hands_over(entry: NodeEntry) -> None:
    """Who was master before has written that late, when this one was master already."""
    rig = master()
    others = tuple(n for n in rig.ssc.nodes if n.id != "n1")
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=(entry, *others)))
    rig.run(5)
    current = rig.operations.current
    assert current is not None
    assert (current.function, current.node, current.options) == ("switchover", "n1", {"to": "n2"})
    assert rig.fed(m.HandOver)
    rig.cmm(m.Closed(Purpose.HANDOVER, Outcome.NOT_WRITTEN))
    [ended] = rig.operations.ended
    assert ended.outcome == "failed"
    assert rig.operations.current is None  # again, but not at once
    rig.run(AUTO_NS / 1e6 + 10)
    assert len(rig.fed(m.HandOver)) == 2


def test_such_a_master_stays_while_nobody_could_take_over_or_the_cluster_is_in_maintenance() -> None:
    rig = master()
    others = tuple(n for n in rig.ssc.nodes if n.id != "n1")
    rig.give(c.Maintained(now_ns=rig.now_ns, cluster="a new switch", nodes=frozenset()))
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=(NodeEntry("n1", True, False), *others)))
    rig.run(5)
    assert rig.operations.current is None
    alone = Rig(nodes=(NodeEntry("n1", True, False), NodeEntry("n2")))
    alone.master()
    alone.run(3 * AUTO_NS / 1e6)
    assert alone.operations.current is None


def test_what_runs_for_an_operation_names_it() -> None:
    rig = master()
    rig.ask("switchover")
    rig.run(5)
    assert [(e.function, e.operation) for e in rig.events(FunctionBegan)][-1] == ("switchover", "op-1")
    assert rig.events(FunctionEnded)[-1].operation == "op-1"
    assert (rig.ssc.functions.named("failover"), rig.ssc.functions.named("switchover")) == ("", "op-1")


def test_a_spare_in_maintenance_is_not_promoted_and_a_vice_in_maintenance_is_none() -> None:
    rig = Rig(nodes=(NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3", True, False)))
    rig.master()
    rig.give(c.MembersChanged(now_ns=rig.now_ns, nodes=("n1", "n2", "n3")))
    rig.give(c.Maintained(now_ns=rig.now_ns, nodes=frozenset({"n2", "n3"})))
    rig.run(2 * AUTO_NS / 1e6)
    assert rig.operations.current is None
    rig.give(c.Maintained(now_ns=rig.now_ns, nodes=frozenset({"n2"})))
    rig.run(AUTO_NS / 1e6 + 50)
    assert rig.operations.current is not None
    assert rig.operations.current.node == "n3"


def test_a_record_of_operations_that_was_deleted_by_hand_is_an_empty_one() -> None:
    rig = master()
    rig.ask("demote", node="n3")
    assert rig.ssc.functions.drive is not None
    rig.write("operation", None)
    rig.run(5)
    assert rig.ssc.functions.operations == Operations()
    assert rig.ssc.functions.drive is None
    rig.ask("demote", node="n3", operation="another")
    assert answered(rig) == ["accepted", "accepted"]


def test_a_dry_run_is_judged_whatever_its_id() -> None:
    rig = master()
    rig.ask("demote", node="n3", operation="same", dry_run=True)
    assert [(a.kind, a.result) for a in rig.answers()] == [("done", {"possible": True})]
    assert rig.operations == Operations()
    rig.ask("demote", node="n3", operation="same")
    rig.ask("demote", node="n3", operation="same", dry_run=True)
    assert rig.answers()[-1].kind == "refused"
    assert "a function is in progress" in rig.answers()[-1].reasons[0]
