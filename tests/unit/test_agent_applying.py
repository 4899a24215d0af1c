"""Changes at real agents: asked for by operators, written down as a whole, carried out by whoever is master."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy import config
from primacy.agent.applying import Applier
from primacy.config import Table
from primacy.ledger.memory import MemoryLedger
from primacy.machines import change_record
from primacy.machines.change_record import CHANGE, Change, Changes, ChangeStep
from tests.unit.agent_tools import Running, Site
from tests.unit.cgtp_tools import until

STOCK = {"stock": {"python": "a:Stock"}}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Three nodes with their table in the ledger; nothing has begun."""
    made = Site(tmp_path, nodes=3, services=STOCK)
    await MemoryLedger(made.store).swap("config", config.encode(made.table), 0)
    yield made
    await made.close()


async def _in_force(site: Site) -> Table:
    _, (entry,) = await MemoryLedger(site.store).read("config")
    return config.decode(entry.value)


def _changes(site: Site) -> Changes:
    found = site.store.read(CHANGE)[1]
    return change_record.decode(found[0].value) if found else Changes()


def _events(running: Running, kind: str) -> list[dict[str, Any]]:
    found = [e["event"] for e in running.node.events.since(0, 5_000)]
    return [e for e in found if e["event"] == kind]


async def _wanted(site: Site, caller: Any, **nodes: dict[str, Any]) -> str:
    """Return the table that stands with these rows altered, as JSON."""
    table = (await caller.ask("config")).result["table"]
    rows = {n: row | nodes.get(n, {}) for n, row in table["nodes"].items()}
    return json.dumps(table | {"nodes": rows})


async def test_operators_see_plan_and_write_through_any_agent(site: Site) -> None:
    await site.serve()
    caller = site.caller("n3")
    shown = (await caller.ask("config")).result
    rows = {n: row | {"priority": 5} for n, row in shown["table"]["nodes"].items()}
    wanted = json.dumps(shown["table"] | {"nodes": rows})
    planned = await caller.ask("config", table=wanted)
    assert planned.kind == "done"
    assert planned.result["steps"][0].startswith("node n1 altered (priority 0 becomes 5)")
    assert (await _in_force(site)).nodes["n1"].priority == 0, "a plan changes nothing"
    answers = await asyncio.gather(
        *(caller.ask("configure", table=wanted, revision=shown["revision"]) for _ in range(2))
    )
    assert sorted(a.kind for a in answers) == ["done", "refused"]
    assert (await _in_force(site)).nodes["n1"].priority == 5
    late = await caller.ask("configure", table=wanted, revision=shown["revision"])
    assert late.kind == "refused"
    assert "changed meanwhile" in late.reasons[0]
    shown = (
        await caller.ask("config", operation=next(a.result["change"] for a in answers if a.kind == "done"))
    ).result
    assert shown["asked"]["outcome"] in ("", "done")


