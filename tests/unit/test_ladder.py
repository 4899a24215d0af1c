"""A node on its ladder: what runs on each rung, what refuses, and what is told again."""

from __future__ import annotations

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines.events import FunctionBegan, FunctionEnded, LevelCompleted
from primacy.machines.ids import ServerState
from primacy.machines.ladder import OPEN_NS_MAX, READY_NS_MAX, rung_of
from primacy.machines.membership import NodeEntry
from primacy.machines.peer_wire import Do, FunctionDone
from primacy.machines.records import Operation, Operations, encode
from tests.unit.ssc_tools import N1, N2, Rig, record

SPARE, INELIGIBLE = NodeEntry("n1", True, False), NodeEntry("n1", False, False)
CALLBACKS = {
    "stock": [
        h.Callback(f, 1, f) for f in ("initialize", "qualify", "promote", "demote", "disqualify", "remove")
    ]
}


def node(entry: NodeEntry | None = None) -> Rig:
    """A member whose master n2 serves."""
    rig = Rig(CALLBACKS, nodes=(entry,) if entry else ())
    rig.open_hosts()
    rig.cmm(m.Adopted(1, record(1, N2)))
    rig.cmm(m.Served(1))
    rig.run(5)
    return rig


def do(rig: Rig, function: str, operation: str = "op", **_: object) -> None:
    message = Do(operation, function, "why")
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n2", incarnation="x", message=message))
    rig.run(5)


def ends(rig: Rig) -> None:
    """The processes that were killed end; new ones open when they are started."""
    for service in [e.service for e in rig.effects if isinstance(e, c.KillHost)]:
        rig.exit(service)
    rig.effects[:] = [e for e in rig.effects if not isinstance(e, c.KillHost)]
    rig.run(300)
    rig.open_hosts()
    rig.run(5)


def told(rig: Rig) -> list[FunctionDone]:
    return [
        e.message for e in rig.effects if isinstance(e, c.TellNode) and isinstance(e.message, FunctionDone)
    ]


def states(rig: Rig) -> set[str]:
    return {str(s.state) for s in rig.ssc.servers.centralized}


def names(rig: Rig) -> list[str]:
    return [r.name for r in rig.runs]


def test_a_rung_is_what_the_record_says() -> None:
    assert [rung_of(e) for e in (None, NodeEntry("n1"), SPARE, INELIGIBLE)] == [
        "ineligible", "available", "spare", "ineligible",
    ]  # fmt: skip


def test_each_rung_runs_its_servers() -> None:
    assert states(node()) == {"available"}
    spare = node(SPARE)
    assert states(spare) == {"spare"}
    assert all(s.process == "open" and not s.initialized for s in spare.ssc.servers.centralized)
    assert "initialize" not in names(spare)
    below = node(INELIGIBLE)
    assert states(below) == {"offline"}
    assert all(s.process == "none" for s in below.ssc.servers.centralized)
    assert [s.ready for s in below.ssc.servers.local] == [True]


def test_promote_initializes_runs_and_makes_available() -> None:
    rig = node(SPARE)
    do(rig, "promote")
    assert names(rig) == ["initialize", "promote"]
    assert rig.runs[-1].context.old_state == "spare"
    assert rig.runs[-1].context.new_state == "available"
    assert told(rig) == [FunctionDone("op", "done", [])]
    assert states(rig) == {"available"}


def test_qualify_starts_the_processes_and_initializes_nothing() -> None:
    rig = node(INELIGIBLE)
    do(rig, "qualify")
    assert told(rig) == []
    rig.open_hosts()
    rig.run(5)
    assert names(rig) == ["qualify"]
    assert told(rig) == [FunctionDone("op", "done", [])]
    assert states(rig) == {"spare"}


def test_demote_runs_and_ends_what_was_initialized() -> None:
    rig = node()
    rig.effects.clear()
    do(rig, "demote")
    assert names(rig)[-1] == "demote"
    assert told(rig) == []
    ends(rig)
    assert told(rig) == [FunctionDone("op", "done", [])]
    assert states(rig) == {"spare"}
    assert names(rig).count("initialize") == 1


