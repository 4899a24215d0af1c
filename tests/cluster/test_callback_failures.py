"""Callbacks that fail in every way on real processes: for each function and policy the documented outcome.

All tests share one cluster of three nodes and leave it whole. `docs/concepts.md` has the table; that every cell of it
is carried out is shown by the unit tests of the policies.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from primacy.client import Cluster
from primacy.config import Recovery, Service
from primacy.errors import OperationFailed
from primacy.local import nodes
from primacy.local.processes import hosts_of
from tests.cluster.cluster_tools import Live, wait_for
from tests.cluster.conftest import MakeLive
from tests.cluster.failing_services import KINDS
from tests.cluster.test_role_changes import Since

FILE = "failing_services.py"
RECOVERY = Recovery(window_s=0.1, switchovers=2, pause_s=0.2, pause_s_max=0.8)
"""A server that lived for a tenth of a second is well again: no test stands in the shadow of the one before."""


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster in service."""
    path = str(__file__).rpartition("/")[0]
    shared = make_shared(
        services={
            "failing": Service(python=f"{FILE}:Failing", path=path, recovery=RECOVERY),
            "steady": Service(python="cluster_services.py:Logbook", path=path, recovery=Recovery(restarts=1)),
            "follower": Service(python=f"{FILE}:Follower", path=path, local=True),
        },
    )
    asyncio.run(shared.start())
    return shared


@pytest.fixture(autouse=True)
def _whole(live: Live) -> None:
    """Begin with all nodes and without faults, whatever became of the test before."""
    heal(live)
    for node in live.layout.nodes():
        if node not in nodes.running(live.layout):
            live.start_node(node)


async def all_ready(live: Live, cluster: Cluster) -> dict[str, Any]:
    """Wait until there are a master, a ready vice and an available third, with all their servers; return the status."""
    await live.whole(cluster, members=3)
    places = ["available", "primary", "secondary"]
    return await live.status(
        cluster,
        lambda s: (
            s["vice_ready"]
            and sorted(each["servers"].get("failing", "") for each in s["nodes"]) == places
            and all(each["local"].get("follower") == "running" for each in s["nodes"])
        ),
        "every server is ready",
    )


def fault(live: Live, node: str, name: str, kind: str) -> None:
    """Make a callback on this node fail."""
    folder = live.layout.node(node) / "faults"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(kind)


def heal(live: Live) -> None:
    """Take back all faults."""
    for node in live.layout.nodes():
        for path in (live.layout.node(node) / "faults").glob("*"):
            path.unlink(missing_ok=True)


def life(status: dict[str, Any], node: str) -> str:
    """Return the incarnation of a node."""
    return str(next(each["incarnation"] for each in status["nodes"] if each["id"] == node))


async def switch(cluster: Cluster) -> str:
    """Ask for a switchover; return why it failed, or nothing."""
    try:
        await cluster.control("switchover", reason="a test", deadline_s=40)
    except OperationFailed as error:
        return error.message
    return ""


async def meanings(since: Since, callback: str) -> list[tuple[str, str]]:
    """Return what the failures of a callback meant, when there is one, with the reason."""
    found = await since.some(1, "CallbackFailed", callback=callback)
    return [(each["event"]["meaning"], each["event"]["reason"]) for each in found]


REASONS = {
    "refuse": "not now",
    "raise": "OSError: the device is away",
    "hang": "refusing took longer than 0.3 s",
    "late": "refusing took longer than 0.3 s",
    "block": "time",  # told by whoever is first: the agent, or the host when it can speak again
}


@pytest.mark.parametrize("kind", KINDS)
async def test_giving_up_is_undone_whatever_fails_and_a_host_that_ends_is_a_primary_lost(
    live: Live, kind: str
) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        fault(live, before["master"], "failing.switchover.secondary.refuse", kind)
        why = await switch(cluster)
        after = await live.whole(cluster, members=3)
        if kind == "exit":
            assert why == ""  # who was to be master is; the outcome notes that it was no orderly hand-over
            assert (after["term"], after["master"]) == (before["term"] + 1, before["vice"])
            return
        assert f"failing.refusing at level 1: {'time' if kind == 'block' else ''}" in why
        assert REASONS[kind] in why
        assert (after["term"], after["master"]) == (before["term"], before["master"])
        [(meaning, _)] = await meanings(since, "refusing")
        assert "undone" in meaning
        assert await cluster.service("failing").add() > 0


