"""A slow service is not a dead node: blocked user code costs no failover, a silent secondary costs two seconds."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from primacy.local.processes import hosts_of
from tests.cluster.cluster_tools import Live, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.workload import Workload

BLOCKED_S = 2.0
STALL_S_MAX = 2.5
SLACK_S = 4.0  # a busy machine's own
SILENT_S = 10.0


def roles_changed(live: Live) -> list[str]:
    """Return what has happened to roles since the cluster came into service with its first pair."""
    kinds = {"MasterElected", "MasterDeposed", "ClaimBegan", "ServerDied"}
    events = [event for event in live.events() if event["event"]["event"] in kinds]
    return [event["sentence"] for event in events if event["event"]["term"] > 1]


async def test_a_host_blocked_in_user_code_costs_no_failover(
    make_live: MakeLive, random_source: random.Random
) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster)
        async with Workload(live, random_source):
            began_s = time.monotonic()
            block = asyncio.ensure_future(cluster.service("logbook").query.block(seconds=BLOCKED_S))
            names_s = 0.0
            while not block.done():  # the node's other primary goes on as if nothing were
                asked_s = time.monotonic()
                await cluster.names.list("")
                names_s = max(names_s, time.monotonic() - asked_s)
                await asyncio.sleep(0.02)
            assert await block == "done"
            assert time.monotonic() - began_s >= BLOCKED_S
            assert names_s < BLOCKED_S
        after = await live.whole(cluster)
        assert (after["term"], after["master"]) == (before["term"], before["master"])
        assert roles_changed(live) == []


async def test_a_silent_secondary_stalls_writes_for_two_seconds_and_moves_no_role(
    make_live: MakeLive, random_source: random.Random
) -> None:
    live = make_live()
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster)
        host = hosts_of(live.layout.node(before["vice"]))["logbook"]
        async with Workload(live, random_source) as work:
            await wait_for(lambda: len(work.acknowledged) > 20, "writes before the stop")
            stopped_ns = time.monotonic_ns()
            assert host.send(signal.SIGSTOP)
            try:
                await asyncio.sleep(SILENT_S)
                written = len(work.acknowledged)
                await wait_for(lambda: len(work.acknowledged) > written, "writes go on while it is silent")
            finally:
                host.send(signal.SIGCONT)
            stalled_s = work.longest_ns(stopped_ns) / 1e9
            print(f"the longest call took {stalled_s:.2f} s")
            assert BLOCKED_S * 0.9 < stalled_s < STALL_S_MAX + SLACK_S
        after = await live.whole(cluster, members=3)
        assert (after["term"], after["master"]) == (before["term"], before["master"])
        assert roles_changed(live) == []
        dropped = live.of_kind("ViceDropped")
        assert [event["node"] for event in dropped] == [before["vice"]]
        assert "stalled" in dropped[0]["cause"]
        await work.judge(cluster)
