"""The client against a small cluster in the test's process, over real streams: calls, queries, failover,
closing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import primacy
from primacy.client.cluster import Cluster
from primacy.errors import Busy, ConfigError, Deadline, NoPrimary, OperationFailed, Refused, StreamClosed
from primacy.machines.client_calls import OUTSTANDING_MAX
from tests.unit.cgtp_tools import until
from tests.unit.client_tools import FakeCluster


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path) as fake:
        yield fake


@pytest.fixture
async def cluster(fake: FakeCluster) -> AsyncIterator[Cluster]:
    async with primacy.connect(fake.directory) as cluster:
        yield cluster


async def test_an_operation_and_a_query(cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    assert await inventory.add(article="bolt", count=3, deadline_s=5) == 3
    assert await cluster.call("inventory", "add", article="bolt") == 4
    assert await inventory.query.stock(article="bolt") == 4
    assert await cluster.query("inventory", "stock", article="bolt", confirm=True) == 4
    assert cluster.topology.master == "n1"


async def test_many_calls_at_once_share_one_session(fake: FakeCluster, cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    results = await asyncio.gather(*[inventory.add(article="nut") for _ in range(500)])
    assert sorted(results) == list(range(1, 501))
    assert len(fake.replica().sessions) == 1


async def test_what_an_operation_raises_is_raised_at_the_caller(cluster: Cluster) -> None:
    with pytest.raises(OperationFailed) as caught:
        await cluster.call("inventory", "add", article="bolt", count=-1)
    assert (caught.value.kind, caught.value.message) == ("ValueError", "count -1: not negative")


async def test_an_unknown_operation_and_bad_arguments_are_refused_by_name(cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    with pytest.raises(Refused, match=r"inventory\.remove: no operation 'remove'"):
        await inventory.remove(article="bolt")
    with pytest.raises(Refused, match="articel"):
        await inventory.add(articel="bolt")
    with pytest.raises(Refused, match="no query"):
        await inventory.query.nothing()


async def test_too_large_arguments_are_refused_before_they_are_sent(
    fake: FakeCluster, cluster: Cluster
) -> None:
    with pytest.raises(Refused, match="at most 262144"):
        await cluster.call("inventory", "add", article="x" * 300_000)
    assert fake.replica().executed == 0


async def test_calls_are_held_over_a_switchover_and_then_executed_once(
    fake: FakeCluster, cluster: Cluster
) -> None:
    inventory = cluster.service("inventory")
    await inventory.add(article="bolt")
    fake.quiesce()
    await until(lambda: not cluster.statistics()["inventory"]["target"], "nobody serves")
    calls = [asyncio.ensure_future(inventory.add(article="bolt")) for _ in range(20)]
    asked = asyncio.ensure_future(inventory.query.stock(article="bolt"))
    await asyncio.sleep(0)
    assert fake.replica().executed == 1
    fake.elect("n2")
    assert sorted(await asyncio.gather(*calls)) == list(range(2, 22))
    assert 1 <= await asked <= 21
    assert fake.replica().executed == 21
    assert cluster.topology.master == "n2"


async def test_calls_whose_replies_were_lost_are_repeated_and_not_executed_again(
    fake: FakeCluster, cluster: Cluster
) -> None:
    inventory = cluster.service("inventory")
    await inventory.add(article="bolt")
    fake.host("n1").silent = True
    calls = [asyncio.ensure_future(inventory.add(article="bolt")) for _ in range(50)]
    await until(lambda: fake.replica().executed == 51, "all are executed, none is answered")
    fake.host("n1").die()
    fake.elect("n2")
    assert sorted(await asyncio.gather(*calls)) == list(range(2, 52))
    assert fake.replica().executed == 51


async def test_a_frozen_primary_is_left_as_soon_as_another_serves(
    fake: FakeCluster, cluster: Cluster
) -> None:
    inventory = cluster.service("inventory")
    await inventory.add(article="bolt")
    fake.host("n1").deaf = True
    call = asyncio.ensure_future(inventory.add(article="bolt"))
    await until(lambda: len(fake.host("n1").received) == 3, "the frozen host has the call")
    fake.elect("n2")
    assert await call == 2
    assert cluster.statistics()["inventory"]["term"] == 2


async def test_a_host_that_starts_again_at_its_place_is_found_again(
    fake: FakeCluster, cluster: Cluster
) -> None:
    inventory = cluster.service("inventory")
    await inventory.add(article="bolt")
    fake.host("n1").die()
    call = asyncio.ensure_future(inventory.add(article="bolt"))
    await fake.host("n1").start()
    assert await call == 2


async def test_a_service_that_moves_is_followed(fake: FakeCluster, cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    await inventory.add(article="bolt")
    host = fake.host("n1")
    host.die()
    host.addresses = [("127.0.0.1", 0), ("127.0.0.2", 0)]
    await host.start()
    fake.tell()
    assert await inventory.add(article="bolt") == 2


async def test_a_deadline_tells_what_is_known(fake: FakeCluster, cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    await inventory.add(article="bolt")
    fake.host("n1").deaf = True
    with pytest.raises(Deadline) as sent:
        await inventory.add(article="bolt", deadline_s=0.05)
    assert sent.value.maybe_applied
    with pytest.raises(Deadline) as asked:
        await inventory.query.stock(article="bolt", deadline_s=0.05)
    assert not asked.value.maybe_applied
    with pytest.raises(NoPrimary, match="no host of the service answers"):
        await cluster.call("inventry", "add", deadline_s=0.05)


async def test_a_cancelled_call_is_not_sent_any_more(fake: FakeCluster, cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    await inventory.add(article="bolt")
    fake.quiesce()
    await until(lambda: not cluster.statistics()["inventory"]["target"], "nobody serves")
    call = asyncio.ensure_future(inventory.add(article="bolt"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: cluster.statistics()["inventory"]["calls"] == 0, "the call is forgotten")
    fake.elect("n2")
    assert await inventory.add(article="bolt") == 2


async def test_more_calls_than_a_session_can_hold_are_busy(fake: FakeCluster, cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    fake.quiesce()
    calls = [asyncio.ensure_future(inventory.add(article="bolt")) for _ in range(OUTSTANDING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await inventory.add(article="bolt")
    fake.elect("n1")
    assert len(await asyncio.gather(*calls)) == OUTSTANDING_MAX


async def test_a_watch_goes_on_over_a_failover_without_a_gap(fake: FakeCluster, cluster: Cluster) -> None:
    inventory = cluster.service("inventory")
    watch = cluster.watch("inventory", "b")
    await until(lambda: fake.host("n1").watches, "the watch has begun")
    for _ in range(3):
        await inventory.add(article="bolt")
        await inventory.add(article="nut")
    fake.elect("n2")
    for _ in range(3):
        await inventory.add(article="bolt")
    items = [await anext(watch) for _ in range(6)]
    assert [item[2] for item in items if item] == [bytes([count]) for count in range(1, 7)]
    await watch.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)
    await until(lambda: not fake.host("n2").watches, "the host was told")


async def test_on_change_tells_each_topology(fake: FakeCluster, cluster: Cluster) -> None:
    told: list[str] = []
    end = cluster.on_change(lambda topology: told.append(topology.master))
    fake.elect("n2")
    await until(lambda: "n2" in told, "the change is told")
    end()
    count = len(told)
    fake.elect("n1")
    await until(lambda: cluster.topology.master == "n1", "the client knows")
    assert len(told) == count


async def test_closing_ends_the_sessions_in_order(fake: FakeCluster) -> None:
    async with primacy.connect(fake.directory) as cluster:
        await cluster.call("inventory", "add", article="bolt")
        (session,) = fake.replica().sessions
    await until(lambda: fake.replica().ended == [session], "the session has ended")
    with pytest.raises(StreamClosed):
        await cluster.call("inventory", "add", article="bolt")
    await cluster.close()


async def test_closing_ends_what_waits(fake: FakeCluster) -> None:
    async with primacy.connect(fake.directory) as cluster:
        await cluster.call("inventory", "add", article="bolt")
        fake.host("n1").deaf = True
        call = asyncio.ensure_future(cluster.call("inventory", "add", article="bolt"))
        watch = cluster.watch("inventory")
        await until(lambda: len(fake.host("n1").received) >= 4, "both are sent")
    with pytest.raises(Deadline, match="the client was closed") as caught:
        await call
    assert caught.value.maybe_applied
    with pytest.raises(StreamClosed):
        await anext(watch)


async def test_agents_that_nobody_answers_for_are_named(tmp_path: Path) -> None:
    async with FakeCluster(tmp_path) as fake:
        for agent in fake.agents.values():
            agent.die()
        with pytest.raises(NoPrimary, match=r"127\.0\.0\.1:\d+: .*127\.0\.0\.2:\d+: "):
            async with primacy.connect(tmp_path, deadline_s=0.3):
                pass


async def test_endpoints_and_credential_come_together(fake: FakeCluster) -> None:
    endpoints = [[f"{host}:{port}" for host, port in fake.agents["n2"].addresses]]
    credential = fake.client.certificate.parent
    async with primacy.connect(endpoints=endpoints, credential=credential) as cluster:
        assert await cluster.call("inventory", "add", article="bolt") == 1
    with pytest.raises(ConfigError, match="without credential"):
        primacy.connect(endpoints=endpoints)


async def test_the_recorder_is_given_every_call_with_its_end(fake: FakeCluster) -> None:
    records: list[primacy.client.CallRecord] = []
    async with primacy.connect(fake.directory, on_call=records.append) as cluster:
        inventory = cluster.service("inventory")
        await inventory.add(article="bolt")
        await inventory.query.stock(article="bolt")
        with pytest.raises(OperationFailed):
            await inventory.add(article="bolt", count=-1)
        fake.host("n1").deaf = True
        with pytest.raises(Deadline):
            await inventory.add(article="bolt", deadline_s=0.05)
    assert [(record.operation, record.query, record.outcome, record.maybe_applied) for record in records] == [
        ("add", False, "done", False),
        ("stock", True, "done", False),
        ("add", False, "OperationFailed", False),
        ("add", False, "Deadline", True),
    ]
    first = records[0]
    assert first.invoked_ns <= first.sent_ns <= first.completed_ns
    assert (first.arguments, first.value, first.term, first.sends) == ({"article": "bolt"}, 1, 1, 1)