async def test_giving_up_tries_again_where_the_callback_says_so(live: Live) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        fault(live, before["master"], "failing.switchover.secondary.retry", "raise")
        assert await switch(cluster) == ""
        [(meaning, reason)] = await meanings(since, "trying")
        assert (meaning, "trying again" in reason) == ("", True)
        await live.whole(cluster, members=3)


@pytest.mark.parametrize("policy", ["restart", "escalate"])
async def test_giving_up_may_cost_the_primary_its_place_at_once(live: Live, policy: str) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        fault(live, before["master"], f"failing.switchover.secondary.{policy}", "raise")
        assert await switch(cluster) == ""  # who was to be master is, if not by an orderly hand-over
        [ended] = await since.some(1, "OperationEnded")
        assert "no orderly hand-over" in ended["event"]["reasons"][0]
        assert "the device is away" in ended["event"]["reasons"][0]
        after = await live.status(
            cluster, lambda s: s["term"] > before["term"] and s["in_service"], "it is handed over"
        )
        assert (after["term"], after["master"]) == (before["term"] + 1, before["vice"])
        [step] = await since.some(1, "RecoveryStep", service="failing", recommended="switchover")
        assert f"switchover at once: {before['vice']}" in step["event"]["applied"]
        await live.whole(cluster, members=3)


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("refuse", "refuse"),
        ("hang", "retry!"),
        ("raise", "restart"),
        ("block", "escalate"),
        ("exit", "refuse"),
    ],
)
async def test_a_new_primary_that_cannot_take_over_hands_the_mastership_on(
    live: Live, kind: str, policy: str
) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        stays = policy.endswith("!")  # with retry: the second try fails, too
        policy = policy.removesuffix("!")
        fault(live, before["vice"], f"failing.switchover.primary.{policy}", kind + ("!" if stays else ""))
        why = await switch(cluster)
        assert "took over and was lost" in why
        heal(live)
        after = await live.whole(cluster, members=3)
        assert (after["term"], after["master"]) == (before["term"] + 2, before["master"])
        steps = await since.some(1, "RecoveryStep", before["vice"], service="failing")
        assert steps[0]["event"]["recommended"] == "switchover"
        assert len(since.of_kind("InService", before["vice"])) == 0


async def test_a_server_that_cannot_be_initialized_is_started_again(live: Live) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        fault(live, before["vice"], "failing.initialize.available.refuse", "raise")
        kill_host(live, before["vice"], "failing")
        [(meaning, _)] = await meanings(since, "refusing")
        assert "started again" in meaning
        after = await live.whole(cluster, members=3)
        assert life(after, before["vice"]) == life(before, before["vice"])


async def test_an_initialization_that_escalates_ends_this_life_of_the_node(live: Live) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        fault(live, before["vice"], "failing.initialize.available.escalate", "refuse!")
        kill_host(live, before["vice"], "failing")
        steps = await since.some(2, "RecoveryStep", before["vice"], recommended="node out")
        heal(live)
        assert {step["event"]["applied"] for step in steps} == {"node out"}
        assert len({step["incarnation"] for step in steps}) == len(steps)
        after = await live.whole(cluster, members=3, without=life(before, before["vice"]))
        assert after["term"] == before["term"]


