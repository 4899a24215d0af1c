"""The configuration of a simulated cluster is changed while it runs: each kind of change, each on a whole cluster."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from primacy.config import Table
from primacy.machines.change_record import CHANGE, Change, decode
from primacy.machines.records import CONFIG
from primacy.sim import tables
from primacy.sim.draw_changes import draw_changes
from primacy.sim.edits import NAMES, edited
from primacy.sim.faults import Fault
from primacy.sim.plan import CHANGED_MS, LIVENESS_MS, Plan, from_seed
from primacy.sim.settings import LOGBOOK
from primacy.sim.world import World

AT_MS, HEAL_MS = 1_500, 6_000
NODES, SPARES = ("n1", "n2", "n3"), ("x1", "x2")


def configured(*faults: Fault, **fields: object) -> World:
    """Run a cluster of three nodes, two machines beside, with these faults."""
    plan = msgspec.structs.replace(Plan(7, heal_ms=HEAL_MS, spares=2, faults=faults), **fields)
    world = World(plan)
    outcome = world.run()
    assert outcome.violation is None, outcome.report()
    assert not outcome.waits
    return world


def edit(what: str, about: str = "", amount: float = 0.0, at_ms: int = AT_MS, then: str = "") -> Fault:
    return Fault(at_ms, "configure", "n2", about, what, then, amount=amount)


def table_of(world: World) -> Table:
    return tables.decode(world.ledger.values[CONFIG])


def ended(world: World) -> list[Change]:
    changes = decode(world.ledger.values[CHANGE])
    assert changes.current is None
    return list(changes.ended)


def lives(world: World) -> Counter[str]:
    return Counter({node.id: node.lives for node in world.nodes.values() if node.lives})


def test_times_are_taken_over_without_any_restart() -> None:
    world = configured(edit("slower", amount=2.0))
    times = table_of(world).times
    assert (times.beat_ms, times.lease_ms, times.grace_ms) == (100, 500, 600)
    assert {node.agent.monitor.timing for node in world.nodes.values() if node.agent} == {times}
    assert lives(world) == {"n1": 1, "n2": 1, "n3": 1}
    record = world.ledger.record
    assert record is not None
    assert record.term == 1


def test_an_altered_service_restarts_every_node_once() -> None:
    world = configured(edit("alter", LOGBOOK, 9.0))
    assert [change.outcome for change in ended(world)] == ["done"]
    assert lives(world) == {"n1": 2, "n2": 2, "n3": 2}
    record = world.ledger.record
    assert record is not None
    assert record.term == 2, "one switchover, for the master"


def test_a_service_comes_and_goes() -> None:
    world = configured(edit("add", "notes"), edit("drop", "notes", at_ms=4_500))
    assert [change.outcome for change in ended(world)] == ["done", "done"]
    assert "notes" not in table_of(world).services
    assert lives(world) == {"n1": 2, "n2": 2, "n3": 2}, "only its coming takes restarts"


def test_a_machine_becomes_a_node_and_leaves_again() -> None:
    world = configured(edit("enter", "x1"), edit("leave", "x1", at_ms=4_000))
    assert lives(world)["x1"] == 1
    assert list(table_of(world).nodes) == ["n1", "n2", "n3"]
    assert [step.what for change in ended(world) for step in change.steps][-1] == "remove x1"


def test_a_node_that_enters_as_ineligible_can_qualify() -> None:
    world = configured(edit("enter-ineligible", "x1"), edit("eligible", "x1", at_ms=4_000))
    agent = world.nodes["x1"].agent
    assert agent is not None
    assert agent.monitor.peers.own.eligible


@pytest.mark.parametrize("what", ["renumber", "relink"])
def test_a_node_that_moves_restarts_alone_and_tells_where_it_is(what: str) -> None:
    world = configured(edit(what, "n3", 1.0))
    assert lives(world) == {"n1": 1, "n2": 1, "n3": 2}
    wanted = table_of(world).agent_addresses("n3")
    assert wanted != [("10.0.1.3", 7300), ("10.0.2.3", 7300)]
    agent = world.nodes["n1"].agent
    assert agent is not None
    assert agent.following.running.agent_addresses("n3") == wanted
    assert agent.coordinator.addresses["n3"][LOGBOOK][0][0] == wanted[0][0]


def test_a_change_takes_the_place_of_another_one() -> None:
    world = configured(edit("alter", LOGBOOK, 9.0), edit("options", at_ms=AT_MS + 30, then="replace"))
    assert [change.outcome for change in ended(world)] == ["replaced", "done"]
    assert [asked.answers for asked in world.checkers.truth.changes.requests] == [["accepted"], ["accepted"]]


def test_a_second_change_is_refused_while_one_is_under_way() -> None:
    world = configured(edit("alter", LOGBOOK, 9.0), edit("options", at_ms=AT_MS + 30))
    assert [asked.answers for asked in world.checkers.truth.changes.requests] == [["accepted"], ["refused"]]


def test_a_change_outlives_the_master_that_began_it() -> None:
    crash = Fault(AT_MS + 40, "crash", "master", what="sent", for_ms=300)
    world = configured(edit("alter", LOGBOOK, 9.0), crash)
    assert [change.outcome for change in ended(world)] == ["done"]


def test_a_change_waits_for_a_node_that_is_dead() -> None:
    world = configured(Fault(1_000, "power", "n3", for_ms=-1), edit("alter", LOGBOOK, 9.0))
    assert [change.outcome for change in ended(world)] == ["done"]
    assert lives(world)["n3"] == 2, "it came back with the table that stood then"


def test_operators_strengthen_a_cluster_whose_change_waits_for_that() -> None:
    world = configured(
        edit("alter", LOGBOOK, 9.0),
        Fault(AT_MS + 10, "ask", "n1", "n2", what="disqualify", for_ms=1_000),
        rungs=("ineligible",),
        auto_promote=False,
    )
    verbs = [asked.verb for asked in world.checkers.truth.requests]
    assert verbs[0] == "disqualify"
    assert set(verbs[1:]) == {"qualify", "promote"}, "after all faults"
    assert [change.outcome for change in ended(world)] == ["done"]


def test_maintenance_ends_by_itself() -> None:
    world = configured(Fault(AT_MS, "maintain", "n1", "cluster", for_ms=4_000, amount=800.0))
    told = [text for _, _, text in world.checkers.timeline if "maintenance" in text]
    assert any("expired" in text for text in told), told
    assert all(node.notices.content for node in world.nodes.values() if node.agent)


def test_links_that_an_operator_takes_down_are_told_to_the_agent() -> None:
    world = configured(Fault(AT_MS, "unlink", "vice", for_ms=1_000))
    record = world.ledger.record
    assert record is not None
    assert record.term == 1, "a node that is cut off by its operator claims nothing"


def test_every_edit_alters_the_table_or_leaves_it() -> None:
    settings = World(Plan(1)).settings
    stands = tables.at_first(settings)
    about = {"add": "notes", "drop": "door", "alter": LOGBOOK, "hook": LOGBOOK, "enter": "x1"}
    about |= {"enter-ineligible": "x1", "ineligible": "n2"}
    for name in NAMES:
        if name == "eligible":
            assert edited(stands, name, "n2", 1.0, settings) == stands
        else:
            assert edited(stands, name, about.get(name, "n2"), 7.0, settings) != stands, name
        if name not in ("slower", "options", "enter", "enter-ineligible"):
            assert edited(stands, name, "nobody", 1.0, settings) == stands


def test_every_change_is_drawn_and_told() -> None:
    lists = [draw_changes(random.Random(n), NODES, SPARES, 300.0, 300, 7_000) for n in range(600)]
    drawn = [fault for faults in lists for fault in faults]
    assert {fault.what for fault in drawn if fault.kind == "configure" and "+" not in fault.what} == set(
        NAMES
    )
    assert {fault.kind for fault in drawn} == {
        "configure",
        "crash",
        "power",
        "ledger",
        "isolate",
        "unlink",
        "ask",
    }
    assert all(fault.sentence().startswith("at ") and fault.at_ms < 7_000 for fault in drawn)
    assert not any(fault.sentence().endswith(f": {fault.kind}") for fault in drawn)
    assert all(list(faults) == sorted(faults, key=lambda fault: fault.at_ms) for faults in lists)


def test_machines_beside_are_no_nodes() -> None:
    plan = Plan(1, nodes=2, spares=2)
    assert plan.machines == ("n1", "n2", "x1", "x2")
    assert plan.ids == ("n1", "n2")
    assert [entry.id for entry in plan.table] == ["n1", "n2"]
    assert not plan.beyond("n1", "x1"), "their clocks are plain"


def test_a_cluster_with_a_change_has_longer_to_be_whole() -> None:
    plans = [from_seed(seed) for seed in range(60)]
    bounds = {plan.liveness_ms for plan in plans if any(f.kind == "configure" for f in plan.faults)}
    assert bounds == {CHANGED_MS}
    assert {plan.liveness_ms for plan in plans} == {CHANGED_MS, LIVENESS_MS}
