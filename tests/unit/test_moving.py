"""Nodes that move: real agents go by where a node is, dial where it may be, and find it at its new place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from primacy import config
from primacy.agent import moving
from primacy.config import Table
from primacy.ledger.memory import MemoryLedger
from tests.unit.agent_tools import Running, Site, free_addresses
from tests.unit.cgtp_tools import until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Three nodes with one link each, and their table in the ledger; nothing has begun."""
    made = Site(tmp_path, nodes=3)
    await MemoryLedger(made.store).swap("config", config.encode(made.table), 0)
    yield made
    await made.close()


async def _write(site: Site, table: Table) -> None:
    ledger = MemoryLedger(site.store)
    _, (entry,) = await ledger.read("config")
    await ledger.swap("config", config.encode(table), entry.revision)


def _more_links(site: Site) -> Table:
    """Every node gets a second link."""
    rows = {
        n: msgspec.structs.replace(row, links=[*row.links, *free_addresses(1)])
        for n, row in site.table.nodes.items()
    }
    return msgspec.structs.replace(site.table, nodes=rows)


async def _again(site: Site, node: str) -> Running:
    """A new life of a node, with the table that stands."""
    await site.running.pop(node).close()
    return await site.add(node).start()


async def test_until_it_restarts_a_node_is_where_its_life_is(site: Site) -> None:
    master = await site.serve()
    wanted = _more_links(site)
    await _write(site, wanted)
    for running in site.running.values():
        node = running.node
        await until(lambda n=node: n.records.table.nodes == wanted.nodes, "the table is known")
        assert node.table.nodes == site.table.nodes, "nobody has moved"
        assert moving.hello_addresses(node, ("n1", "n2", "n3"))[0]
        report = (await running.control.changing.answer("table", {}))[1]
        assert report["behind"] == (f"links of {node.me.node} altered",)
    assert {n.id for n in master.control.topology().nodes} == {"n1", "n2", "n3"}


async def test_the_others_find_a_node_at_its_new_place(site: Site) -> None:
    master = await site.serve()
    moved = next(n for n in site.running if n not in (master.node.me.node, master.node.facts().vice))
    others = [r.node for n, r in site.running.items() if n != moved]
    wanted = _more_links(site)
    await _write(site, wanted)
    await until(lambda: all(o.records.table.nodes == wanted.nodes for o in others), "the table is known")
    site.table = wanted
    again = await _again(site, moved)
    for other in others:
        await until(lambda o=other: o.table.nodes[moved] == wanted.nodes[moved], "its new place is known")
        assert other.coordinator.addresses[moved]["naming"] == wanted.service_addresses(moved, "naming")
        theirs = other.peers.told(moved)
        assert moving.counterparts(other, moved, theirs) == [theirs[0]], "over the one link that both have"
        assert moving.counterparts(again.node, other.me.node, again.node.peers.told(other.me.node)) == [
            other.own_addresses[0], None,
        ]  # fmt: skip
    await until(lambda: moved in master.node.members, "it is a member")
    assert moving.links_up(master.node, moved) == {0}, "its second one leads nowhere yet"
    (entry,) = [n for n in master.control.topology().nodes if n.id == moved]
    assert entry.agent == wanted.agent_addresses(moved)