@pytest.mark.parametrize(
    ("kind", "policy"), [("hang", "refuse"), ("raise", "restart"), ("block", "escalate")]
)
async def test_a_node_that_shuts_down_leaves_whatever_fails(live: Live, kind: str, policy: str) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        [third] = [each["id"] for each in before["nodes"] if each["role"] == "available"]
        fault(live, third, f"failing.shutdown.offline.{policy}", kind)
        await cluster.control("shutdown", node=third, deadline_s=40)
        await wait_for(lambda: third not in nodes.running(live.layout), f"{third} has ended")
        assert len(await since.some(1, "NodeStopped", third)) == 1
        assert since.of_kind("CallbackFailed", third)
        live.start_node(third)
        await live.whole(cluster, members=3, without=life(before, third))


async def test_a_local_service_that_cannot_reattach_is_started_again_or_costs_its_node(live: Live) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        [third] = [each["id"] for each in before["nodes"] if each["role"] == "available"]
        was = hosts_of(live.layout.node(third))["follower"]
        fault(live, third, "follower.reconnect.available.refuse", "raise")
        fault(live, before["master"], "follower.reconnect.available.escalate", "refuse")
        assert await switch(cluster) == ""
        await wait_for(
            lambda: hosts_of(live.layout.node(third)).get("follower", was) != was, "it is another process"
        )
        after = await live.whole(cluster, members=3, without=life(before, before["master"]))
        assert after["master"] == before["vice"]
        await since.some(1, "RecoveryStep", before["master"], recommended="node out")


async def test_a_primary_that_is_not_well_is_handed_over_in_order(live: Live) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        fault(live, before["master"], "sick", "")
        [step] = await since.some(
            1, "RecoveryStep", before["master"], service="failing", recommended="switchover"
        )
        heal(live)
        assert f"switchover in order: {before['vice']}" in step["event"]["applied"]
        assert "OSError: the device is away" in step["event"]["reason"]
        after = await live.whole(cluster, members=3)
        assert (after["term"], after["master"]) == (before["term"] + 1, before["vice"])


async def test_a_service_that_runs_nowhere_ends_failed_and_the_others_serve(live: Live) -> None:
    """Taking over ends its process on every node: the mastership stops moving, and naming serves."""
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        for node in live.layout.nodes():
            for function in ("switchover", "failover"):
                fault(live, node, f"failing.{function}.primary.refuse", "exit!")
        kill_host(live, before["master"], "failing")
        await wait_for(
            lambda: sum("kept back" in e["event"]["applied"] for e in since.of_kind("RecoveryStep")) >= 3,
            "it is kept back again and again",
        )
        masters = [each["event"]["node"] for each in since.of_kind("MasterElected")]
        moves = sum(one != other for one, other in zip([before["master"], *masters], masters, strict=False))
        assert moves <= len(live.layout.nodes()) * RECOVERY.switchovers
        settled, began_s = masters[-1], time.monotonic()
        while time.monotonic() - began_s < 1.5:
            await cluster.names.list("")
        status = await cluster.control("status")
        assert (status["master"], status["vice_ready"]) == (settled, False)
        heal(live)
        after = await live.whole(cluster, members=3)
        assert after["master"] == settled
        assert await cluster.service("failing").add() > 0


async def test_a_primary_is_restarted_in_place_as_often_as_configured_and_then_handed_over(
    live: Live,
) -> None:
    async with live.client() as cluster:
        before = await all_ready(live, cluster)
        since = Since(live)
        kill_host(live, before["master"], "steady")
        await since.some(1, "RecoveryStep", before["master"], service="steady")
        after = await all_ready(live, cluster)
        assert (after["term"], after["master"]) == (before["term"] + 1, before["master"])
        kill_host(live, before["master"], "steady")
        await since.some(2, "RecoveryStep", before["master"], service="steady")
        last = await live.whole(cluster, members=3)
        assert (last["term"], last["master"]) == (after["term"] + 1, after["vice"])
        steps = await since.some(2, "RecoveryStep", before["master"], service="steady")
        assert [(step["event"]["failures"], step["event"]["recommended"]) for step in steps] == [
            (1, "restart"),
            (2, "switchover"),
        ]


def kill_host(live: Live, node: str, service: str) -> None:
    """Kill the host of a service on a node."""
    os.kill(hosts_of(live.layout.node(node))[service].pid, signal.SIGKILL)
