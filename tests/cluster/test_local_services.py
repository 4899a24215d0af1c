"""The local service of examples/: started, told of each change of primary, reattached and stopped in order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from primacy.config import Service
from primacy.local import faults
from primacy.local.processes import hosts_of
from tests.cluster.cluster_tools import ROOT, Live, wait_for
from tests.cluster.conftest import MakeLive

SPREAD_S_MAX = 5.0  # a machine that is busy with other things; measured: `primacy bench reconnect`


def shop() -> dict[str, Service]:
    """The inventory and, on each node, the display that follows it."""
    path = str(ROOT / "examples")
    return {
        "inventory": Service(python="inventory.py:Inventory", path=path),
        "shelf-display": Service(python="shelf_display.py:ShelfDisplay", path=path, local=True),
    }


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster of three nodes with a display on each."""
    shared = make_shared(services=shop())
    asyncio.run(shared.start())
    return shared


def displays(live: Live) -> dict[str, dict[str, Any]]:
    """Return what each node's display shows."""
    found = {}
    for node in live.layout.nodes():
        path = live.layout.node(node) / "display.json"
        found[node] = json.loads(path.read_text()) if path.exists() else {}
    return found


async def followed(live: Live, term: int, node: str) -> list[int]:
    """Wait until all displays follow the primary of a term; return when each reconnect sequence of it began, ns."""
    await wait_for(
        lambda: all([term, node] in shown.get("followed", []) for shown in displays(live).values()),
        f"all displays follow {node} in term {term}",
    )
    count = len(live.layout.nodes())
    began = await live.stamps(count, "FunctionBegan", function="reconnect", term=term)
    assert len(began) == count, "each node reconnects once in a term"
    return began


async def test_a_local_service_follows_each_change_of_primary_on_all_nodes_at_one_time(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        assert len(await followed(live, 1, before["master"])) == 3
        assert all(shown["lit"] for shown in displays(live).values())
        await cluster.service("inventory").add(article="bolt", count=12)

        moved = await cluster.control("switchover", reason="the displays are to follow")
        began = await followed(live, moved["term"], before["vice"])
        [served_ns] = await live.stamps(1, "InService", term=moved["term"])
        assert min(began) >= served_ns - 1_000_000  # not before it serves; clocks of one machine
        assert (max(began) - min(began)) / 1e9 < SPREAD_S_MAX
        assert all(shown["stock"]["bolt"] == 12 for shown in displays(live).values())

        whole = await live.whole(cluster, members=3)
        life = next(n for n in whole["nodes"] if n["id"] == whole["master"])["incarnation"]
        faults.crash(live.layout.node(whole["master"]))
        after = await live.whole(cluster, members=3, without=life)
        began = await followed(live, after["term"], after["master"])
        assert after["term"] == moved["term"] + 1

        assert await cluster.service("inventory").take(article="bolt", count=5) == 7
        await wait_for(
            lambda: all(shown["short"].get("bolt") == 7 for shown in displays(live).values()),
            "every display shows what the new primary tells",
        )


async def test_a_local_service_that_starts_anew_is_told_where_the_primaries_are(live: Live) -> None:
    async with live.client() as cluster:
        status = await live.whole(cluster, members=3)
        directory = live.layout.node(status["master"])
        host = hosts_of(directory)["shelf-display"]
        faults.end([host])
        await wait_for(
            lambda: hosts_of(directory).get("shelf-display") not in (None, host), "there is another process"
        )
        now = [status["term"], status["master"]]
        await wait_for(
            lambda: displays(live)[status["master"]]["followed"] == [now], "it follows the primary of now"
        )
        after = await live.whole(cluster, members=3)
        assert [after["term"], after["master"]] == now


async def test_a_local_service_is_stopped_through_the_coordinator(live: Live) -> None:
    async with live.client() as cluster:
        status = await live.whole(cluster, members=3)
        [third] = [n["id"] for n in status["nodes"] if n["role"] == "available"]
        await live.status(
            cluster,
            lambda s: all(n["local"] == {"shelf-display": "running"} for n in s["nodes"]),
            "every display runs",
        )
        await cluster.control("shutdown", node=third, reason="the shelf is taken away")
        await wait_for(lambda: not live.processes(third), "the node has ended")
    lit = {node: shown["lit"] for node, shown in displays(live).items()}
    assert lit == {node: node != third for node in lit}
    [completed] = await live.some(1, "LevelCompleted", node=third, function="shutdown", level=2)
    assert completed["services"] == ["shelf-display"]