WRONG = [
    ({"table": 7}, "table: want JSON"),
    ({}, "table: want JSON"),
    ({"table": "{"}, "configuration table"),
    ({"table": '{"nodes": {}}'}, "no node"),
    ({"table": '{"nodes": {"n9": {"links": ["127.0.0.1"]}}}'}, "eligible nodes that hold the data"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[row[1] for row in WRONG])
async def test_what_cannot_be_applied_is_refused(site: Site, arguments: dict[str, Any], words: str) -> None:
    master = await site.serve()
    kind, _, reasons = await master.control.changing.applier.serve("configure", arguments)
    assert kind == "refused"
    assert any(words in reason for reason in reasons), reasons
    assert await _in_force(site) == config.numbered(site.table)


async def test_without_its_ledger_nothing_is_changed_and_that_is_said(site: Site) -> None:
    master = await site.serve()
    shown = (await master.control.changing.applier.serve("config", {}))[1]
    rows = {n: row | {"priority": 5} for n, row in shown["table"]["nodes"].items()}
    await master.node.ledger._ledger.close()
    wanted = msgspec.json.encode(shown["table"] | {"nodes": rows}).decode()
    kind, _, reasons = await master.control.changing.applier.serve("configure", {"table": wanted})
    assert kind == "failed"
    assert "the ledger does not answer: nothing was changed" in reasons[0]


async def test_a_change_is_carried_out_to_its_end_and_told_step_by_step(site: Site) -> None:
    """A priority and a disqualification: the table, everybody takes it over, the function, in this order."""
    master = await site.serve()
    assert isinstance(master.control.changing.applier, Applier)
    wanted = await _wanted(site, caller := site.caller("n2"), n3={"eligible": False, "priority": 4})
    told = await caller.ask("configure", table=wanted, operation="c1", reason="a test")
    assert (told.kind, told.result["change"]) == ("done", "c1"), told
    await until(lambda: _changes(site).current is None, "it has ended")
    (ended,) = _changes(site).ended
    assert (ended.outcome, ended.reasons, ended.table) == ("done", (), "")
    assert [(s.kind, s.outcome) for s in ended.steps] == [
        ("table", "done"),
        ("follow", "done"),
        ("function", "done"),
    ]
    assert ended.by.startswith("admin") or "admin" in ended.by
    (operation,) = [o for o in master.node.records.operations.ended if o.function == "disqualify"]
    assert (operation.id, operation.outcome) == ("c1.3", "done")
    assert [e["steps"][-1] for e in _events(master, "ChangeBegan")] == ["disqualify n3"]
    assert [(e["step"], e["outcome"]) for e in _events(master, "ChangeStepEnded")] == [
        (1, "done"), (2, "done"), (3, "done"),
    ]  # fmt: skip
    assert [e["outcome"] for e in _events(master, "ChangeEnded")] == ["done"]
    again = await caller.ask("configure", table=wanted, operation="c1")
    assert (again.kind, len(_changes(site).ended)) == ("done", 1), "the same request is the same change"


async def test_a_change_that_a_dead_master_left_behind_is_finished(site: Site) -> None:
    """Only its intent stands in the ledger, as if whoever wrote it had died in the same moment."""
    table = msgspec.structs.replace(site.table, change="left")
    table = msgspec.structs.replace(
        table, nodes=table.nodes | {"n1": msgspec.structs.replace(table.nodes["n1"], priority=9)}
    )
    steps = (ChangeStep("table", "the table is written"), ChangeStep("follow", "every node takes it over"))
    _, (entry,) = await MemoryLedger(site.store).read("config")
    left = Change("left", "a test", "somebody", 1, 1, entry.revision, steps, config.encode(table).decode())
    await MemoryLedger(site.store).swap(CHANGE, change_record.encode(Changes(left)), 0)
    await site.serve()
    await until(lambda: _changes(site).current is None, "it has ended")
    assert [c.outcome for c in _changes(site).ended] == ["done"]
    assert (await _in_force(site)).nodes["n1"].priority == 9


async def test_another_change_meanwhile_is_refused_by_name_and_may_take_its_place(site: Site) -> None:
    """The first waits for a node that is to be qualified, and does not run."""
    master = await site.serve()
    steps = (
        ChangeStep("function", "qualify n9", "qualify", "n9"),
        ChangeStep("function", "remove n2", "remove", "n2"),
    )
    first = Change("first", "more nodes", "somebody", 1, 1, 1, steps)
    await MemoryLedger(site.store).swap(CHANGE, change_record.encode(Changes(first)), 0)
    applier = master.control.changing.applier
    await until(lambda: "n9 is no node" in applier.progress(), "it waits, and says why")
    wanted = await _wanted(site, caller := site.caller("n1"), n1={"priority": 3})
    refused = await caller.ask("configure", table=wanted, reason="a hurry")
    assert refused.kind == "refused"
    assert refused.reasons[0].startswith(
        "change first, asked for by somebody (more nodes) is in progress: step 1 of 2"
    )
    told = await caller.ask("configure", table=wanted, operation="second", replace=True)
    assert told.kind == "done", told
    await until(lambda: _changes(site).current is None, "the second has ended")
    assert [(c.id, c.outcome) for c in _changes(site).ended] == [("first", "replaced"), ("second", "done")]
    assert [s.outcome for s in _changes(site).ended[0].steps] == ["held", "held"]
    assert "n2" in (await _in_force(site)).nodes
    assert [e["replaces"] for e in _events(master, "ChangeBegan")] == ["first"]


async def test_a_node_is_asked_whether_it_could_move(site: Site) -> None:
    await site.serve()
    links = site.table.nodes["n2"].links
    wanted = await _wanted(site, caller := site.caller("n1"), n2={"links": [*links, "203.0.113.9"]})
    refused = await caller.ask("configure", table=wanted)
    assert refused.kind == "refused"
    assert refused.reasons[0].startswith("nodes.n2: 203.0.113.9 is no address of its machine")
    assert _changes(site) == Changes()
