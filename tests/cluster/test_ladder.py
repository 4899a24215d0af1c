"""Nodes up and down their ladder, on real processes: capabilities of docs/traceability.md, and who dies meanwhile.

All tests share one cluster of four nodes; each begins with n1 to n3 available and n4 ineligible.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from primacy.client import Cluster
from primacy.config import Callback, Table
from primacy.errors import CallError, Refused
from primacy.local import bring_up, faults, nodes
from tests.cluster.cluster_tools import Live, set_flag, stepped, wait_for
from tests.cluster.conftest import MakeLive

LADDER = ("qualify", "promote", "demote", "disqualify", "remove")
CALLBACKS = [Callback(function, "move", level) for function in LADDER for level in (1, 2)]
HOME = {"n1": "available", "n2": "available", "n3": "available", "n4": "ineligible"}
SERVERS = {"available": "available", "spare": "spare", "ineligible": "offline"}


def with_an_ineligible_node(table: Table) -> Table:
    """n4 starts as ineligible; no spare is promoted by itself."""
    rows = table.nodes | {"n4": msgspec.structs.replace(table.nodes["n4"], eligible=False)}
    cluster = msgspec.structs.replace(table.cluster, auto_promote=False)
    return msgspec.structs.replace(table, nodes=rows, cluster=cluster)


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster in service."""
    shared = make_shared(count=4, services=stepped(CALLBACKS), change=with_an_ineligible_node)
    asyncio.run(shared.start())
    return shared


@pytest.fixture(autouse=True)
def _home(live: Live) -> None:
    """Begin with every node running, where it belongs, and with quick callbacks."""
    for flag in ("slow", "refuse"):
        set_flag(live, flag, False)
    for node in live.layout.nodes():
        if node not in nodes.running(live.layout):
            live.start_node(node)
    asyncio.run(go_home(live))


async def go_home(live: Live) -> None:
    """Take every node to the rung where it belongs."""
    async with live.client() as cluster:
        await live.status(cluster, lambda s: s["in_service"] and not out(s), "all nodes are members")
        for node, rung in HOME.items():
            while (now := rung_of(await cluster.control("status"), node)) != rung:
                up = {"ineligible": "qualify", "spare": "promote"}
                await cluster.control(up[now] if rung == "available" else "disqualify", node=node)
        await live.whole(cluster, members=4)


def out(status: dict[str, Any]) -> list[str]:
    """The nodes that are no members."""
    return [n["id"] for n in status["nodes"] if n["role"] == "out"]


def rung_of(status: dict[str, Any], node: str) -> str:
    """The rung of a node: whoever has a role is available."""
    role: str = next(n["role"] for n in status["nodes"] if n["id"] == node)
    return "available" if role in ("master", "vice") else role


def spare_hands(status: dict[str, Any]) -> str:
    """The available node that is neither master nor vice."""
    return next(n["id"] for n in status["nodes"] if n["role"] == "available")


async def stands(live: Live, cluster: Cluster, node: str, rung: str) -> None:
    """Wait until the node stands on this rung, in the status and with its servers."""

    def met(status: dict[str, Any]) -> bool:
        entry = next(n for n in status["nodes"] if n["id"] == node)
        servers = set(entry["servers"].values())
        return rung_of(status, node) == rung and (
            servers == {SERVERS[rung]} or (rung == "available" and entry["role"] in ("master", "vice"))
        )

    await live.status(cluster, met, f"{node} is {rung}, and so are its servers")


async def moves(live: Live, told: int, count: int) -> list[tuple[str, str, int, str, str]]:
    """Wait for so many callbacks of the ladder since then: (node, function, level, old state, new state)."""
    rows = await wait_for(
        lambda: (
            len(them := [r for r in live.callbacks() if r["callback"] == "move"][told:]) >= count and them
        ),
        f"{count} callbacks",
    )
    return [(r["on"], r["function"], r["level"], r["old"], r["new"]) for r in rows]


def told(live: Live) -> int:
    """How many callbacks of the ladder have run."""
    return len([r for r in live.callbacks() if r["callback"] == "move"])


async def restarted(live: Live, cluster: Cluster, node: str) -> None:
    """End a node in order and start it again."""
    await cluster.control("shutdown", node=node, deadline_s=40)
    await wait_for(lambda: not live.processes(node), "its processes have ended")
    live.start_node(node)
    await live.status(cluster, lambda s: node not in out(s), f"{node} is a member again")


async def test_demote_and_promote_take_the_servers_to_spare_and_back(live: Live) -> None:
    async with live.client() as cluster:
        node, since = spare_hands(await live.whole(cluster)), told(live)
        answer = await cluster.control("demote", node=node, reason="a test")
        assert answer["node"] == node
        assert await moves(live, since, 2) == [
            (node, "demote", level, "available", "spare") for level in (1, 2)
        ]
        await stands(live, cluster, node, "spare")
        assert (await live.some(1, "OperationEnded", node=node))[-1]["outcome"] == "done"
        assert [e["level"] for e in live.of_kind("LevelCompleted", node=node, function="demote")][-2:] == [
            1,
            2,
        ]
        await restarted(live, cluster, node)
        await stands(live, cluster, node, "spare")  # it persists
        since = told(live)
        await cluster.control("promote", node=node)
        assert await moves(live, since, 2) == [
            (node, "promote", level, "spare", "available") for level in (1, 2)
        ]
        await stands(live, cluster, node, "available")
        with pytest.raises(Refused, match="primacy switchover --to"):
            await cluster.control("promote", node=node)


