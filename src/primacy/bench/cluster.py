"""A cluster for the time of a measurement, in a directory of its own that is removed afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from primacy.bench import place
from primacy.bench.writer import SERVICE
from primacy.client import Cluster, connect
from primacy.config import Service, Table
from primacy.config_recovery import Recovery
from primacy.errors import NoPrimary, PrimacyError
from primacy.local import bring_up, faults, nodes, ports, table
from primacy.local.create import create
from primacy.local.layout import Layout
from primacy.local.successor import healthy

SLOW_DISK = 1.5
"""So much longer than usual it may take to be in service: the data is on a disk, and the disk may be slow."""
HEALTHY_LIMIT_S = 30.0
TARGET = "primacy.bench.service:Register"
EMPTY = "primacy.bench.service:Empty"
EMPTY_LOCAL = "primacy.bench.service:EmptyLocal"
LOCAL = "local"

KILLED = Recovery(switchovers=1_000, pause_s=0.1, pause_s_max=0.1)
"""A host that is killed again and again is no service that fails: each death is a hand-over."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """What is measured: a cluster of so many nodes, with this timing and durability, below this directory."""

    nodes: int = 3
    profile: str = "lan"
    durability: str = "disk"
    parent: str | None = None
    empty: bool = False
    """With empty callbacks in every function, and a local service on every node."""
    eligible: int | None = None
    """So many of the nodes may be master; the others run local services only.  None: all."""

    def table(self, path: str) -> Table:
        """Return the configuration table; services have their files in `path`."""
        target = EMPTY if self.empty else TARGET
        services = {SERVICE: Service(python=target, path=path, durability=self.durability, recovery=KILLED)}
        if self.empty:
            services[LOCAL] = Service(python=EMPTY_LOCAL, path=path, local=True)
        made = table.generate(self.nodes, self.profile, services)
        rows = [
            (node, row if self.eligible is None or number < self.eligible else replace(row, eligible=False))
            for number, (node, row) in enumerate(made.nodes.items())
        ]
        return replace(made, nodes=dict(rows))


@contextlib.asynccontextmanager
async def running(setup: Setup, say: Say) -> AsyncIterator[tuple[Layout, Cluster]]:
    """Yield a healthy cluster and a client of it; afterwards stop it and remove its directory.

    A measurement that broke off leaves the directory behind: its logs and events tell why.
    """
    where = place.directory(setup.parent)
    layout, keep = Layout(where / "cluster"), False
    try:
        with ports.lock():
            in_force = setup.table(str(where))
            await create(layout, in_force)
            started = bring_up.start_all(layout, in_force)
            limit_s = SLOW_DISK * bring_up.limit_s(in_force)
            outcome = await bring_up.wait_in_service(layout, in_force, started, limit_s)
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
