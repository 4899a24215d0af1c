"""What the rest of a cluster makes of a fault: waiting until it goes on without a node, or is whole again.

Asked of the agents by a client, never guessed from a clock. A node counts as *left behind* when the cluster
is in service and neither its master nor its vice is that node's life of before the fault.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from primacy.client import Cluster, connect
from primacy.errors import CallError, ConfigError
from primacy.local.layout import Layout
from primacy.machines.control_wire import Topology

STATUS_AGAIN_S = 0.1


async def left_behind(layout: Layout, node: str, before: Topology | None, limit_s: float) -> Topology | None:
    """Wait until the cluster is in service without `node`; None when it is not within the limit.

    `before`: the topology at the time of the fault; None when it was not known.
    """
    changed = asyncio.Event()
    try:
        async with asyncio.timeout(limit_s), connect(directory=layout.root, deadline_s=limit_s) as cluster:
            cluster.on_change(lambda _: changed.set())
            while not goes_on_without(cluster.topology, node, before):
                changed.clear()
                await changed.wait()
            return cluster.topology
    except (TimeoutError, CallError, ConfigError):
        return None  # nobody is left who could go on


def goes_on_without(now: Topology, node: str, before: Topology | None) -> bool:
    """Say whether a topology shows a cluster in service that no longer counts on `node`."""
    if not now.serving or node in (now.master, now.vice):
        return False
    return before is None or before.master != node or now.term > before.term


async def healthy(cluster: Cluster, limit_s: float, *, vice: bool = True) -> dict[str, Any]:
    """Wait until the cluster is in service, with a ready vice if `vice`; return the last status either way.

    The caller looks at `in_service` and `vice_ready` of what is returned.
    """
    deadline_s = time.monotonic() + limit_s
    status: dict[str, Any] = {}
    while True:
        try:
            status = await cluster.control("status")
        except CallError as error:
            status = status | {"in_service": False, "waits": [str(error)]}
        if status.get("in_service") and (status.get("vice_ready") or not vice):
            return status
        if time.monotonic() >= deadline_s:
            return status
        await asyncio.sleep(STATUS_AGAIN_S)
