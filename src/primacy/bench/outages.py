"""What a fault costs a client: failover, loss of the vice, switchover, measured run by run.

One client writes all the time. For each run the cluster is whole, the fault is done, and when the cluster
has gone on without the node for a while the longest time without an acknowledgement is the run's outage.
Then the node is brought back. At the end every acknowledged id must be there once.
"""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from primacy.bench.cluster import Say, Setup, restart, running, whole
from primacy.bench.figures import NS_PER_MS, Outages, outage_ns
from primacy.bench.writer import SERVICE, Writer, check
from primacy.client import Cluster
from primacy.errors import NoPrimary, Refused
from primacy.local import faults
from primacy.local.layout import Layout
from primacy.local.processes import Process, agent_of, hosts_of, processes_of
from primacy.local.successor import goes_on_without
from primacy.machines.control_wire import Topology

STEADY_S = 0.3
"""Writing goes on undisturbed so long before a fault."""
SETTLED_S = 0.5
"""The outage is looked for until so long after the cluster has gone on."""
RECOVER_LIMIT_S = 30.0

Fault = Callable[[Layout, Cluster], Awaitable[tuple[int, Callable[[], Awaitable[None]]]]]
"""Does a fault; returns its instant, and what brings the cluster back to what it was."""


async def failover(how: str, runs: int, setup: Setup, say: Say) -> Outages:
    """Kill the master `runs` times: its agent (crash), all of it in silence (power), or the primary's host
    (host).
    """
    return await _measure(f"failover {how}", runs, setup, say, FAULTS[how])


async def vice_loss(how: str, runs: int, setup: Setup, say: Say) -> Outages:
    """Kill the vice `runs` times: its agent (crash), or all of it in silence (power)."""
    return await _measure(f"vice-loss {how}", runs, setup, say, VICE_FAULTS[how])


async def switchover(runs: int, setup: Setup, say: Say) -> Outages:
    """Have mastership handed over `runs` times."""
    return await _measure("switchover", runs, setup, say, switch_over)


async def _measure(how: str, runs: int, setup: Setup, say: Say, fault: Fault) -> Outages:
    outages_ms: list[float] = []
    source = random.SystemRandom()
    async with running(setup, say) as (layout, cluster):
        gc.collect()
        gc.freeze()  # the collector's pauses would be ours, not the cluster's
        async with Writer(cluster, source) as writer:
            for number in range(1, runs + 1):
                outages_ms.append(await once(fault, layout, cluster, writer))
                say(f"{how}: run {number} of {runs}: {outages_ms[-1]:.1f} ms")
            await whole(cluster)
        lost, doubled = await check(cluster, writer.acknowledged)
        return Outages(
            how, setup.profile, setup.durability, outages_ms, len(writer.acknowledged), lost, doubled
        )


async def once(fault: Fault, layout: Layout, cluster: Cluster, writer: Writer) -> float:
    """Do a fault to a whole cluster that is written to, bring the node back, and return the outage in ms."""
    await whole(cluster)
    await _written_for(writer, STEADY_S)
    fault_ns, bring_back = await fault(layout, cluster)
    if not await writer.wait_after(time.monotonic_ns(), RECOVER_LIMIT_S):
        raise NoPrimary(f"no write is acknowledged {RECOVER_LIMIT_S:g} s after the fault")
    await asyncio.sleep(SETTLED_S)
    gap_ns = outage_ns(writer.acknowledged_ns, fault_ns, time.monotonic_ns())
    await bring_back()
    return gap_ns / NS_PER_MS


async def _written_for(writer: Writer, seconds: float) -> None:
    """Let the client write for a while; NoPrimary when nothing is acknowledged at the end of it."""
    await asyncio.sleep(seconds)
    if not await writer.wait_after(time.monotonic_ns(), RECOVER_LIMIT_S):
        raise NoPrimary("no write is acknowledged before the fault")


async def _crash_master(layout: Layout, cluster: Cluster) -> tuple[int, Callable[[], Awaitable[None]]]:
    return await _crash(layout, cluster, cluster.topology.master)


async def _crash_vice(layout: Layout, cluster: Cluster) -> tuple[int, Callable[[], Awaitable[None]]]:
    return await _crash(layout, cluster, cluster.topology.vice)


async def _crash(layout: Layout, cluster: Cluster, node: str) -> tuple[int, Callable[[], Awaitable[None]]]:
    before = cluster.topology
    agent = agent_of(layout.node(node))
    fault_ns = _kill(agent, f"the agent of {node}")
    await _gone_on(cluster, node, before, unless_back=True)

    async def bring_back() -> None:  # its guardian does
        return

    return fault_ns, bring_back


async def _crash_host(layout: Layout, cluster: Cluster) -> tuple[int, Callable[[], Awaitable[None]]]:
    before = cluster.topology
    host = hosts_of(layout.node(before.master)).get(SERVICE)
    fault_ns = _kill(host, f"the host of {SERVICE} on {before.master}")
    await _gone_on(cluster, before.master, before, unless_back=True)

    async def bring_back() -> None:  # its agent does
        return

    return fault_ns, bring_back


async def _power_master(layout: Layout, cluster: Cluster) -> tuple[int, Callable[[], Awaitable[None]]]:
    return await _power(layout, cluster, cluster.topology.master)


async def _power_vice(layout: Layout, cluster: Cluster) -> tuple[int, Callable[[], Awaitable[None]]]:
    return await _power(layout, cluster, cluster.topology.vice)


async def _power(layout: Layout, cluster: Cluster, node: str) -> tuple[int, Callable[[], Awaitable[None]]]:
    before = cluster.topology
    known = processes_of(layout.node(node))
    fault_ns = time.monotonic_ns()
    frozen = await asyncio.to_thread(faults.freeze, layout.node(node), known)
    try:
        await _gone_on(cluster, node, before)
    except BaseException:
        faults.end(frozen)
        raise

    async def bring_back() -> None:
        await asyncio.to_thread(faults.end, frozen)
        await restart(layout, node)

    return fault_ns, bring_back


async def switch_over(layout: Layout, cluster: Cluster) -> tuple[int, Callable[[], Awaitable[None]]]:
    """Hand mastership over: the fault that is none."""
    fault_ns = time.monotonic_ns()
    await cluster.control("switchover", to=None, dry_run=False, reason="measured")

    async def bring_back() -> None:  # both nodes live
        return

    return fault_ns, bring_back


def _kill(process: Process | None, what: str) -> int:
    fault_ns = time.monotonic_ns()
    if process is None or not process.send(signal.SIGKILL):
        raise Refused([f"{what} is not there"])
    return fault_ns


async def _gone_on(cluster: Cluster, node: str, before: Topology, *, unless_back: bool = False) -> None:
    """Wait until the cluster goes on without a node; with `unless_back` only a moment, as the node may be
    back by then.
    """
    changed = asyncio.Event()
    undo = cluster.on_change(lambda _: changed.set())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5 if unless_back else RECOVER_LIMIT_S):
                while not goes_on_without(cluster.topology, node, before):
                    changed.clear()
                    await changed.wait()
            return
        if not unless_back:
            raise NoPrimary(f"the cluster does not go on without {node} within {RECOVER_LIMIT_S:g} s")
    finally:
        undo()


FAULTS: dict[str, Fault] = {"crash": _crash_master, "power": _power_master, "host": _crash_host}
VICE_FAULTS: dict[str, Fault] = {"crash": _crash_vice, "power": _power_vice}
