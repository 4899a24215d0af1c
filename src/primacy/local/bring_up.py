"""A cluster brought into service, and stopped again: what `primacy up` and `primacy down` do.

The guardians are started at once and together; nothing is waited for before. Then the first agent that
listens is asked. A guardian that ends by itself (a wrong configuration, a port that is taken) ends the
waiting at once.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from primacy.client import Cluster, connect
from primacy.config import Table
from primacy.errors import CallError, ConfigError, Unavailable
from primacy.ledger import open_ledger
from primacy.local import nodes, ports, report
from primacy.local.layout import Layout
from primacy.local.nodes import Started
from primacy.local.successor import healthy

IN_SERVICE_LIMIT_S = 20.0
NODES_AT_ONCE = 8
NODE_LIMIT_S = 2.0
"""Each node beyond `NODES_AT_ONCE` has so much more time: they all start on one machine."""
VICE_LIMIT_S = 5.0
STOP_REQUEST_LIMIT_S = 10.0
_LOOK_AGAIN_S = 0.02


@dataclass
class Outcome:
    """What came of bringing a cluster up; times count from the start of the guardians."""

    in_service: bool = False
    vice_ready: bool = False
    in_service_ms: float = 0.0
    vice_ready_ms: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)
    """Guardians that ended by themselves, with their exit codes."""
    reasons: list[str] = field(default_factory=list)
    """Why it is not in service: what the cluster waits for, then what the nodes' logs say."""


async def table_in_force(layout: Layout) -> Table:
    """Return the configuration table that the ledger holds."""
    from primacy import config

    ledger = await open_ledger(layout.ledger_url, None)
    try:
        _, entries = await ledger.read("config")
    finally:
        await ledger.close()
    found = [entry.value for entry in entries if entry.key == "config"]
    if not found:
        raise ConfigError(
            str(layout.ledger), "a ledger without a configuration table", "want a cluster's ledger"
        )
    return config.decode(found[0], f"{layout.ledger}: config")


def limit_s(table: Table) -> float:
    """Return how long a cluster of so many nodes may take to be in service."""
    return IN_SERVICE_LIMIT_S + NODE_LIMIT_S * max(0, len(table.nodes) - NODES_AT_ONCE)


def start_all(layout: Layout, table: Table) -> list[Started]:
    """Start every node of the table that does not run."""
    there = set(nodes.running(layout))
    return [nodes.start(layout, node) for node in sorted(table.nodes) if node not in there]


async def wait_in_service(
    layout: Layout, table: Table, started: Sequence[Started], limit_s: float = IN_SERVICE_LIMIT_S
) -> Outcome:
    """Wait until the cluster is in service, with a ready vice where two nodes can be master; tell what came
    of it.
    """
    outcome = Outcome()
    reaching = asyncio.create_task(_reach(layout, table, outcome, limit_s))
    watching = asyncio.create_task(_watch_guardians(started))
    await asyncio.wait([reaching, watching], return_when=asyncio.FIRST_COMPLETED)
    for task in (reaching, watching):
        task.cancel()
    await asyncio.gather(reaching, watching, return_exceptions=True)
    if not reaching.cancelled():
        reaching.result()  # a ConfigError of the client's is the command's
    outcome.ended = report.ended(started)
    if not outcome.in_service or outcome.ended:
        outcome.reasons += report.explain(layout, started)
    return outcome


async def stop_all(
    layout: Layout, say: Callable[[str], None], reason: str, started: Sequence[Started] = ()
) -> list[str]:
    """Stop all nodes in order: by the cluster's own function where it can, else each guardian.

    `started` are guardians that this process may have started only just now. Returns the nodes that had to
    be killed.
    """
    await asyncio.to_thread(nodes.wait_known, layout, started)
    if not nodes.running(layout):
        return []
    limit_s = 0.0  # how long to wait for what was not asked of the guardians
    try:
        async with connect(directory=layout.root, deadline_s=2.0) as cluster:
            if cluster.topology.serving:  # else nobody can do it for all
                await cluster.control(
                    "shutdown", deadline_s=STOP_REQUEST_LIMIT_S, node=None, reason=reason, dry_run=False
                )
                limit_s = nodes.STOP_LIMIT_S
    except (CallError, ConfigError):
        pass  # the guardians are asked
    left = await asyncio.to_thread(nodes.wait_stopped, layout, nodes.running(layout), limit_s)
    return await asyncio.to_thread(nodes.stop, layout, left, say) if left else []


async def _reach(layout: Layout, table: Table, outcome: Outcome, limit_s: float) -> None:
    """Fill in the outcome when the cluster is in service or the time is over."""
    began_s = time.monotonic()
    agents = {node.port for node in table.nodes.values()}
    while not agents & ports.listening():
        if time.monotonic() - began_s >= limit_s:
            outcome.reasons.append("no agent listens")
            return
        await asyncio.sleep(_LOOK_AGAIN_S)
    left_s = max(0.1, limit_s - (time.monotonic() - began_s))
    try:
        async with connect(directory=layout.root, deadline_s=left_s) as cluster:
            await _wait_serving(cluster, limit_s - (time.monotonic() - began_s))
            outcome.in_service_ms = (time.monotonic() - began_s) * 1000
            outcome.in_service = cluster.topology.serving
            pair = sum(node.eligible for node in table.nodes.values()) > 1
            status = await healthy(cluster, VICE_LIMIT_S if outcome.in_service else 0.0, vice=pair)
            outcome.vice_ready = bool(status.get("vice_ready"))
            outcome.vice_ready_ms = (time.monotonic() - began_s) * 1000
            if not (outcome.in_service and (outcome.vice_ready or not pair)):
                outcome.reasons += [str(reason) for reason in status.get("waits") or []]
    except (CallError, Unavailable) as error:
        outcome.reasons.append(str(error))


async def _wait_serving(cluster: Cluster, limit_s: float) -> None:
    changed = asyncio.Event()
    undo = cluster.on_change(lambda _: changed.set())
    try:
        async with asyncio.timeout(limit_s):
            while not cluster.topology.serving:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        return
    finally:
        undo()


async def _watch_guardians(started: Sequence[Started]) -> None:
    """Wait until a guardian ends by itself."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptors = [os.pidfd_open(each.process.pid) for each in started]
    try:
        for descriptor in descriptors:
            loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        for descriptor in descriptors:
            loop.remove_reader(descriptor)
            os.close(descriptor)
