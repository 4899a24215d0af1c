"""What happens when roles change and nodes leave: capabilities of docs/traceability.md, each shown by one test.

All tests share one cluster of three nodes and leave it whole; each says what it changes.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from primacy.client import Cluster
from primacy.errors import NameNotFound, OperationFailed, Refused
from primacy.local import faults, nodes
from tests.cluster.cluster_tools import Event, Live, set_flag, stepped, wait_for
from tests.cluster.conftest import MakeLive


@pytest.fixture(scope="module")
def live(make_shared: MakeLive) -> Live:
    """A cluster in service."""
    shared = make_shared(services=stepped())
    asyncio.run(shared.start())
    return shared


@pytest.fixture(autouse=True)
def _whole(live: Live) -> None:
    """Begin with all nodes and quick callbacks, whatever became of the test before."""
    for flag in ("slow", "hang", "refuse"):
        set_flag(live, flag, False)
    for node in live.layout.nodes():
        if node not in nodes.running(live.layout):
            live.start_node(node)


class Since:
    """Events and callbacks from a moment on."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._events = len(live.events())
        self._numbers = {node: self._last(node) for node in live.layout.nodes()}
        self._at_ns = time.time_ns()

    def _last(self, node: str) -> int:
        return max((e["number"] for e in self._live.events() if e["node"] == node), default=0)

    def events(self, node: str | None = None) -> list[Event]:
        """Return the stamped events since then, of one node in its own order."""
        return [
            event
            for event in self._live.events()
            if event["number"] > self._numbers[event["node"]] and node in (None, event["node"])
        ]

    def of_kind(self, kind: str, node: str | None = None, **fields: Any) -> list[Event]:
        """Return the stamped events of a kind with these fields."""
        return [
            event
            for event in self.events(node)
            if event["event"]["event"] == kind and all(event["event"].get(k) == v for k, v in fields.items())
        ]

    async def some(self, count: int, kind: str, node: str | None = None, **fields: Any) -> list[Event]:
        """Wait until there are so many events of a kind (nodes write them a moment later), and return all."""
        found: list[Event] = await wait_for(
            lambda: len(them := self.of_kind(kind, node, **fields)) >= count and them,
            f"{count} events {kind} {fields} of {node or 'all nodes'}",
        )
        return found

    def callbacks(self, node: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """Return the callbacks since then, with these fields, by time."""
        return [
            row
            for row in self._live.callbacks(node)
            if row["at_ns"] >= self._at_ns and all(row[k] == v for k, v in fields.items())
        ]


async def crash_master(live: Live, cluster: Cluster) -> tuple[dict[str, Any], dict[str, Any]]:
    """Kill the master's agent; return the status before and when the cluster is whole again."""
    before = await live.whole(cluster, members=3)
    life = next(each["incarnation"] for each in before["nodes"] if each["role"] == "master")
    faults.crash(live.layout.node(before["master"]))
    return before, await live.whole(cluster, members=3, without=life)


# ---- sequences and levels ----


async def test_a_request_reaches_any_coordinator_and_the_reaction_is_reported_back(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since = Since(live)
        [third] = [each["id"] for each in before["nodes"] if each["role"] == "available"]
        answer = await live.ask(cluster, third, "switchover", reason="asked of a node that is neither")
        assert (answer["from"], answer["to"]) == (before["master"], before["vice"])
        assert answer["term"] == before["term"] + 1
        ran = since.callbacks(function="switchover")
        assert {row["on"] for row in ran} == {before["master"], before["vice"]}
        assert {row["cause"] for row in ran} == {"asked of a node that is neither"}
        await live.whole(cluster, members=3)


async def test_a_sequence_has_levels_that_complete_one_after_the_other(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since = Since(live)
        await cluster.control("switchover", reason="levels")
        for node, levels in ((before["master"], [3, 2, 1]), (before["vice"], [1, 2, 3])):
            completed = await since.some(3, "LevelCompleted", node, function="switchover")
            assert [event["event"]["level"] for event in completed] == levels
            ran = since.callbacks(node, function="switchover")
            assert [row["level"] for row in ran] == levels
            for done, following in zip(completed, ran[1:], strict=False):
                assert done["wall_ns"] <= following["at_ns"], (
                    "a level began before the one before it was complete"
                )
        await live.whole(cluster, members=3)


async def test_the_server_receives_the_sequence_and_the_coordinator_is_told_of_each_level(live: Live) -> None:
    async with live.client() as cluster:
        plan = await live.ask(cluster, cluster.topology.master, "sequence", function="failover")
        since = Since(live)
        before, _ = await crash_master(live, cluster)
        ran = since.callbacks(before["vice"], function="failover", service="stepped")
        assert [row["level"] for row in ran] == [step["level"] for step in plan["steps"]]
        told = await since.some(2, "LevelCompleted", before["vice"], function="failover")
        assert [(e["event"]["level"], e["event"]["services"]) for e in told] == [
            (1, ["stepped"]),
            (2, ["stepped"]),
        ]


async def test_every_completed_level_is_published_as_an_event(live: Live) -> None:
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
        since = Since(live)
        await cluster.control("switchover", reason="events")
        await live.whole(cluster, members=3)
        await wait_for(
            lambda: len(since.callbacks(function="reconnect")) == 3, "the local services have reattached"
        )

        def published() -> bool:
            levels = since.of_kind("LevelCompleted")
            told = sorted((e["node"], e["event"]["function"], e["event"]["level"]) for e in levels)
            return told == sorted({(row["on"], row["function"], row["level"]) for row in since.callbacks()})

        await wait_for(published, "an event for each level that ran, on each node")


async def test_a_level_is_known_to_the_master_of_the_cluster(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        [third] = [each["id"] for each in before["nodes"] if each["role"] == "available"]
        set_flag(live, "slow", True, [third])
        await asyncio.to_thread(nodes.end, live.layout, [third])
        live.start_node(third)
        seen: list[dict[str, Any]] = []

        def initializing(status: dict[str, Any]) -> bool:
            [each] = [each for each in status["nodes"] if each["id"] == third]
            seen.append(each)
            return bool((each["function"], each["level"]) == ("initialize", 3))

        await live.status(cluster, initializing, "the master tells that level 3 is in progress there")
        assert "stepped.second" in seen[-1]["waiting"]
        set_flag(live, "slow", False)
        after = await live.whole(cluster, members=3)
        [each] = [each for each in after["nodes"] if each["id"] == third]
        assert each["incarnation"] != next(n["incarnation"] for n in before["nodes"] if n["id"] == third)
        await live.status(
            cluster,
            lambda s: all(each["function"] is None for each in s["nodes"]),
            "the master knows that no level is in progress any more",
        )


async def test_servers_change_state_as_the_sequence_says(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since = Since(live)
        await cluster.control("switchover", reason="states")
        after = await live.whole(cluster, members=3)
        states = {(row["on"], row["old"], row["new"]) for row in since.callbacks(function="switchover")}
        assert states == {
            (before["master"], "primary", "secondary"),
            (before["vice"], "secondary", "primary"),
        }
        for node, old, new in states:
            [changed] = await since.some(1, "ServerChanged", node, service="stepped")
            assert (changed["event"]["old"], changed["event"]["new"]) == (old, new)
            [each] = [each for each in after["nodes"] if each["id"] == node]
            assert each["servers"]["stepped"] == new


# ---- switchover and failover ----


async def test_a_switchover_begins_at_the_masters_coordinator(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since = Since(live)
        result = await cluster.control("switchover", to="vice", reason="an operator")
        assert (result["from"], result["to"]) == (before["master"], before["vice"])
        began = await since.some(2, "FunctionBegan", function="switchover")
        began.sort(key=lambda event: event["wall_ns"])
        assert [event["node"] for event in began] == [before["master"], before["vice"]]
        assert {event["event"]["cause"] for event in began} == {"an operator"}
        [elected] = await since.some(1, "MasterElected")
        assert (elected["event"]["how"], elected["event"]["node"]) == ("switchover", before["vice"])
        await live.whole(cluster, members=3)


async def test_a_switchover_moves_the_state_and_loses_nothing(live: Live) -> None:
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
        service = cluster.service("stepped")
        first = len(await service.query.marks())
        writing = asyncio.ensure_future(write(cluster, 200))
        await asyncio.sleep(0.05)
        for _ in range(2):
            await switch_over(live, cluster)
        await live.whole(cluster, members=3)
        lengths = await writing
        assert lengths == list(range(first + 1, first + 201))
        assert (await service.query.marks())[first:] == [f"w{number}" for number in range(200)]


async def switch_over(live: Live, cluster: Cluster) -> None:
    """Have the vice take over; a busy machine may have cost it its lease a moment ago."""
    for _ in range(20):
        await live.whole(cluster, members=3)
        try:
            await cluster.control("switchover", reason="under load")
            return
        except Refused as refusal:
            if "does not answer" not in str(refusal):
                raise
    raise AssertionError("the vice does not answer, again and again")


async def write(cluster: Cluster, count: int) -> list[int]:
    """Write so many marks one after another; return the lengths that were answered."""
    service = cluster.service("stepped")
    lengths = []
    for number in range(count):
        lengths.append(await service.mark(name=f"w{number}"))
        await asyncio.sleep(0.002)
    return lengths


def primaries(live: Live) -> list[dict[str, Any]]:
    """Return where each node's local service believes the primaries to be."""
    return [
        json.loads((live.layout.node(node) / "primaries.json").read_text()) for node in live.layout.nodes()
    ]


async def test_all_nodes_and_their_local_services_are_updated_after_a_switchover(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        result = await cluster.control("switchover", reason="everybody is told")
        told = {"term": result["term"], "node": before["vice"], "services": ["naming", "stepped"]}
        await wait_for(lambda: primaries(live) == [told] * 3, "every local service knows the new primaries")
        for node in live.layout.nodes():
            own = await live.ask(cluster, node, "status", local=True)
            assert (own["term"], own["master"]) == (result["term"], before["vice"])
        await live.whole(cluster, members=3)


async def test_the_vice_claims_when_the_master_is_lost_and_tells_its_services(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since = Since(live)
        frozen = await asyncio.to_thread(faults.freeze, live.layout.node(before["master"]))  # in silence
        await live.whole(cluster)
        await asyncio.to_thread(faults.end, frozen)
        live.start_node(before["master"])
        after = await live.whole(cluster, members=3)
        assert after["master"] == before["vice"]
        [claim] = await since.some(1, "ClaimBegan", before["vice"])
        [elected] = await since.some(1, "MasterElected", before["vice"])
        ran = since.callbacks(before["vice"], function="failover")
        assert claim["event"]["silence_ns"] >= live.table_in_force.times.grace_ns
        assert elected["event"]["how"] == "failover"
        assert claim["number"] < elected["number"]
        assert [row["level"] for row in ran] == [1, 2]
        assert {(row["old"], row["new"], row["clean"]) for row in ran} == {("secondary", "primary", False)}
        assert {row["term"] for row in ran} == {before["term"] + 1}


async def test_secondaries_recover_the_primaries_state_and_everybody_learns_where_they_are(
    live: Live,
) -> None:
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
        service = cluster.service("stepped")
        length = await service.mark(name="before the failover")
        marks = await service.query.marks()
        before, after = await crash_master(live, cluster)
        assert await service.query.marks() == marks
        assert await service.mark(name="after the failover") == length + 1
        assert {row["primary"] for row in after["services"]} == {after["master"]} != {before["master"]}
        assert cluster.topology.master == after["master"]
        assert cluster.statistics()["stepped"]["term"] == after["term"] == before["term"] + 1


async def test_local_services_reconnect_at_one_time_when_the_primaries_serve(live: Live) -> None:
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
        since = Since(live)
        result = await cluster.control("switchover", reason="reattach")
        [served] = await wait_for(
            lambda: since.of_kind("InService", term=result["term"]), "the new master serves"
        )
        ran = await wait_for(
            lambda: len(rows := since.callbacks(callback="reattach", term=result["term"])) == 3 and rows,
            "every local service reattaches",
        )
        assert {row["on"] for row in ran} == set(live.layout.nodes())
        levels = await since.some(6, "LevelCompleted", function="switchover")
        last = max(event["wall_ns"] for event in levels)
        assert min(row["at_ns"] for row in ran) >= last, (
            "somebody reattached before the last level was complete"
        )
        assert min(row["at_ns"] for row in ran) >= served["wall_ns"] - 1_000_000
        await live.whole(cluster, members=3)


async def test_after_a_failover_another_vice_is_elected_and_brought_into_step(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since = Since(live)
        await asyncio.to_thread(nodes.end, live.layout, [before["master"]])
        after = await live.whole(cluster)
        [third] = [n for n in live.layout.nodes() if n not in (before["master"], before["vice"])]
        assert (after["master"], after["vice"]) == (before["vice"], third)
        [in_step] = await since.some(1, "ViceInStep", after["master"])
        assert in_step["event"]["node"] == third
        await live.status(
            cluster, lambda s: [row["lag"] for row in s["services"]] == [0, 0], "it mirrors everything"
        )
        live.start_node(before["master"])
        await live.whole(cluster, members=3)


# ---- leaving ----


async def leave(live: Live, cluster: Cluster, node: str) -> tuple[Since, dict[str, Any]]:
    """Shut a node down; return what happened, and the cluster's status when its processes have ended."""
    await live.status(
        cluster,
        lambda s: all(each["local"] == {"attendant": "running"} for each in s["nodes"]),
        "every service of every node runs",
    )
    since = Since(live)
    answer = await cluster.control("shutdown", node=node, reason="it goes home", deadline_s=40)
    assert answer["stopped"] == [node]
    await wait_for(lambda: not live.processes(node), f"the end of every process of {node}")
    status = await live.status(
        cluster,
        lambda s: next(n for n in s["nodes"] if n["id"] == node)["role"] == "out",
        f"{node} is no member any more",
    )
    return since, status


async def test_a_node_shuts_down_by_levels_and_its_coordinator_ends_last(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        [third] = [each["id"] for each in before["nodes"] if each["role"] == "available"]
        since, _ = await leave(live, cluster, third)
        ran = since.callbacks(third, function="shutdown")
        assert (ran[0]["level"], ran[0]["service"]) == (2, "stepped")
        assert sorted((row["level"], row["service"]) for row in ran[1:]) == [(1, "attendant"), (1, "stepped")]
        kinds = [event["event"]["event"] for event in since.events(third)]
        completed = [e["event"]["level"] for e in since.of_kind("LevelCompleted", third, function="shutdown")]
        assert completed == [2, 1]
        assert kinds[-1] == "NodeStopped"
        log = live.layout.log(third).read_text()
        assert "agent: ended in order" in log
        assert "the node has ended (exit code 0)" in log.rpartition("agent: ended in order")[2]
        live.start_node(third)
        after = await live.whole(cluster, members=3)
        assert (after["term"], after["master"], after["vice"]) == (
            before["term"],
            before["master"],
            before["vice"],
        )


async def test_the_master_switches_over_before_it_shuts_down(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since, _ = await leave(live, cluster, before["master"])
        [elected] = await since.some(1, "MasterElected")
        assert (elected["event"]["how"], elected["event"]["node"]) == ("switchover", before["vice"])
        functions = [row["function"] for row in since.callbacks(before["master"], service="stepped")]
        assert functions == ["switchover"] * 3 + ["shutdown"] * 2
        assert since.of_kind("ClaimBegan") == []
        live.start_node(before["master"])
        await live.whole(cluster, members=3)


async def test_another_vice_comes_in_when_the_vice_shuts_down(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        [third] = [each["id"] for each in before["nodes"] if each["role"] == "available"]
        since, _ = await leave(live, cluster, before["vice"])
        after = await live.whole(cluster)
        assert (after["master"], after["vice"]) == (before["master"], third)
        assert after["term"] == before["term"]
        [dropped] = await since.some(1, "ViceDropped")
        assert "leaves in order" in dropped["event"]["cause"]
        live.start_node(before["vice"])
        await live.whole(cluster, members=3)


# ---- always ----


async def test_services_are_kept_up_to_date_with_what_the_coordinator_learns(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        [third] = [each["id"] for each in before["nodes"] if each["role"] == "available"]
        await cluster.names.bind("printer", endpoint="127.0.0.1:631", lifetime=f"node:{third}")
        await cluster.control("switchover", reason="a local service is told")
        await wait_for(
            lambda: {told["node"] for told in primaries(live)} == {before["vice"]},
            "the local services know it",
        )
        await live.whole(cluster, members=3)
        # a centralized service is told: what is tied to the node ends with it
        await leave(live, cluster, third)

        async def bound() -> bool:
            try:
                await cluster.names.resolve("printer")
            except NameNotFound:
                return False
            return True

        deadline_s = time.monotonic() + 40
        while await bound():
            assert time.monotonic() < deadline_s, "the name of a node that has left stays bound"
            await asyncio.sleep(0.05)
        live.start_node(third)
        await live.whole(cluster, members=3)


async def test_callbacks_may_refuse_are_told_why_they_run_and_are_not_waited_for_for_ever(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        since = Since(live)
        set_flag(live, "refuse", True)
        with pytest.raises(OperationFailed) as refused:
            await cluster.control("switchover", reason="a try", deadline_s=40)
        set_flag(live, "refuse", False)
        assert "stepped.change at level 1" in refused.value.message
        assert "the till is open" in refused.value.message
        assert "the books are not closed" in refused.value.message
        ran = since.callbacks(before["master"])
        assert {(row["peer"], row["deadline_s"]) for row in ran} == {(before["vice"], 5.0)}
        told = [(row["level"], row["cause"]) for row in ran]  # and what had completed was undone, in reverse
        assert told == [*((n, "a try") for n in (3, 2, 1)), (2, "undone: a try"), (3, "undone: a try")]
        after = await live.whole(cluster, members=3)
        assert (after["term"], after["master"]) == (before["term"], before["master"])
        assert await cluster.service("stepped").mark(name="it goes on") > 0
        await waits_for_whom(live, cluster, before)


async def waits_for_whom(live: Live, cluster: Cluster, before: dict[str, Any]) -> None:
    """A callback that hangs is shown by the status while it does, and given up at its deadline."""
    set_flag(live, "hang", True)
    asked = asyncio.ensure_future(cluster.control("switchover", reason="a long try", deadline_s=40))
    shown = await live.status(
        cluster,
        lambda s: any((n["function"], n["level"]) == ("switchover", 1) for n in s["nodes"]),
        "the status tells of the level in progress",
    )
    [each] = [each for each in shown["nodes"] if each["id"] == before["master"]]
    assert each["waiting"] == ["stepped.change"]
    set_flag(live, "hang", False)
    with pytest.raises(OperationFailed, match=r"stepped\.change.*longer than 5 s|timeout"):
        await asked
    after = await live.whole(cluster, members=3)
    assert (after["term"], after["master"]) == (before["term"], before["master"])


def alone(status: dict[str, Any]) -> bool:
    """Tell if the master counts nobody else as there (who is thought to be there may be appointed at any moment)."""
    return all(n["role"] == "out" for n in status["nodes"] if n["id"] != status["master"])


async def test_a_refusal_lists_all_reasons_and_a_dry_run_gives_the_same_answer(live: Live) -> None:
    async with live.client() as cluster:
        before = await live.whole(cluster, members=3)
        assert (await cluster.control("switchover", dry_run=True))["possible"]
        others = [node for node in live.layout.nodes() if node != before["master"]]
        for node in others:
            await asyncio.to_thread(nodes.end, live.layout, [node])
        await live.status(
            cluster,
            lambda s: s["in_service"] and s["vice"] is None and alone(s),
            "the master is alone, and knows it",
        )
        answers = []
        for dry_run in (True, False):
            with pytest.raises(Refused) as refusal:
                await cluster.control("switchover", to="n9", dry_run=dry_run, reason="no")
            answers.append(refusal.value.reasons)
        assert answers[0] == answers[1]
        assert len(answers[0]) == 2
        assert any("n9 is no eligible node" in reason for reason in answers[0])
        assert any("there is no vice" in reason for reason in answers[0])
        assert (await cluster.control("status"))["term"] == before["term"]
        for node in others:
            live.start_node(node)
        await live.whole(cluster, members=3)


async def test_no_acknowledged_write_is_lost_or_doubled_by_switchover_and_failover(live: Live) -> None:
    async with live.client() as cluster:
        await live.whole(cluster, members=3)
        first = len(await cluster.service("stepped").query.marks())
        writing = asyncio.ensure_future(write(cluster, 300))
        await asyncio.sleep(0.1)
        await cluster.control("switchover", reason="under load")
        await crash_master(live, cluster)
        lengths = await writing
        marks = (await cluster.service("stepped").query.marks())[first:]
        assert marks == [f"w{number}" for number in range(300)]
        assert lengths == list(range(first + 1, first + 301))
