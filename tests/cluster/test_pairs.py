"""Two things at once on real processes: the pairs that tell most; all others meet in virtual time."""

from __future__ import annotations

import asyncio
import time

import pytest

from primacy.client import Cluster
from primacy.config import Service
from tests.cluster.cluster_tools import Live, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.test_callback_failures import FILE, RECOVERY, fault, heal, kill_host, life
from tests.cluster.test_role_changes import Since


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster in service."""
    path = str(__file__).rpartition("/")[0]
    shared = make_shared(
        services={"failing": Service(python=f"{FILE}:Failing", path=path, recovery=RECOVERY)}
    )
    asyncio.run(shared.start())
    return shared


async def _serves_again(live: Live, cluster: Cluster, term: int) -> None:
    """Wait until the service answers in a later term, the master being who it was, and a vice mirrors it."""
    after = await live.whole(cluster, members=3)
    assert after["term"] > term
    assert await cluster.service("failing").add() > 0


async def test_in_maintenance_a_primary_that_fails_again_and_again_stays_where_it_is(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        master, since = before["master"], Since(live)
        await cluster.service("failing").add()
        await cluster.control("maintenance", action="on", reason="a new switch")
        for kills in range(1, 4):
            stands = (await live.whole(cluster, members=3))["term"]
            kill_host(live, master, "failing")
            await since.some(kills, "RecoveryStep", master, service="failing")
            await _serves_again(live, cluster, stands)
        fault(live, master, "sick", "")
        steps = await since.some(4, "RecoveryStep", master, service="failing")
        heal(live)
        status = await live.whole(cluster, members=3)
        assert (status["master"], life(status, master)) == (master, life(before, master))
        assert {e["event"]["node"] for e in since.of_kind("MasterElected")} == {master}
        assert {e["event"]["recommended"] for e in steps} == {"switchover"}
        assert all("for the cluster is in maintenance (a new switch)" in e["event"]["applied"] for e in steps)

        await cluster.control("maintenance", action="off")
        kill_host(live, master, "failing")
        met = lambda s: s["in_service"] and s["master"] not in (None, master)  # noqa: E731
        await live.status(cluster, met, "it is handed over, now that maintenance is over")
        await live.whole(cluster, members=3)


async def test_a_function_that_is_asked_for_while_a_failing_server_is_handed_over(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        master, since = before["master"], Since(live)
        fault(live, master, "failing.switchover.secondary.retry", "hang")  # so that it takes a while
        fault(live, master, "sick", "")
        began_s = time.monotonic()
        await wait_for(
            lambda: since.of_kind("FunctionBegan", master), "recovery begins to switch over", limit_s=20
        )
        (live.layout.node(master) / "faults" / "sick").unlink()
        await cluster.control("demote", node=master, reason="a test", deadline_s=40)
        assert time.monotonic() - began_s < 45
        after = await live.whole(cluster, members=3)
        # one hand-over for both
        assert (after["term"], after["master"]) == (before["term"] + 1, before["vice"])
        [spare] = [n["id"] for n in after["nodes"] if n["role"] == "spare"]
        assert spare == master
        [ended] = await since.some(1, "OperationEnded")
        assert ended["event"]["outcome"] == "done"
        await cluster.control("promote", node=master, deadline_s=40)
