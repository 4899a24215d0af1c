"""How far apart the nodes of a cluster reconnect to a new primary: measured by switchovers, from the nodes' events.

All nodes are on one machine, so their events have one wall clock.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from primacy.bench.cluster import Say, Setup, running, whole
from primacy.bench.figures import NS_PER_MS, spread
from primacy.errors import NoPrimary
from primacy.local.event_files import EventFiles
from primacy.local.layout import Layout
from primacy.machines.timeline import Event

LIMIT_S = 30.0
_AGAIN_S = 0.05


@dataclass(frozen=True)
class Reconnects:
    """The result: per run, first to last begin of a node's sequence, and from service to the last one's end."""

    nodes: int
    profile: str
    spreads_ms: list[float]
    after_ms: list[float]

    def plain(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "nodes": self.nodes,
            "profile": self.profile,
            "runs": len(self.spreads_ms),
            "spread_ms": spread(self.spreads_ms),
            "after_ms": spread(self.after_ms),
        }

    def sentence(self) -> str:
        """Return it as an operator reads it."""
        apart, after = spread(self.spreads_ms), spread(self.after_ms)
        return (
            f"{self.nodes} nodes ({self.profile}), {len(self.spreads_ms)} runs: first and last reconnect are apart by "
            f"{apart['median']:.1f} ms (median; max {apart['max']:.1f} ms); the last node is done "
            f"{after['median']:.1f} ms after the new primaries serve (max {after['max']:.1f} ms)"
        )


async def reconnect(runs: int, setup: Setup, say: Say) -> Reconnects:
    """Switch over `runs` times, and measure each time how far apart the nodes reconnect."""
    found = Reconnects(setup.nodes, setup.profile, [], [])
    async with running(setup, say) as (layout, cluster):
        term = cluster.topology.term
        await _all(layout, setup.nodes, term)  # every node is there, and attached
        for number in range(1, runs + 1):
            await whole(cluster)
            result = await cluster.control("switchover", to=None, dry_run=False, reason="measured")
            events = await _all(layout, setup.nodes, result["term"])
            apart_ms, after_ms = judged(events, result["term"])
            found.spreads_ms.append(apart_ms)
            found.after_ms.append(after_ms)
            say(f"reconnect: run {number} of {runs}: apart by {apart_ms:.1f} ms")
    return found


def judged(events: list[Event], term: int) -> tuple[float, float]:
    """Return how far apart the nodes' reconnect sequences began, and when the last ended after service, in ms."""
    began = _at_ns(events, "FunctionBegan", "reconnect", term)
    ended = _at_ns(events, "FunctionEnded", "reconnect", term)
    served = [
        e["wall_ns"] for e in events if e["event"]["event"] == "InService" and e["event"]["term"] == term
    ]
    return (max(began) - min(began)) / NS_PER_MS, (max(ended) - min(served)) / NS_PER_MS


async def _all(layout: Layout, nodes: int, term: int) -> list[Event]:
    """Wait until every node has ended its reconnect sequence of a term; return all events."""
    files = EventFiles(layout)
    events: list[Event] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(_at_ns(events := [*events, *files.read()], "FunctionEnded", "reconnect", term)) < nodes:
        if time.monotonic() >= deadline_s:
            raise NoPrimary(f"not all of {nodes} nodes reconnect in term {term} within {LIMIT_S:g} s")
        await asyncio.sleep(_AGAIN_S)
    return events


def _at_ns(events: list[Event], kind: str, function: str, term: int) -> list[int]:
    return [
        event["wall_ns"]
        for event in events
        if (event["event"]["event"], event["event"].get("function"), event["event"].get("term"))
        == (kind, function, term)
    ]
