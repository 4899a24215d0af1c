"""Faults at random moments, one after another, to a cluster that must stay in service and lose nothing.

Each kind of fault is a coroutine of `Faults` that does it to a node and brings the cluster back to what it was; in
between it waits for what the rest of the cluster has to make of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from primacy.client import Cluster
from primacy.errors import CallError, Deadline, Refused
from primacy.local import faults, nodes
from primacy.local.processes import agent_of, guardian_of, hosts_of
from primacy.local.successor import goes_on_without
from primacy.machines.control_wire import Topology
from tests.cluster.cluster_tools import LIMIT_S, Live, wait_for
from tests.cluster.workload import Workload

ROLES = ("master", "vice", "other")
KINDS = (
    "crash", "crash", "power", "power", "freeze", "freeze", "host", "host", "guardian", "restart",
    "switchover", "link", "isolate", "crash_two", "blackout",
)  # fmt: skip
ENDS_A_LIFE = {"crash", "power", "guardian", "restart", "isolate", "crash_two", "blackout"}


class Faults:
    """The faults of one run; `told` is the list of them, with times."""

    def __init__(self, live: Live, cluster: Cluster, work: Workload, source: random.Random) -> None:
        self._live, self._cluster, self._work, self._source = live, cluster, work, source
        self._began_s = time.monotonic()
        self._status: dict[str, Any] = {}
        self.told: list[str] = []

    async def run(self, count: int) -> None:
        """Do so many faults; after each the cluster is whole again within the limit."""
        self._status = await self._whole()
        kinds: list[str] = []
        for number in range(1, count + 1):
            if not kinds:  # every kind comes once before one comes again
                kinds = list(KINDS)
                self._source.shuffle(kinds)
            await asyncio.sleep(self._source.uniform(0.0, 0.6))
            await self.one(number, kinds.pop())

    async def one(self, number: int, kind: str) -> None:
        """Do a fault of a kind to a node of a random role, and see that the cluster recovers."""
        topology = self._cluster.topology
        role = self._source.choice(ROLES)
        others = [node.id for node in topology.nodes if node.id not in (topology.master, topology.vice)]
        node = {"master": topology.master, "vice": topology.vice}.get(role) or self._source.choice(others)
        at_s = time.monotonic() - self._began_s
        line = f"{number:3}  {at_s:7.2f} s  {kind} {node} ({role})"
        print(line, flush=True)
        self.told.append(line)
        self._work.turn()
        life = next(each["incarnation"] for each in self._status["nodes"] if each["id"] == node)
        done: str = await getattr(self, f"_{kind}")(node, topology) or ""
        status = self._status = await self._whole(life if kind in ENDS_A_LIFE else "")
        took_s = time.monotonic() - self._began_s - at_s
        after = f"      whole after {took_s:.2f} s: term {status['term']}, {status['master']}/{status['vice']} {done}"
        print(after, flush=True)
        self.told.append(after)

    async def _whole(self, without: str = "") -> dict[str, Any]:
        return await self._live.whole(self._cluster, members=len(self._live.layout.nodes()), without=without)

    # ---- the kinds ----

    async def _crash(self, node: str, before: Topology) -> None:
        """The agent is killed; its guardian starts another one."""
        directory = self._live.layout.node(node)
        killed = faults.crash(directory)
        await wait_for(lambda: (agent := agent_of(directory)) and agent != killed, f"another agent of {node}")

    async def _power(self, node: str, before: Topology) -> None:
        """All processes stop in silence, are killed when the rest goes on without them, and start again."""
        frozen = await asyncio.to_thread(faults.freeze, self._live.layout.node(node))
        await self._moved_on(node, before)
        await asyncio.to_thread(faults.end, frozen)
        await asyncio.sleep(self._source.uniform(0.0, 0.5))
        self._live.start_node(node)

    async def _freeze(self, node: str, before: Topology) -> None:
        """All processes stop for longer than the grace, and go on in a cluster that has moved on."""
        directory = self._live.layout.node(node)
        await asyncio.to_thread(faults.freeze, directory)
        await self._moved_on(node, before)
        await asyncio.sleep(self._source.uniform(0.0, 1.0))
        await asyncio.to_thread(faults.thaw, directory)

    async def _host(self, node: str, before: Topology) -> str:
        """The process of one service is killed."""
        directory = self._live.layout.node(node)
        service = self._source.choice(["logbook", "logbook", "naming"])
        # it may be started anew now
        await wait_for(lambda: service in hosts_of(directory), f"a host of {service}")
        killed = faults.crash_host(directory, service)
        await wait_for(
            lambda: (host := hosts_of(directory).get(service)) and host != killed,
            f"another host of {service}",
        )
        return f"(host of {service})"

    async def _guardian(self, node: str, before: Topology) -> None:
        """The guardian is killed, and with it, without any word, everything below it."""
        directory = self._live.layout.node(node)
        guardian = guardian_of(directory)
        assert guardian is not None
        faults.end([guardian])
        await wait_for(lambda: not self._live.processes(node), f"the end of all processes of {node}")
        await asyncio.sleep(self._source.uniform(0.0, 0.5))
        self._live.start_node(node)

    async def _restart(self, node: str, before: Topology) -> None:
        """The node is shut down in order and started again."""
        try:
            await self._cluster.control("shutdown", node=node, reason="a test", deadline_s=LIMIT_S)
        except CallError as error:
            self.told.append(f"      shutdown: {error!r}")
        await wait_for(lambda: node not in nodes.running(self._live.layout), f"the end of {node}")
        self._live.start_node(node)

    async def _switchover(self, node: str, before: Topology) -> str:
        """The master hands over to the vice."""
        try:
            result: dict[str, Any] = await self._cluster.control(
                "switchover", reason="a test", deadline_s=LIMIT_S
            )
        except Refused as refusal:  # a busy machine may have cost the vice its place a moment ago
            return f"(refused: {refusal})"
        return f"({result['duration_ms']:.1f} ms)"

    async def _link(self, node: str, before: Topology) -> str:
        """One link of the node carries nothing for a while."""
        link = self._source.randrange(2)
        await self._live.ask(self._cluster, node, "link", link=link, up=False)
        await asyncio.sleep(self._source.uniform(0.0, 1.0))
        await self._live.ask(self._cluster, node, "link", link=link, up=True)
        return f"(link {link + 1})"

    async def _isolate(self, node: str, before: Topology) -> None:
        """Both links of the node carry nothing: nobody reaches it, until it is started anew."""
        await self._live.ask(self._cluster, node, "link", link=0, up=False)
        with contextlib.suppress(Deadline):  # the answer went the way of the link
            await self._live.ask(self._cluster, node, "link", link=1, up=False, deadline_s=1.0)
        await self._moved_on(node, before)
        await asyncio.sleep(self._source.uniform(0.0, 0.5))
        await asyncio.to_thread(nodes.end, self._live.layout, [node])
        self._live.start_node(node)

    async def _crash_two(self, node: str, before: Topology) -> str:
        """The agents of two nodes are killed at one time; perhaps those of master and vice."""
        other = self._source.choice([each for each in self._live.layout.nodes() if each != node])
        killed = {each: faults.crash(self._live.layout.node(each)) for each in (node, other)}
        for each, agent in killed.items():
            directory = self._live.layout.node(each)
            await wait_for(
                lambda d=directory, a=agent: agent_of(d) not in (None, a), f"another agent of {each}"
            )
        return f"(and {other})"

    async def _blackout(self, node: str, before: Topology) -> None:
        """All nodes lose their power at one time, and start again one after the other."""
        every = self._live.layout.nodes()
        frozen = [await asyncio.to_thread(faults.freeze, self._live.layout.node(each)) for each in every]
        for processes in frozen:
            await asyncio.to_thread(faults.end, processes)
        self._source.shuffle(every)
        for each in every:
            self._live.start_node(each)
            await asyncio.sleep(self._source.uniform(0.0, 0.5))

    async def _moved_on(self, node: str, before: Topology) -> None:
        if node in (before.master, before.vice):
            await wait_for(
                lambda: goes_on_without(self._cluster.topology, node, before),
                f"the cluster goes on without {node}",
            )
        else:
            await asyncio.sleep(self._source.uniform(0.5, 1.0))
