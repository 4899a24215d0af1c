"""The master is killed in the middle of a switchover, at each level: the cluster ends in one consistent state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from primacy.client import Cluster
from primacy.errors import CallError
from primacy.local import faults
from tests.cluster.cluster_tools import Live, set_flag, stepped, wait_for
from tests.cluster.conftest import MakeLive

LEVELS = (1, 2, 3)
PLACES = [
    *(("primary", level, "the master that gives up") for level in reversed(LEVELS)),
    *(("secondary", level, "the master that takes over") for level in LEVELS),
    *(("secondary", level, "the master that gave up") for level in LEVELS),
]
"""(what the callback's server was, its level, who is killed): in the order of a switchover."""


async def interrupt(live: Live, cluster: Cluster, old: str, level: int, whom: str) -> None:
    """Begin a switchover, kill that master while the callback of that level runs, wait for what comes of it."""
    before = await live.whole(cluster, members=3)
    marked = await cluster.service("stepped").mark(name=f"{level} {whom}")
    told = len(live.callbacks())
    set_flag(live, "slow", True)
    asked = asyncio.ensure_future(ask(cluster))
    held = asyncio.ensure_future(mark_when_held(live, cluster, told, f"held {level} {whom}"))

    def running() -> list[dict[str, Any]]:
        rows = live.callbacks()[told:]
        return [r for r in rows if (r["function"], r["old"], r["level"]) == ("switchover", old, level)]

    [row] = await wait_for(running, f"level {level} of the switchover begins, {old}")
    victim = before["master"] if whom != "the master that takes over" else before["vice"]
    assert row["on"] == (before["master"] if old == "primary" else before["vice"])
    faults.crash(live.layout.node(victim))
    set_flag(live, "slow", False)
    outcome = await asked
    after = await live.whole(cluster, members=3)
    print(
        f"level {level} ({old}), {whom} killed: {outcome}; term {after['term']}, {after['master']}/{after['vice']}"
    )
    assert await held == marked + 1
    assert after["term"] > before["term"]
    await live.status(
        cluster,
        lambda s: all(node["function"] is None for node in s["nodes"]),
        "no function is in progress anywhere",
    )
    marks = await cluster.service("stepped").query.marks()
    assert marks[-2:] == [f"{level} {whom}", f"held {level} {whom}"]
    assert len(marks) == marked + 1


async def ask(cluster: Cluster) -> str:
    """Ask for a switchover; return what came of it."""
    try:
        result = await cluster.control("switchover", reason="a test", deadline_s=30)
    except CallError as error:
        return f"{type(error).__name__}: {error}"
    return f"done: term {result['term']}"


async def mark_when_held(live: Live, cluster: Cluster, told: int, name: str) -> int:
    """Call while the switchover holds all calls; return the answer."""
    await wait_for(lambda: live.callbacks()[told:], "the switchover begins")
    found: int = await cluster.service("stepped").mark(name=name, deadline_s=30)
    return found


@pytest.mark.timeout(240)
async def test_the_master_dies_at_each_level_of_a_switchover(make_live: MakeLive) -> None:
    live = make_live(profile="carrier", services=stepped())
    await live.start()
    async with live.client() as cluster:
        for old, level, whom in PLACES:
            await interrupt(live, cluster, old, level, whom)
    elected = [event["term"] for event in live.of_kind("MasterElected")]
    assert len(set(elected)) == len(elected), "a term has two masters"