async def test_qualify_and_disqualify_persist(live: Live) -> None:
    async with live.client() as cluster:
        since = told(live)
        await cluster.control("qualify", node="n4")
        assert await moves(live, since, 2) == [
            ("n4", "qualify", level, "offline", "spare") for level in (1, 2)
        ]
        await stands(live, cluster, "n4", "spare")
        await restarted(live, cluster, "n4")
        await stands(live, cluster, "n4", "spare")
        since = told(live)
        await cluster.control("disqualify", node="n4")
        assert await moves(live, since, 2) == [
            ("n4", "disqualify", level, "spare", "offline") for level in (1, 2)
        ]
        await stands(live, cluster, "n4", "ineligible")
        await restarted(live, cluster, "n4")
        await stands(live, cluster, "n4", "ineligible")
        status = await live.status(
            cluster, lambda s: s["nodes"][3]["local"] == {"attendant": "running"}, "local services go on"
        )
        assert [n["eligible"] for n in status["nodes"]] == [True, True, True, False]


async def test_a_master_that_is_demoted_switches_over_first(live: Live) -> None:
    async with live.client() as cluster:
        before, since = await live.whole(cluster), told(live)
        marked = await cluster.service("stepped").mark(name="before")
        await cluster.control("demote", node="master", reason="a test")
        after = await live.whole(cluster)
        assert (after["master"], after["term"]) == (before["vice"], before["term"] + 1)
        assert (await live.some(1, "MasterElected", term=after["term"]))[0]["how"] == "switchover"
        assert [m[:2] for m in await moves(live, since, 2)] == 2 * [(before["master"], "demote")]
        await stands(live, cluster, before["master"], "spare")
        assert await cluster.service("stepped").mark(name="after") == marked + 1


async def test_a_vice_that_is_disqualified_is_replaced_first(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster)
        await cluster.control("disqualify", node="vice")
        after = await live.whole(cluster)
        assert (after["master"], after["term"]) == (before["master"], before["term"])
        assert after["vice"] == spare_hands(before)
        await stands(live, cluster, before["vice"], "ineligible")


async def test_a_callback_that_refuses_leaves_everything_as_it_was(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster)
        node, since = spare_hands(before), told(live)
        set_flag(live, "refuse", True)
        with pytest.raises(Refused, match="the till is open") as refused:
            await cluster.control("demote", node=node)
        assert "stepped.move at level 2" in refused.value.reasons[0]
        assert [m[1:] for m in await moves(live, since, 3)] == [
            ("demote", 1, "available", "spare"),
            ("demote", 2, "available", "spare"),
            ("demote", 1, "spare", "available"),  # undone
        ]
        await stands(live, cluster, node, "available")
        dry = await cluster.control("demote", node=node, dry_run=True)
        assert dry == {"possible": True}


async def test_two_operators_at_once(live: Live) -> None:
    async with live.client() as cluster:
        node = spare_hands(await live.whole(cluster))
        set_flag(live, "slow", True)
        since = told(live)
        first = asyncio.ensure_future(cluster.control("demote", node=node))
        await moves(live, since, 1)
        with pytest.raises(Refused, match=f"a function is in progress: demote {node}"):
            await cluster.control("qualify", node="n4")
        assert (await first)["node"] == node
        assert rung_of(await cluster.control("status"), "n4") == "ineligible"


ENDS = {
    "promote": ("spare", "available"),
    "demote": ("available", "spare"),
    "qualify": ("ineligible", "spare"),
    "disqualify": ("available", "ineligible"),
}
CASES = [
    (function, whom, how)
    for function in ("promote", "demote", "qualify", "disqualify")
    for whom in ("driver", "subject")
    for how in ("crash", "power")
]