def test_disqualify_takes_the_servers_offline_from_either_rung() -> None:
    spare = node(SPARE)
    do(spare, "disqualify")
    ends(spare)
    assert states(spare) == {"offline"}
    rig = node()
    rig.effects.clear()
    do(rig, "disqualify")
    assert names(rig) == ["initialize", "disqualify"]
    ends(rig)
    assert told(rig) == [FunctionDone("op", "done", [])]
    assert states(rig) == {"offline"}


def test_a_refusal_changes_nothing() -> None:
    for entry, function, state in (
        (SPARE, "promote", "spare"), (INELIGIBLE, "qualify", "offline"), (None, "demote", "available"),
    ):  # fmt: skip
        rig = node(entry)
        rig.fail = {function: "not now"}
        rig.effects.clear()
        do(rig, function)
        rig.open_hosts()
        rig.run(5)
        [done] = told(rig)
        assert done.outcome == "refused"
        assert "not now" in done.reasons[0]
        ends(rig)
        assert states(rig) == {state}, function


def test_a_server_that_does_not_come_up_is_named() -> None:
    rig = node(INELIGIBLE)
    do(rig, "qualify")
    rig.say("naming", h.Opened("naming", [], 0, 0))
    rig.run(READY_NS_MAX / 1e6 + 10)
    [done] = told(rig)
    assert done.outcome == "refused"
    assert any("stock is not ready on n1" in reason for reason in done.reasons)


def test_on_the_way_down_a_former_vice_tells_its_new_servers_first() -> None:
    rig = Rig.of_vice(CALLBACKS)
    rig.effects.clear()
    rig.become("member", "dropped", record(1, N2, appointment=4))
    do(rig, "demote")
    assert "demote" not in names(rig)  # its servers start anew
    ends(rig)
    assert names(rig)[-1] == "demote"


def test_on_the_way_down_a_server_that_does_not_come_up_is_no_hindrance() -> None:
    rig = node()
    rig.exit("stock")
    do(rig, "demote")
    assert "demote" not in names(rig)
    rig.run(OPEN_NS_MAX / 1e6 + 10)
    ends(rig)
    assert told(rig) == [FunctionDone("op", "done", [])]


def test_the_same_operation_is_run_once_and_told_again() -> None:
    rig = node(SPARE)
    do(rig, "promote")
    do(rig, "promote")
    assert told(rig) == 2 * [FunctionDone("op", "done", [])]
    assert names(rig).count("promote") == 1


def test_a_refusal_is_told_again_and_not_asked_for_again() -> None:
    rig = node()
    rig.fail = {"demote": "not now"}
    do(rig, "demote")
    do(rig, "demote")
    assert [d.outcome for d in told(rig)] == ["refused", "refused"]
    assert names(rig).count("demote") == 1


def test_another_operation_begins_when_the_one_in_progress_has_ended() -> None:
    rig = node()
    rig.hold = {"demote"}
    do(rig, "demote", "first")
    do(rig, "remove", "second")
    assert told(rig) == []
    rig.hold.clear()
    rig.say("stock", h.Ran(rig.runs[-1].id, "done"))
    for service in ("naming", "stock"):
        rig.exit(service)
    do(rig, "remove", "second")  # its master asks until it is answered
    assert [(d.operation, d.outcome) for d in told(rig)] == [("first", "done")]
    assert rig.ssc.ladder.doing is not None
    assert rig.ssc.ladder.doing.operation == "second"


def test_a_rung_that_is_reached_already_needs_no_callbacks() -> None:
    rig = node(SPARE)
    do(rig, "demote")
    assert told(rig) == [FunctionDone("op", "done", [])]
    assert "demote" not in names(rig)


def test_remove_runs_its_callbacks_where_it_stands() -> None:
    rig = node()
    do(rig, "remove")
    assert names(rig)[-1] == "remove"
    assert told(rig)[-1].outcome == "done"


def test_who_has_a_role_waits_until_it_is_taken() -> None:
    rig = Rig.of_vice(CALLBACKS)
    do(rig, "demote")
    assert told(rig) == []
    assert "demote" not in names(rig)


