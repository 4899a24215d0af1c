"""Many nodes on one machine, three of them eligible: they keep step with the master, and reconnect together."""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec
import pytest

from primacy.config import Service, Table
from primacy.local import faults
from tests.cluster.cluster_tools import SERVICES, Live, set_flag, wait_for
from tests.cluster.conftest import MakeLive

ELIGIBLE = ("n1", "n2", "n3")
START_S_MAX = 240.0
SPREAD_S_MAX = 5.0  # on a machine that is busy with other things; measured: `primacy bench reconnect`


def three_eligible(table: Table) -> Table:
    """All nodes but the first three run local services only."""
    nodes = {
        node: row if node in ELIGIBLE else msgspec.structs.replace(row, eligible=False)
        for node, row in table.nodes.items()
    }
    return msgspec.structs.replace(table, nodes=nodes)


def services() -> dict[str, Service]:
    """A centralized service with levels, and a local one that has the same levels on every node."""
    path = str(SERVICES.parent)
    return {
        "stepped": Service(python=f"{SERVICES.name}:Stepped", path=path),
        "follower": Service(python=f"{SERVICES.name}:Follower", path=path, local=True),
    }


def completed_ns(live: Live, node: str) -> dict[int, int]:
    """Return when a node completed each level of its initialization."""
    return {
        event["event"]["level"]: event["wall_ns"]
        for event in live.events()
        if event["node"] == node
        and (event["event"]["event"], event["event"].get("function")) == ("LevelCompleted", "initialize")
    }


def check_in_step(live: Live, master: str) -> None:
    """No node began a level of its initialization before the master had completed it."""
    at_ns = completed_ns(live, master)
    assert sorted(at_ns) == [1, 2, 3]
    assert at_ns[3] - at_ns[2] >= 300_000_000  # the master was slow there, and waited for
    for node in live.layout.nodes():
        began = {row["level"]: row["at_ns"] for row in live.callbacks(node) if row["callback"] == "begin"}
        assert sorted(began) == [1, 2, 3], node
        assert sorted(completed_ns(live, node)) == [1, 2, 3], node
        for level in (1, 2, 3):
            assert node == master or began[level] >= at_ns[level], f"{node} was ahead at level {level}"


async def reattached(live: Live, term: int) -> list[dict[str, Any]]:
    """Wait until the local service of every node has reattached in a term; return what the callbacks wrote down."""

    def rows() -> list[dict[str, Any]]:
        return [row for row in live.callbacks() if (row["callback"], row["term"]) == ("reattach", term)]

    count = len(live.layout.nodes())
    found: list[dict[str, Any]] = await wait_for(
        lambda: len(seen := rows()) >= count and seen, f"term {term}"
    )
    assert sorted(row["on"] for row in found) == live.layout.nodes(), "each node reattaches once"
    return found


@pytest.mark.parametrize(
    "count", [9, pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(2 * START_S_MAX)])]
)
async def test_many_nodes_keep_step_with_the_master_and_reconnect_together(
    make_live: MakeLive, count: int
) -> None:
    live = make_live(count=count, services=services(), change=three_eligible, limit_s=START_S_MAX)
    began_s = time.monotonic()
    await live.start(lambda made: set_flag(made, "slow", True))
    async with live.client() as cluster:
        before = await live.whole(cluster, members=count)
        await reattached(live, 1)
        up_s = time.monotonic() - began_s
        roles = [node["role"] for node in before["nodes"]]
        assert roles.count("ineligible") == count - len(ELIGIBLE)
        below = [node["servers"] for node in before["nodes"] if node["role"] == "ineligible"]
        assert {state for servers in below for state in servers.values()} <= {"offline"}
        check_in_step(live, before["master"])

        set_flag(live, "slow", False)
        life = next(n["incarnation"] for n in before["nodes"] if n["id"] == before["master"])
        faults.crash(live.layout.node(before["master"]))
        after = await live.whole(cluster, members=count, without=life)
        assert (after["term"], after["master"]) == (2, before["vice"])
        rows = await reattached(live, 2)
        [served_ns] = await live.stamps(1, "InService", term=2)
        at_ns = sorted(row["at_ns"] for row in rows if row["on"] != before["master"])  # which started anew
        assert at_ns[0] >= served_ns - 1_000_000
        spread_s = (at_ns[-1] - at_ns[0]) / 1e9
        assert spread_s < SPREAD_S_MAX
        late_ms = (at_ns[-1] - served_ns) / 1e6
    sys.stdout.write(
        f"{count} nodes: all there after {up_s:.1f} s; all reconnected {late_ms:.0f} ms after the new master served, "
        f"spread {spread_s * 1000:.0f} ms\n"
    )
