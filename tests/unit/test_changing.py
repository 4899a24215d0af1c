"""A changed table at running agents: taken over, reported, and driven by the master."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy import config
from primacy.agent.changing import Changing
from primacy.config import Node, Service, Table
from primacy.errors import Conflict
from primacy.ledger.memory import MemoryLedger
from primacy.machines import host_wire
from primacy.machines.timing import PROFILES
from tests.unit.agent_tools import Running, Site, free_addresses
from tests.unit.cgtp_tools import until

STOCK = {"stock": {"python": "a:Stock"}}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Three nodes with their table in the ledger; nothing has begun."""
    made = Site(tmp_path, nodes=3, services=STOCK)
    await MemoryLedger(made.store).swap("config", config.encode(made.table), 0)
    yield made
    await made.close()


async def _write(site: Site, alter: Callable[[Table], Table]) -> None:
    ledger = MemoryLedger(site.store)
    while True:
        _, (entry,) = await ledger.read("config")
        try:
            await ledger.swap("config", config.encode(alter(config.decode(entry.value))), entry.revision)
        except Conflict:
            continue
        return


async def _in_force(site: Site) -> Table:
    _, (entry,) = await MemoryLedger(site.store).read("config")
    return config.decode(entry.value)


def _with(**changed: Any) -> Callable[[Table], Table]:
    return lambda table: msgspec.structs.replace(table, **changed)


def _events(running: Running, kind: str) -> list[dict[str, Any]]:
    found = [e["event"] for e in running.node.events.since(0, 5_000)]
    return [e for e in found if e["event"] == kind]


async def test_a_running_agent_takes_over_nodes_times_and_options(site: Site) -> None:
    master = await site.serve()
    assert isinstance(master.control.changing, Changing)
    n4 = Node(links=free_addresses(1), priority=3, eligible=False)
    cluster = msgspec.structs.replace(
        site.table.cluster, cold_start="availability", auto_promote=False, profile="wan"
    )
    await _write(site, lambda t: msgspec.structs.replace(t, nodes=t.nodes | {"n4": n4}, cluster=cluster))
    for running in site.running.values():
        node = running.node
        await until(lambda n=node: "n4" in n.table.nodes, "the new node is known")
        assert node.monitor.peers.get("n4") is not None
        assert node.monitor.timing == PROFILES["wan"]
        assert node.monitor.availability
        assert not node.coordinator.functions.auto_promote
        assert (await running.control.changing.answer("table", {}))[1]["behind"] == ()
        assert _events(running, "TableTaken")[-1]["behind"] == []


async def test_times_are_settled_by_the_master_when_everybody_has_those_between(site: Site) -> None:
    await site.serve()
    cluster = msgspec.structs.replace(site.table.cluster, profile="carrier")
    await _write(site, _with(cluster=cluster, replaces=PROFILES["lan"]))
    await until(
        lambda: all(r.node.monitor.timing == PROFILES["carrier"] for r in site.running.values()),
        "everybody has the new times",
    )
    assert (await _in_force(site)).replaces is None
    assert [r.node.monitor.term for r in site.running.values()] == [1, 1, 1]


async def test_a_service_that_is_gone_ends_and_one_that_is_new_is_reported(site: Site) -> None:
    master = await site.serve()
    hosts = master.guardian.hosts
    await _write(site, _with(services={"more": Service(python="a:More", offset=4)}))
    await until(lambda: "stock" not in hosts, "its host has ended")
    report = (await master.control.changing.answer("table", {}))[1]
    assert report["behind"] == ("service more added",)
    assert _events(master, "TableTaken")[-1]["behind"] == ["service more added"]


async def test_the_master_has_others_restart_first_and_they_leave_in_order(site: Site) -> None:
    master = await site.serve()
    others = [r for r in site.running.values() if r is not master]
    await _write(site, lambda t: msgspec.structs.replace(
        t, services=t.services | {"more": Service(python="a:More")}))  # fmt: skip
    await until(lambda: any(r.node.ended.is_set() for r in others), "one of the others ends")
    (ended,) = [r for r in others if r.node.ended.is_set()]
    assert ended.node.renewing
    assert ended.node.me.node != master.node.facts().vice
    assert not master.node.renewing
    assert [e["node"] for e in _events(master, "RestartAsked")] == [ended.node.me.node]
    assert ended.guardian.hosts == {}, "its hosts have stopped"
    assert "restarts" in (await master.control.changing.applier.serve("config", {}))[1]["change"]


async def test_a_node_restarts_for_a_reason_only_and_in_the_life_that_was_meant(site: Site) -> None:
    master = await site.serve()
    for arguments in ({}, {"incarnation": master.node.me.incarnation}):
        kind, _, reasons = await master.control.changing.answer("renew", arguments)
        assert (kind, reasons) == ("refused", [f"{master.node.me.node} need not restart"])


async def test_hosts_that_start_again_meanwhile_have_the_services_of_this_life(site: Site) -> None:
    master = await site.serve()
    row = Service(python="b:Stock", offset=3)
    await _write(site, _with(services={"stock": row}))
    await until(lambda: _events(master, "TableTaken"), "the table is known")
    if not master.node.renewing:
        assert master.node.table.services["stock"].python == "a:Stock"
    assert master.guardian.hosts["stock"].heard(host_wire.Open)[0].target == "a:Stock"
