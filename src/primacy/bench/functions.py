"""How long each function of the cluster takes when its callbacks do nothing: from the request to its answer.

Each run takes the cluster through every function that an operator can ask for and that leaves the cluster as it was:
a switchover, then a node without a role down the ladder and up again. What the coordinators run by themselves
(initialize, failover, reconnect) is read from their events.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from primacy.bench.cluster import Say, Setup, running, whole
from primacy.bench.figures import NS_PER_MS, spread
from primacy.client import Cluster
from primacy.errors import NoPrimary
from primacy.local.event_files import EventFiles
from primacy.machines.timeline import Event

LADDER = ("demote", "disqualify", "qualify", "promote")
"""Asked for in this order, of a node that is available: it ends where it began."""
BY_THEMSELVES = ("initialize", "reconnect")
"""Told by the events of every node that ran them."""


@dataclass(frozen=True)
class Durations:
    """The result: how long each function took, in ms; those of `BY_THEMSELVES` as each node's coordinator counted."""

    nodes: int
    profile: str
    taken_ms: dict[str, list[float]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "nodes": self.nodes,
            "profile": self.profile,
            "duration_ms": {name: {"runs": len(ms), **spread(ms)} for name, ms in self.taken_ms.items()},
        }

    def lines(self) -> list[str]:
        """Return it as an operator reads it."""
        told = [f"{self.nodes} nodes ({self.profile}), empty callbacks on two levels:"]
        for name, taken_ms in self.taken_ms.items():
            found = spread(taken_ms)
            told.append(
                f"  {name:<11} median {found['median']:.1f} ms, p99 {found['p99']:.1f} ms, max {found['max']:.1f} ms "
                f"({len(taken_ms)} times)"
            )
        return told


async def functions(runs: int, setup: Setup, say: Say) -> Durations:
    """Ask for each function `runs` times, and measure how long it takes."""
    found = Durations(setup.nodes, setup.profile)
    async with running(setup, say) as (layout, cluster):
        for number in range(1, runs + 1):
            async for name, took_ms in _once(cluster):
                found.taken_ms.setdefault(name, []).append(took_ms)
            say(f"functions: run {number} of {runs}")
        events = EventFiles(layout).read()
    for name in BY_THEMSELVES:
        found.taken_ms[name] = by_coordinators(events, name)
    return found


def by_coordinators(events: list[Event], function: str) -> list[float]:
    """Return how long each run of a function took on its node, ms, as the events tell."""
    inner = [event["event"] for event in events]
    return [
        float(event["duration_ms"])
        for event in inner
        if (event["event"], event.get("function")) == ("FunctionEnded", function)
    ]


async def _once(cluster: Cluster) -> AsyncIterator[tuple[str, float]]:
    """Take the cluster through every function once; yield each with how long it took, in ms."""
    await whole(cluster)
    yield "switchover", await _taken_ms(cluster, "switchover", to=None)
    await whole(cluster)
    node = await _without_role(cluster)
    for verb in LADDER:
        yield verb, await _taken_ms(cluster, verb, node=node)


async def _taken_ms(cluster: Cluster, verb: str, **arguments: Any) -> float:
    began_ns = time.monotonic_ns()
    await cluster.control(verb, dry_run=False, reason="measured", **arguments)
    return (time.monotonic_ns() - began_ns) / NS_PER_MS


async def _without_role(cluster: Cluster) -> str:
    status = await cluster.control("status")
    found = [node["id"] for node in status["nodes"] if node["role"] == "available"]
    if not found:
        raise NoPrimary("no node is available beside master and vice: want at least 3 nodes")
    return str(found[0])
