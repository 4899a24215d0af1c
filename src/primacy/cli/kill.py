"""What `primacy kill` does: find the node, do the fault, wait for what the rest of the cluster makes of
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from primacy.cli.common import connected, node_named
from primacy.client import Cluster
from primacy.errors import NoPrimary
from primacy.local import faults, late_kill
from primacy.local.layout import Layout, known_node
from primacy.local.processes import Process
from primacy.local.successor import goes_on_without
from primacy.machines.control_wire import Topology

ASK_LIMIT_S = 2.0


@dataclass
class Report:
    """What was done to a node, and what came of it."""

    node: str
    how: str
    service: str | None
    pids: list[int]
    role: str
    after: Topology | None = None
    after_ms: float = 0.0
    late: bool = False
    """Another master was waited for, and none serves in time."""

    def plain(self) -> dict[str, Any]:
        """Return it as what `--json` prints."""
        found: dict[str, Any] = {
            "node": self.node,
            "how": self.how,
            "service": self.service,
            "role": self.role,
        }
        found |= {"pids": self.pids, "late": self.late, "master": None, "term": None, "after_ms": None}
        if self.after is not None:
            found |= {
                "master": self.after.master,
                "term": self.after.term,
                "after_ms": round(self.after_ms, 1),
            }
        return found

    def sentences(self) -> list[str]:
        """Return it as an operator reads it."""
        count = f"{len(self.pids)} processes"
        killed = f"the host of {self.service}" if self.service else "the agent"
        said = {
            "crash": f"killed {killed} (pid {self.pids[0]})",
            "power": f"the power is off ({count} stopped; killed when the cluster goes on without it)",
            "freeze": f"frozen ({count}); `primacy kill {self.node} --how thaw` continues them",
            "thaw": f"thawed ({count})",
        }
        lines = [f"{self.node}: {said[self.how]}"]
        if self.after is not None:
            lines.append(
                f"{self.after.master} serves term {self.after.term}, {self.after_ms:.0f} ms after that"
            )
        if self.late:
            lines.append("no other master serves in time; `primacy status` tells what the cluster waits for")
        return lines


async def try_fault(layout: Layout, word: str, how: str, service: str | None, limit_s: float) -> Report:
    """Do a fault to the node that `word` means; if it was the master, wait for another up to `limit_s` (0:
    do not).
    """
    async with _observed(layout, needed=word in ("master", "vice")) as cluster:
        before = cluster.topology if cluster else None
        node = node_named(word, before.master, before.vice) if before else word
        known_node(layout, node)
        role = "" if before is None else {before.master: "master", before.vice: "vice"}.get(node, "")
        changed = asyncio.Event()
        if cluster:
            cluster.on_change(lambda _: changed.set())
        began_s = time.monotonic()
        processes = await asyncio.to_thread(_act, layout, node, how, service)
        if how == "power":
            late_kill.begin(layout, node, before, processes)
        report = Report(node, how, service, [each.pid for each in processes], role)
        if role != "master" or how == "thaw" or service is not None or limit_s == 0 or cluster is None:
            return report
        try:
            async with asyncio.timeout(limit_s):
                while not goes_on_without(cluster.topology, node, before):
                    if how == "crash" and _serves_again(cluster.topology, before):
                        break  # its agent was started again, and it is master of a new term
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            report.late = True
        else:
            report.after, report.after_ms = cluster.topology, (time.monotonic() - began_s) * 1000
        return report


def _act(layout: Layout, node: str, how: str, service: str | None) -> Sequence[Process]:
    directory = layout.node(node)
    if how == "crash":
        return [faults.crash_host(directory, service) if service else faults.crash(directory)]
    if how == "thaw":
        return faults.thaw(directory)
    return faults.freeze(directory)


def _serves_again(now: Topology, before: Topology | None) -> bool:
    return now.serving and before is not None and now.term > before.term


@contextlib.asynccontextmanager
async def _observed(layout: Layout, needed: bool) -> AsyncIterator[Cluster | None]:
    """Yield the cluster, or None when no agent answers and none is `needed` to know the node."""
    async with contextlib.AsyncExitStack() as stack:
        cluster = None
        try:
            cluster = await stack.enter_async_context(connected(layout.root, ASK_LIMIT_S))
        except NoPrimary:
            if needed:
                raise
        yield cluster