@pytest.mark.parametrize(
    ("function", "whom", "how"),
    [pytest.param(*c, marks=[pytest.mark.soak] if c[2] == "power" or c[0] in ("qualify", "disqualify") else [])
     for c in CASES],
)  # fmt: skip
async def test_a_function_whose_driver_or_subject_dies_ends_in_one_state(
    live: Live, function: str, whom: str, how: str
) -> None:
    async with live.client() as cluster:
        node = "n4" if function == "qualify" else spare_hands(await live.whole(cluster))
        if function == "promote":
            await cluster.control("demote", node=node)
        before, since = await live.whole(cluster, members=4), told(live)
        marked = await cluster.service("stepped").mark(name=f"{function} {whom} {how}")
        set_flag(live, "slow", True)
        asked = asyncio.ensure_future(outcome(cluster, function, node))
        await moves(live, since, 1)
        victim = before["master"] if whom == "driver" else node
        frozen = faults.freeze(live.layout.node(victim)) if how == "power" else []
        if how == "crash":
            faults.crash(live.layout.node(victim))
        set_flag(live, "slow", False)
        came = await asked
        if frozen:
            await asyncio.to_thread(faults.end, frozen)
            live.start_node(victim)
        status = await live.status(
            cluster,
            lambda s: s["in_service"] and not out(s) and all(n["function"] is None for n in s["nodes"]),
            "all nodes are back and nothing is in progress",
        )
        done = came == "done"
        starts, ends = ENDS[function]
        print(f"{function}, {how} of the {whom}: {came}; {node} is {rung_of(status, node)}")
        assert whom == "subject" or done, came  # a new master finishes what it finds
        await stands(live, cluster, node, ends if done else starts)
        await live.whole(cluster)
        assert await cluster.service("stepped").mark(name="afterwards") == marked + 1
        assert json.loads(await intent(live)) is None


async def outcome(cluster: Cluster, function: str, node: str) -> str:
    """Ask for a function; return what came of it."""
    try:
        await cluster.control(function, node=node, deadline_s=40)
    except CallError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


async def intent(live: Live) -> str:
    """The function in progress, as the ledger has it, as JSON."""
    from primacy.ledger import open_ledger

    ledger = await open_ledger(live.layout.ledger_url, None)
    try:
        _, entries = await ledger.read("operation")
    finally:
        await ledger.close()
    return json.dumps(json.loads(entries[0].value)["current"])


async def test_eligibility_is_kept_over_a_restart_of_all(live: Live) -> None:
    async with live.client() as cluster:
        node = spare_hands(await live.whole(cluster))
        await cluster.control("demote", node=node)
        await cluster.control("qualify", node="n4")
    await bring_up.stop_all(live.layout, print, "the test")
    await wait_for(lambda: not live.processes(), "all processes have ended")
    for each in live.layout.nodes():
        live.start_node(each)
    async with live.client() as cluster:
        await live.whole(cluster, members=4)
        await stands(live, cluster, node, "spare")
        await stands(live, cluster, "n4", "spare")


async def test_a_node_is_removed_by_levels_and_deleted_from_the_table(make_live: MakeLive) -> None:
    live = make_live(services=stepped(CALLBACKS))
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        node, since = before["master"], told(live)
        answer = await cluster.control("remove", node=node, reason="a test", deadline_s=40)
        assert answer["removed"] == node
        assert [m[:2] for m in await moves(live, since, 2)] == 2 * [(node, "remove")]
        await wait_for(lambda: not live.processes(node), "its processes have ended")
        ran = [r["function"] for r in live.callbacks(node) if r["service"] == "stepped"]
        assert ran[-4:] == ["remove", "remove", "shutdown", "shutdown"]
        after = await live.whole(cluster)
        assert [n["id"] for n in after["nodes"]] == sorted(set(before_ids(before)) - {node})
        assert after["master"] == before["vice"]
    started = live.start_node(node)
    assert await asyncio.to_thread(started.process.wait, 20) == 78  # it is no node of this cluster any more


def before_ids(status: dict[str, Any]) -> list[str]:
    """The nodes of a status."""
    return [n["id"] for n in status["nodes"]]


LEAVING = [
    (function, whom, how)
    for function in ("remove", "shutdown")
    for whom in ("driver", "subject")
    for how in ("crash", "power")
]


@pytest.mark.soak
@pytest.mark.parametrize(("function", "whom", "how"), LEAVING)
async def test_a_node_that_leaves_while_its_driver_or_itself_dies_is_gone_in_the_end(
    make_live: MakeLive, function: str, whom: str, how: str
) -> None:
    live = make_live(services=stepped([Callback(f, "move", 1) for f in ("remove", "shutdown")]))
    await live.start()
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        node, since = spare_hands(before), told(live)
        marked = await cluster.service("stepped").mark(name="before")
        set_flag(live, "slow", True)
        asked = asyncio.ensure_future(outcome(cluster, function, node))
        await moves(live, since, 1)
        victim = before["master"] if whom == "driver" else node
        frozen = faults.freeze(live.layout.node(victim)) if how == "power" else []
        if how == "crash":
            faults.crash(live.layout.node(victim))
        set_flag(live, "slow", False)
        came = await asked
        if frozen:
            await asyncio.to_thread(faults.end, frozen)
        if whom == "driver" and how == "power":
            live.start_node(victim)
        print(f"{function}, {how} of the {whom}: {came}")
        status = await live.whole(cluster)
        if came == "done" and function == "remove":
            assert node not in [n["id"] for n in status["nodes"]]
        elif came == "done" and (whom, how) != ("subject", "crash"):  # its guardian has started it again
            assert node in out(status)
        assert whom == "subject" or came == "done", came
        assert await cluster.service("stepped").mark(name="afterwards") == marked + 1
        assert json.loads(await intent(live)) is None
