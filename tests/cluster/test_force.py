"""Force, the last resort, on real processes: what it brings back, what it is refused for, what it may cost."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from typing import Any

from primacy.client import Cluster
from primacy.errors import CallError
from primacy.local import faults, nodes
from primacy.local.processes import guardian_of
from tests.cluster.cluster_tools import LIMIT_S, Live, logbook, run_cli, wait_for
from tests.cluster.conftest import MakeLive


async def force(live: Live, *words: str, code: int = 0) -> dict[str, Any]:
    """Ask for a failover by force as an operator does, and return what was told."""
    done = await asyncio.to_thread(
        run_cli, "failover", "--force", "--json", "--dir", str(live.layout.root), *words, USER="ada"
    )
    assert done.returncode == code, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def heard_out(live: Live, cluster: Cluster, node: str, dead: str) -> None:
    """Wait until a node that has just started has listened for long enough to be made master on the operator's word."""
    deadline_s = time.monotonic() + LIMIT_S
    why = "its agent has not answered"
    while why:
        assert time.monotonic() < deadline_s, f"{node} cannot be made master: {why}"
        try:
            await live.ask(cluster, node, "failover", to=node, assume_dead=dead, dry_run=True)
            why = ""
        except CallError as error:
            why = str(error)
            await asyncio.sleep(0.02)


async def lose(live: Live, *lost: str) -> None:
    """Kill the guardians of these nodes, and with them, without a word, everything below them."""
    guardians = [guardian_of(live.layout.node(node)) for node in lost]
    faults.end([guardian for guardian in guardians if guardian is not None])
    for node in lost:
        await wait_for(lambda node=node: not live.processes(node), f"the end of all processes of {node}")


async def leave_alone(live: Live, cluster: Cluster) -> tuple[str, str]:
    """Shut the vice of two nodes down and write what only the master has; return (master, the other)."""
    before = await live.whole(cluster)
    master, other = before["master"], before["vice"]
    await cluster.call("logbook", "append", log="k", name="of both")
    await cluster.control("shutdown", node=other, reason="a test")
    await wait_for(lambda: other not in nodes.running(live.layout), f"the end of {other}")
    await cluster.call("logbook", "append", log="k", name="of the master alone")
    return master, other


async def test_when_both_memories_are_lost_force_brings_the_cluster_back(make_live: MakeLive) -> None:
    live = make_live(services=logbook(durability="memory"))
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        refused = await force(live, code=3)
        assert refused["reasons"] == [f"{before['master']} is master already"]
        refused = await force(live, "--assume-dead", "master", "--to", "vice", code=3)
        assert any("heard the master" in reason or "lives" in reason for reason in refused["reasons"])
        assert any("the ready vice" in reason for reason in refused["reasons"])
        await lose(live, before["master"], before["vice"])
        for node in (before["master"], before["vice"]):
            live.start_node(node)
        waits = lambda status: any("in memory only" in line for line in status["waits"])  # noqa: E731
        await live.status(cluster, waits, "the cluster waits for the operator")
        possible = await force(live, "--dry-run")
        assert possible["possible"]
        forced = await force(live, "--reason", "both memories are lost")
        assert forced["serves"]
        assert forced["term"] == before["term"] + 1
        await live.whole(cluster, members=3)
        assert await cluster.call("logbook", "append", log="k", name="afterwards", deadline_s=20)
        [event] = await wait_for(lambda: live.of_kind("MasterForced"), "the event of the force")
        assert (event["by"], event["reason"]) == ("ada (credential admin)", "both memories are lost")
        assert event["proof"] == "present life"
        assert "in memory only" in event["may_lose"]


async def test_an_old_master_that_was_declared_dead_steps_down_when_it_thaws(make_live: MakeLive) -> None:
    live = make_live(count=2)
    await live.start()
    async with live.client() as cluster:
        master, other = await leave_alone(live, cluster)
        frozen = live.layout.node(master)
        await asyncio.to_thread(faults.freeze, frozen)
        live.start_node(other)
        await wait_for(lambda: live.of_kind("FormationWaits", node=other), f"{other} waits for {master}")
        refused = await force(live, code=3)
        assert [r for r in refused["reasons"] if f"--assume-dead {master}" in r]
        await heard_out(live, cluster, other, master)
        forced = await force(live, "--assume-dead", master, "--reason", "no power")
        assert (forced["to"], forced["former"], forced["serves"]) == (other, master, True)
        assert f"if {master} still runs" in forced["may_lose"]
        await asyncio.to_thread(faults.thaw, frozen)
        after = await live.whole(cluster)
        assert (after["master"], after["vice"]) == (other, master)
        await wait_for(lambda: live.of_kind("MasterDeposed", node=master), f"{master} steps down")
        names = await cluster.query("logbook", "names", log="k")
        assert "of both" in names
        assert "of the master alone" not in names


async def test_when_the_disk_of_the_recorded_master_is_gone_the_other_goes_on(make_live: MakeLive) -> None:
    live = make_live(count=2)
    await live.start()
    async with live.client() as cluster:
        master, other = await leave_alone(live, cluster)
        await lose(live, master)
        shutil.rmtree(live.layout.node(master))
        live.start_node(other)
        await heard_out(live, cluster, other, master)
        forced = await force(live, "--assume-dead", master)
        assert forced["serves"]
        assert "of both" in await cluster.query("logbook", "names", log="k")
