"""Every kind of change of the configuration table: what it takes, and all that speaks against it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from primacy.config import Cluster, Node, Service, Table, numbered
from primacy.config_plan import AT_ONCE, FUNCTION, MOVING, ROLLING, TWO_STEPS, plan, restarts
from primacy.machines.timing import PROFILES

STANDS = numbered(
    Table(
        nodes={f"n{i + 1}": Node(links=["127.0.0.1", "127.0.0.2"], port=7300 + 32 * i) for i in range(3)},
        services={"stock": Service(python="a:Stock"), "door": Service(python="a:Door", local=True)},
    )
)
ALL = frozenset(STANDS.nodes)
NEW = Node(links=["127.0.0.1"], port=7500)


def _nodes(**changed: Node | None) -> Table:
    rows = {**STANDS.nodes, **changed}
    return msgspec.structs.replace(STANDS, nodes={n: row for n, row in rows.items() if row is not None})


def _node(name: str, **changed: Any) -> Table:
    return _nodes(**{name: msgspec.structs.replace(STANDS.nodes[name], **changed)})


def _services(**changed: Service | None) -> Table:
    rows = {**STANDS.services, **changed}
    return msgspec.structs.replace(STANDS, services={s: row for s, row in rows.items() if row is not None})


def _service(name: str, **changed: Any) -> Table:
    return _services(**{name: msgspec.structs.replace(STANDS.services[name], **changed)})


def _cluster(**changed: Any) -> Table:
    return msgspec.structs.replace(STANDS, cluster=Cluster(**changed))


POSSIBLE = [
    (_nodes(n4=NEW), "node n4 added", AT_ONCE, ""),
    (_nodes(n3=None), "node n3 removed", FUNCTION, "remove n3"),
    (_node("n3", priority=5), "node n3 altered", AT_ONCE, ""),
    (_node("n1", links=["127.0.0.1"]), "node n1 altered", MOVING, ""),
    (_node("n1", port=7600), "node n1 altered", MOVING, ""),
    (_node("n3", eligible=False), "node n3 altered", FUNCTION, "disqualify n3"),
    (_services(more=Service(python="a:More")), "service more added", ROLLING, ""),
    (_services(more=Service(python="a:More", local=True)), "service more added", ROLLING, ""),
    (_services(stock=None), "service stock removed", AT_ONCE, ""),
    (_services(door=None), "service door removed", AT_ONCE, ""),
    (_service("stock", python="b:Stock"), "service stock altered", ROLLING, ""),
    (_service("stock", mirror_timeout_s=5.0), "service stock altered", ROLLING, ""),
    (_cluster(profile="carrier"), "timing altered", TWO_STEPS, ""),
    (msgspec.structs.replace(STANDS, timing=PROFILES["wan"]), "timing altered", TWO_STEPS, ""),
    (msgspec.structs.replace(STANDS, timing=PROFILES["lan"]), "timing altered", AT_ONCE, ""),
    (_cluster(name="other"), "cluster.name altered", AT_ONCE, ""),
    (_cluster(cold_start="availability"), "cluster.cold_start altered", AT_ONCE, ""),
]


@pytest.mark.parametrize(("wanted", "what", "takes", "function"), POSSIBLE, ids=[row[1] for row in POSSIBLE])
def test_every_kind_of_change_is_one_step(wanted: Table, what: str, takes: str, function: str) -> None:
    found = plan(STANDS, wanted, ALL)
    (step,) = found.steps
    assert f"{step.what} {step.change}" == what
    assert step.takes == takes
    assert found.functions == ((tuple(function.split()),) if function else ())
    assert not found.against
    assert step.sentence.startswith(what)
    assert found.restarts == (takes in (ROLLING, MOVING))
    assert found.moves == (("n1",) if takes == MOVING else ())
    assert found.writes == (takes != FUNCTION)
    assert bool(restarts(STANDS, found.table, "n1")) == (takes in (ROLLING, MOVING))


REFUSED = [
    (_node("n3", links=["127.0.0.8", "127.0.0.9"]), ["no link to n1, n2 would last"]),
    (
        _nodes(
            n1=msgspec.structs.replace(STANDS.nodes["n1"], port=7332),
            n2=msgspec.structs.replace(STANDS.nodes["n2"], port=7300),
        ),
        ["nodes.n1: its new place is still that of n2", "nodes.n2: its new place is still that of n1"],
    ),
    (_node("n3", links=["127.0.0.1", "127.0.0.1"]), ["overlaps"]),
    (_nodes(n1=None, n2=None, n3=None, n4=NEW), ["none of the eligible nodes that hold the data"]),
    (_service("stock", durability="memory"), ["from disk to memory"]),
    (_service("stock", local=True, offset=None), ["does not change its kind"]),
    (_service("stock", offset=9), ["ports do not shift"]),
    (_services(more=Service(python="a:More", offset=3)), ["that of"]),
]


@pytest.mark.parametrize(("wanted", "words"), REFUSED, ids=[row[1][0] for row in REFUSED])
def test_what_is_dangerous_is_refused_with_all_reasons(wanted: Table, words: list[str]) -> None:
    against = plan(STANDS, wanted, ALL).against
    assert len(against) == len(words), against
    for reason, word in zip(against, words, strict=True):
        assert word in reason


def test_no_change_is_no_step() -> None:
    found = plan(STANDS, STANDS, ALL)
    assert (found.steps, found.against, found.table) == ((), (), STANDS)


def test_a_file_without_offsets_changes_none() -> None:
    rows = {s: msgspec.structs.replace(row, offset=None) for s, row in STANDS.services.items()}
    wanted = msgspec.structs.replace(STANDS, services={"first": Service(python="a:First"), **rows})
    found = plan(STANDS, wanted, ALL)
    assert [s.what for s in found.steps] == ["service first"]
    assert found.table.offsets() == {"naming": 2, "stock": 3, "first": 4}


def test_nodes_move_one_after_the_other_or_all_at_once_while_the_cluster_is_down() -> None:
    moved = _node("n3", port=7600)
    assert not plan(STANDS, moved, frozenset({"n1", "n2"})).against
    rows = {n: msgspec.structs.replace(row, links=row.links[:1]) for n, row in STANDS.nodes.items()}
    fewer = plan(STANDS, _nodes(**rows), ALL)
    assert (fewer.against, fewer.moves) == ((), ("n1", "n2", "n3"))
    assert [step.what for step in fewer.intent][1:] == ["n1, n2, n3 restart in turn"]
    rows = {n: msgspec.structs.replace(row, links=["10.0.0.1"]) for n, row in STANDS.nodes.items()}
    assert len(plan(STANDS, _nodes(**rows), ALL).against) == 3
    assert not plan(STANDS, _nodes(**rows), frozenset()).against
    assert "only eligible one" in plan(STANDS, moved, frozenset({"n3"})).against[0]
    assert restarts(STANDS, moved, "n3") == ("links of n3 altered",)
    assert restarts(STANDS, moved, "n1") == ()


def test_somebody_eligible_who_runs_must_be_left() -> None:
    assert plan(STANDS, _nodes(n1=None), frozenset({"n1"})).against == (
        "nodes: no eligible node that runs (now: n1) would stay eligible: start another one first",
    )


def test_a_lone_master_does_not_restart_itself() -> None:
    wanted = _services(more=Service(python="a:More"))
    (reason,) = plan(STANDS, wanted, frozenset({"n2"})).against
    assert "n2 has to restart for it, and is the only eligible one that runs" in reason
    assert not plan(STANDS, wanted, frozenset()).against


def test_a_removed_node_and_eligibility_are_left_to_their_functions() -> None:
    wanted = _nodes(n1=msgspec.structs.replace(STANDS.nodes["n1"], eligible=False), n3=None, n4=NEW)
    found = plan(STANDS, wanted, ALL)
    assert found.functions == (("disqualify", "n1"), ("remove", "n3"))
    assert list(found.table.nodes) == ["n1", "n2", "n4", "n3"]
    assert found.table.nodes["n1"].eligible
    assert [s.takes for s in found.steps] == [AT_ONCE, FUNCTION, FUNCTION]


def test_what_adds_strength_comes_before_what_takes_it_away() -> None:
    stands = _node("n2", eligible=False)
    wanted = msgspec.structs.replace(
        _nodes(n3=None), services={**STANDS.services, "more": Service(python="a:More")}
    )
    found = plan(stands, wanted, ALL)
    assert [s.function or s.takes for s in found.steps] == ["qualify", ROLLING, "remove"]
    assert found.first == 1
    dead = plan(stands, wanted, ALL - {"n3"})
    assert [s.function or s.takes for s in dead.steps] == ["qualify", "remove", ROLLING]
    assert dead.first == 2


def test_the_intent_has_every_step_in_the_order_of_strength() -> None:
    stands = _node("n2", eligible=False)
    wanted = msgspec.structs.replace(
        _nodes(n3=None), services={**STANDS.services, "more": Service(python="a:More")}
    )
    found = plan(stands, wanted, ALL).intent
    assert [(s.kind, s.function, s.node) for s in found] == [
        ("table", "", ""), ("function", "qualify", "n2"), ("follow", "", ""), ("function", "remove", "n3"),
    ]  # fmt: skip
    assert found[0].what.startswith("the table is written; service more added (a:More")
    only = plan(STANDS, _node("n3", eligible=False), ALL).intent
    assert [s.what for s in only] == ["disqualify n3"]
    assert plan(STANDS, STANDS, ALL).intent == ()


def test_times_change_through_what_lies_between() -> None:
    found = plan(STANDS, _cluster(profile="carrier"), ALL)
    assert found.table.replaces == PROFILES["lan"]
    assert (found.table.times.lease_ms, found.table.times.grace_ms) == (40, 300)
    (reason,) = plan(found.table, found.table, ALL).against
    assert "under way" in reason
    back = plan(found.table, STANDS, frozenset())
    assert not back.against
    assert (back.table.times.lease_ms, back.table.times.grace_ms) == (40, 300)


def test_the_table_to_write_is_checked_with_the_nodes_that_leave() -> None:
    same_place = msgspec.structs.replace(STANDS.nodes["n3"], links=["127.0.0.1"])
    found = plan(STANDS, _nodes(n3=None, n4=same_place), ALL)
    assert any("overlaps" in reason for reason in found.against)
