"""The failback of a real agent: a switchover that nobody asked for, where the table wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from primacy.agent.failback import Returning
from tests.unit.agent_tools import Running, Site
from tests.unit.cgtp_tools import until


def prefer(running: Running, node: str) -> None:
    """Let this node's table say that the cluster goes back to `node`."""
    of = running.node
    row = msgspec.structs.replace(of.table.nodes[node], priority=5)
    cluster = msgspec.structs.replace(of.table.cluster, failback="when-in-step")
    of.table = msgspec.structs.replace(of.table, cluster=cluster, nodes={**of.table.nodes, node: row})
    of.records.entries = of.table.entries()


async def test_a_master_goes_back_to_the_preferred_node_in_step(tmp_path: Path) -> None:
    site = Site(tmp_path, nodes=2)
    master = await site.serve()
    vice = next(name for name in site.running if name != master.node.me.node)
    prefer(master, vice)
    await until(lambda: site.running[vice].serves, f"{vice} is master")
    record = site.running[vice].node.monitor.record
    assert record is not None
    assert record.cause == f"failback: {vice} has the highest priority (5) and is in step"
    await site.close()


async def test_it_looks_no_more_once_it_is_closed(tmp_path: Path) -> None:
    site = Site(tmp_path, nodes=2)
    master = await site.serve()
    asked: list[dict[str, Any]] = []

    async def switch_over(arguments: dict[str, Any]) -> tuple[str, Any, list[str]]:
        asked.append(arguments)
        return "done", {}, []

    other = Returning(master.node, switch_over)
    other.close()
    vice = next(name for name in site.running if name != master.node.me.node)
    prefer(master, vice)
    await until(lambda: site.running[vice].serves, f"{vice} is master by the agent's own failback")
    assert asked == []
    await site.close()