def test_the_node_follows_its_record_when_no_function_is_about_it() -> None:
    rig = node()
    rig.fail = {"demote": "not now"}
    rig.effects.clear()
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=(SPARE,)))
    rig.run(5)
    ends(rig)
    assert states(rig) == {"spare"}  # nothing can be refused any more
    assert told(rig) == []


def test_the_node_waits_while_a_function_about_it_is_in_progress() -> None:
    rig = node()
    rig.write("operation", encode(Operations(Operation("op", "demote", "n1", "why", "n2", 1))))
    rig.give(c.NodesChanged(now_ns=rig.now_ns, nodes=(SPARE,)))
    rig.run(50)
    assert "demote" not in names(rig)
    rig.write("operation", encode(Operations()))
    rig.run(5)
    assert "demote" in names(rig)


def test_a_moving_node_is_not_appointed() -> None:
    rig = node(SPARE)
    assert not rig.fed(m.Health)[-1].able
    do(rig, "promote")
    assert rig.fed(m.Health)[-1].able
    rig.hold = {"demote"}
    do(rig, "demote", "second")
    assert not rig.fed(m.Health)[-1].able
    assert ServerState.AVAILABLE in states(rig)
    assert N1.node == "n1"


def test_a_nodes_part_of_an_operation_names_it() -> None:
    """Though the node has not read the intent in the ledger yet."""
    rig = node()
    do(rig, "demote", "op-7")
    assert [(e.function, e.operation) for e in rig.events(FunctionBegan)][-1] == ("demote", "op-7")
    assert rig.events(LevelCompleted)[-1].operation == "op-7"
    assert rig.events(FunctionEnded)[-1].operation == "op-7"


def test_a_node_that_is_made_master_while_a_function_takes_it_down_comes_up_for_it() -> None:
    rig = node()
    rig.write("operation", encode(Operations(Operation("op", "demote", "n1", "why", "n2", 1))))
    do(rig, "demote")
    ends(rig)
    assert states(rig) == {"spare"}
    rig.become("master", "force", record(2, N1, appointment=2))
    rig.run(50)
    assert states(rig) == {"primary"}
    assert rig.ssc.serving.own_term == 2


def test_who_is_waited_for_is_told() -> None:
    rig = node(INELIGIBLE)
    do(rig, "qualify")
    said = [wait.what for wait in rig.ssc.ladder.waits()]
    assert said == ["the host of naming to start", "the host of stock to start"]
    rig = node()
    do(rig, "demote")
    said = [wait.what for wait in rig.ssc.ladder.waits()]
    assert said == ["naming to end", "stock to end"]
    ends(rig)
    assert rig.ssc.ladder.waits() == []


def test_a_server_that_does_not_end_is_not_waited_for_for_ever() -> None:
    rig = node()
    do(rig, "demote")
    assert told(rig) == []
    rig.run(READY_NS_MAX / 1e6 + 10)
    assert told(rig) == [FunctionDone("op", "done", [])]


def test_a_node_that_does_not_know_its_master_yet_still_does_its_part() -> None:
    """It was asked on a stream, and neither the ledger nor an announcement has reached it."""
    rig = Rig(CALLBACKS)
    rig.open_hosts()
    do(rig, "demote")
    rig.run(OPEN_NS_MAX / 1e6 + 10)
    assert (names(rig), rig.runs[-1].context.peer) == (["demote"], None)
    ends(rig)
    assert told(rig) == []  # to whom?
    rig.cmm(m.Adopted(1, record(1, N2)))
    do(rig, "demote")  # its master asks until it is answered
    assert told(rig) == [FunctionDone("op", "done", [])]


def test_a_node_that_has_become_master_hears_its_own_part_itself() -> None:
    rig = node(SPARE)
    do(rig, "promote")
    rig.effects.clear()
    rig.become("master", "force", record(2, N1, appointment=2))
    rig.run(50)
    rig.write("operation", encode(Operations(Operation("op", "promote", "n1", "why", "n2", 1))))
    assert c.TellNode("n1", Do("op", "promote", "why")) in rig.effects
    rig.give(c.PeerSaid(now_ns=rig.now_ns, node="n1", incarnation="x", message=Do("op", "promote", "why")))
    rig.run(50)
    assert told(rig) == []
    assert rig.answers()[-1].kind == "done"
