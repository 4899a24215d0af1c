"""Asks for the switchover back to the preferred node, where the table says `failback = "when-in-step"`.

It looks once a second at what this node knows; the rule is machines/failback.py, the switchover an ordinary one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from primacy.agent.node import Node
from primacy.agent.status import in_service
from primacy.agent.tasks import Tasks
from primacy.lease_page import now_ns
from primacy.machines.failback import WHEN_IN_STEP, Failback, gave_up

LOOK_S = 1.0

Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)


class Returning:
    """Looks until `close`. switch_over(arguments): carries out a switchover of the cluster."""

    def __init__(self, node: Node, switch_over: Callable[[dict[str, Any]], Awaitable[Outcome]]) -> None:
        self._node, self._switch_over = node, switch_over
        self._rule = Failback()
        self._tasks = Tasks(f"the failback of {node.me.node}")
        self._tasks.start(self._look())

    def close(self) -> None:
        """Look no more."""
        self._tasks.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            node = self._node
            if node.table.cluster.failback != WHEN_IN_STEP or not in_service(node):
                continue
            keeper = node.maintenance
            place = node.coordinator.place
            to = self._rule.due(
                node.facts(),
                now_ns(),
                maintained=keeper.maintained,
                held=keeper.is_on("cluster"),
                gave_up=gave_up(place.record if place is not None else None, node.monitor.record),
            )
            if to:
                priority = node.table.nodes[to].priority
                reason = f"failback: {to} has the highest priority ({priority}) and is in step"
                kind, _, reasons = await self._switch_over({"to": to, "reason": reason, "dry_run": False})
                if kind != "done":
                    sys.stderr.write(f"agent: the failback to {to} is {kind}: {'; '.join(reasons)}\n")
