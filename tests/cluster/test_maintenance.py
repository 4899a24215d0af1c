"""Maintenance and failback on real processes: what does not happen meanwhile, what it survives, how it ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from primacy.client import Cluster
from primacy.config import Table
from primacy.ledger import open_ledger
from primacy.local import faults, nodes
from primacy.local.processes import guardian_of
from tests.cluster.cluster_tools import Live, run_cli, wait_for
from tests.cluster.conftest import MakeLive


async def cli(live: Live, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the cluster as an operator does."""
    return await asyncio.to_thread(run_cli, *words, "--dir", str(live.layout.root), USER="ada")


async def maintenance(live: Live, *words: str) -> list[dict[str, Any]]:
    """Run `primacy maintenance`; return what is on afterwards."""
    done = await cli(live, "maintenance", *words, "--json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["maintenance"]
    return rows


async def crash(live: Live, node: str) -> None:
    """Kill the node's agent: its guardian says that it is dead, and starts another."""
    await asyncio.to_thread(faults.crash, live.layout.node(node))


async def test_in_maintenance_nobody_claims_and_it_expires_by_itself(make_live: MakeLive) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        before = await _replace_vice(live, cluster)
        [row] = await maintenance(live, "on", "--for", "1h30m", "--reason", "new switches")
        assert (row["scope"], row["reason"], row["by"]) == (
            "cluster",
            "new switches",
            "ada (credential admin)",
        )
        assert 5_000 < row["left_s"] <= 5_400
        await crash(live, before["master"])
        [held] = await wait_for(lambda: live.of_kind("ClaimHeld"), "the vice tells that it does not claim")
        assert held["node"] == before["vice"]
        shown = await cli(live, "status")
        assert "MAINTENANCE of cluster" in shown.stdout
        assert "new switches" in shown.stdout
        assert not live.of_kind("MasterElected", term=before["term"] + 1)
        assert await maintenance(live, "off") == []
        after = await live.whole(cluster, members=3)
        assert (after["master"], after["term"]) == (before["vice"], before["term"] + 1)

        await maintenance(live, "on", "--for", "2s")
        await crash(live, after["master"])
        last = await live.whole(cluster, members=3, without=_life(after))
        assert (last["master"], last["term"], last["maintenance"]) == (after["vice"], after["term"] + 1, [])
        ended = await live.some(1, "MaintenanceEnded", node=last["master"], cause="expired")
        assert len(ended) == 1
        await live.some(1, "MaintenanceEndsSoon", node=last["master"])


async def test_it_survives_restarts_and_the_loss_of_the_ledgers_record_and_expires_visibly(
    make_live: MakeLive,
) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        kept = before["vice"]
        await cluster.control("maintenance", action="on", node=kept)
        await cluster.control("maintenance", action="on", reason="a long night")
        files = [live.layout.node(node) / "maintenance.json" for node in live.layout.nodes()]
        await wait_for(
            lambda: all(b"a long night" in _content(path) for path in files), "every node's file has it"
        )
    guardians = [guardian_of(live.layout.node(node)) for node in live.layout.nodes()]
    faults.end([guardian for guardian in guardians if guardian is not None])
    await wait_for(lambda: not live.processes(), "the end of all processes, without a word")
    await _forget(live, "cluster")
    for path in files[1:]:
        path.unlink()
    for node in live.layout.nodes():
        live.start_node(node)
    async with live.client() as cluster:
        met = lambda status: [row["scope"] for row in status["maintenance"]] == ["cluster", kept]  # noqa: E731
        status = await live.status(cluster, met, "both are known again")
        assert not status["in_service"]
        held = lambda: any("a long night" in e["reason"] for e in live.of_kind("FormationWaits"))  # noqa: E731
        await wait_for(held, "nobody forms the cluster by itself")
        await cluster.control("maintenance", action="on", for_s=1.5)
        after = await live.whole(cluster, members=3)
        assert kept not in (after["master"], after["vice"])
        assert [row["scope"] for row in after["maintenance"]] == [kept]
        await live.some(1, "MaintenanceEndsSoon", node=after["master"], scope="cluster")
        await live.some(1, "MaintenanceEnded", node=after["master"], scope="cluster", cause="expired")


async def test_failback_to_the_node_of_highest_priority_when_it_is_in_step(make_live: MakeLive) -> None:
    def preferring(table: Table) -> Table:
        first = {"n1": msgspec.structs.replace(table.nodes["n1"], priority=10)}
        cluster = msgspec.structs.replace(table.cluster, failback="when-in-step")
        return msgspec.structs.replace(table, cluster=cluster, nodes={**table.nodes, **first})

    live = make_live(count=2, change=preferring)
    await live.start()
    async with live.client() as cluster:
        await live.status(cluster, lambda s: s["master"] == "n1", "n1 leads, or was handed back to")
        before = await live.whole(cluster)
        await crash(live, "n1")
        met = lambda status: status["term"] == before["term"] + 2 and status["in_service"]  # noqa: E731
        after = await live.status(cluster, met, "n2 took over, and handed back")
        assert after["master"] == "n1"
        elected = lambda: live.of_kind("MasterElected", term=after["term"])  # noqa: E731
        await wait_for(lambda: any("failback" in e["cause"] for e in elected()), "it says so")


async def _replace_vice(live: Live, cluster: Cluster) -> dict[str, Any]:
    """Put the vice in maintenance until another one has replaced it; the master refuses. Return the status then."""
    before = await live.whole(cluster, members=3)
    refused = await cli(live, "maintenance", "on", "master")
    assert refused.returncode == 3
    assert "switch over first" in refused.stderr
    await maintenance(live, "on", "vice")
    met = lambda status: status["vice"] not in (None, before["vice"]) and status["vice_ready"]  # noqa: E731
    status = await live.status(cluster, met, f"another vice instead of {before['vice']}")
    assert [row["scope"] for row in status["maintenance"]] == [before["vice"]]
    assert await maintenance(live, "off", before["vice"]) == []
    return status


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _life(status: dict[str, Any]) -> str:
    return next(str(n["incarnation"]) for n in status["nodes"] if n["id"] == status["master"])


async def _forget(live: Live, scope: str) -> None:
    """Take the notice out of the ledger, as if it had been lost, while no node runs."""
    assert not nodes.running(live.layout)
    ledger = await open_ledger(f"sqlite://{live.layout.ledger}", None)
    _, [entry] = await ledger.read(f"maintenance/{scope}")
    await ledger.swap(f"maintenance/{scope}", None, entry.revision)
    await ledger.close()
