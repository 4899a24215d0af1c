"""A cluster for the time of a measurement, in a directory of its own that is removed afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from primacy.bench import place
from primacy.bench.writer import SERVICE
from primacy.client import Cluster, connect
from primacy.config import Service
from primacy.errors import NoPrimary, PrimacyError
from primacy.local import bring_up, faults, nodes, ports, table
from primacy.local.create import create
from primacy.local.layout import Layout
from primacy.local.successor import healthy

IN_SERVICE_LIMIT_S = 30.0
HEALTHY_LIMIT_S = 30.0
TARGET = "primacy.bench.service:Register"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """What is measured: a cluster of so many nodes, with this timing and durability, below this directory."""

    nodes: int = 3
    profile: str = "lan"
    durability: str = "disk"
    parent: str | None = None


@contextlib.asynccontextmanager
async def running(setup: Setup, say: Say) -> AsyncIterator[tuple[Layout, Cluster]]:
    """Yield a healthy cluster and a client of it; afterwards stop it and remove its directory.

    A measurement that broke off leaves the directory behind: its logs and events tell why.
    """
    where = place.directory(setup.parent)
    layout, keep = Layout(where / "cluster"), False
    row = Service(python=TARGET, path=str(where), durability=setup.durability)
    try:
        with ports.lock():
            in_force = table.generate(setup.nodes, setup.profile, {SERVICE: row})
            await create(layout, in_force)
            started = bring_up.start_all(layout, in_force)
            outcome = await bring_up.wait_in_service(layout, in_force, started, IN_SERVICE_LIMIT_S)
        if not outcome.in_service:
            raise NoPrimary("\n".join(["the cluster did not come into service", *outcome.reasons]))
        took_ms = outcome.in_service_ms
        say(f"cluster of {setup.nodes} nodes ({setup.profile}) in service after {took_ms:.0f} ms")
        async with connect(directory=layout.root) as cluster:
            await whole(cluster)
            yield layout, cluster
    except PrimacyError:
        keep = True
        say(f"broken off; what the nodes said is kept in {where}")
        raise
    finally:
        await bring_up.stop_all(layout, say, "the measurement is over")
        await asyncio.to_thread(nodes.end, layout, nodes.running(layout))
        if not keep:
            shutil.rmtree(where, ignore_errors=True)


async def whole(cluster: Cluster) -> None:
    """Wait until the cluster is in service with a ready vice; NoPrimary says what it waits for."""
    status = await healthy(cluster, HEALTHY_LIMIT_S)
    if not (status.get("in_service") and status.get("vice_ready")):
        waits = "; ".join(str(reason) for reason in status.get("waits") or []) or "no ready vice"
        raise NoPrimary(f"the cluster is not whole after {HEALTHY_LIMIT_S:g} s: {waits}")


async def restart(layout: Layout, node: str) -> None:
    """Start a node whose processes are all dead."""
    directory: Path = layout.node(node)
    if faults.is_frozen(directory):
        await asyncio.to_thread(nodes.end, layout, [node])
    if node not in nodes.running(layout):
        nodes.start(layout, node)
