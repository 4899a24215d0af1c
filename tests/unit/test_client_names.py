"""Names through the client, with the real naming service behind a small cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import primacy
from primacy.client.cluster import Cluster
from primacy.client.names import NameChange
from primacy.errors import InvalidName, NameExists, NameNotFound
from primacy.machines.naming import Entry
from primacy.services.naming import Naming
from tests.unit.cgtp_tools import until
from tests.unit.client_tools import FakeCluster


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path, {"naming": Naming}) as fake:
        yield fake


@pytest.fixture
async def cluster(fake: FakeCluster) -> AsyncIterator[Cluster]:
    async with primacy.connect(fake.directory) as cluster:
        yield cluster


def told(change: NameChange) -> tuple[str, str | None, str | None]:
    """Return (name, endpoint now, endpoint before)."""
    return change.name, change.entry and change.entry.endpoint, change.before and change.before.endpoint


async def test_bind_resolve_rebind_unbind(cluster: Cluster) -> None:
    names = cluster.names
    version = await names.bind("a/b", endpoint="10.0.0.1:80", attributes={"weight": "2"})
    entry = await names.resolve("a/b", confirm=True)
    assert (entry.endpoint, entry.attributes, entry.lifetime, entry.version) == (
        "10.0.0.1:80",
        {"weight": "2"},
        None,
        version,
    )
    assert await names.rebind("a/b", endpoint="10.0.0.2:80") > version
    assert (await names.resolve("a/b")).endpoint == "10.0.0.2:80"
    await names.unbind("a/b")
    with pytest.raises(NameNotFound, match="'a/b' is not bound"):
        await names.resolve("a/b")
    with pytest.raises(NameNotFound):
        await names.unbind("a/b")


async def test_a_name_is_bound_once(cluster: Cluster) -> None:
    await cluster.names.bind("a", endpoint="x")
    with pytest.raises(NameExists, match="'a': bound already"):
        await cluster.names.bind("a", endpoint="y")
    assert (await cluster.names.resolve("a")).endpoint == "x"


async def test_what_breaks_a_rule_is_refused_here_and_there(fake: FakeCluster, cluster: Cluster) -> None:
    for attempt in (
        cluster.names.bind("a b", endpoint="x"),
        cluster.names.bind("a", endpoint="x", lifetime="long"),
        cluster.names.bind_many([Entry("a/", "x")]),
        cluster.names.list("a//b"),
    ):
        with pytest.raises(InvalidName):
            await attempt
    with pytest.raises(InvalidName):
        await anext(cluster.names.watch("/"))
    assert fake.replica("naming").executed == 0
    with pytest.raises(primacy.OperationFailed) as caught:
        await cluster.call("naming", "bind", name="a b", endpoint="x")
    assert caught.value.kind == "InvalidName"


async def test_a_list_is_direct_or_recursive(cluster: Cluster) -> None:
    for name in ("a/b", "a/c/d", "b"):
        await cluster.names.bind(name, endpoint=":1")
    assert [(e.name, e.directory) for e in await cluster.names.list()] == [("a", True), ("b", False)]
    assert [e.name for e in await cluster.names.list("a")] == ["a/b", "a/c"]
    assert [e.name for e in await cluster.names.list("a", recursive=True)] == ["a/b", "a/c/d"]


async def test_many_names_are_bound_in_few_operations(fake: FakeCluster, cluster: Cluster) -> None:
    long = {"aliases": "x" * 500}
    entries = [Entry(f"services/s{number}/tcp", f":{number}", long) for number in range(1200)]
    assert await cluster.names.bind_many(entries) == 1200
    assert 3 <= fake.replica("naming").executed <= 5
    assert len(await cluster.names.list("services", recursive=True)) == 1200
    with pytest.raises(NameExists, match="and 495 more"):
        await cluster.names.bind_many([Entry(f"services/s{n}/tcp", "") for n in range(500)])
    assert await cluster.names.bind_many(entries[:3], replace=True) == 3


async def test_names_of_a_session_end_when_the_client_closes(fake: FakeCluster, cluster: Cluster) -> None:
    async with primacy.connect(fake.directory) as other:
        await other.names.bind("mine", endpoint="x", lifetime="session")
        await other.names.bind("lasting", endpoint="x")
        assert (await cluster.names.resolve("mine")).lifetime == "session"
    assert [entry.name for entry in await cluster.names.list()] == ["lasting"]


async def test_a_watch_begins_with_what_is_bound_and_tells_each_change(cluster: Cluster) -> None:
    names = cluster.names
    await names.bind("a/1", endpoint="one")
    await names.bind("ab", endpoint="outside")
    watch = names.watch("a")
    assert told(await anext(watch)) == ("a/1", "one", None)
    await names.bind("a/2", endpoint="two")
    await names.bind("ac", endpoint="outside")
    await names.rebind("a/1", endpoint="uno")
    await names.unbind("a/2")
    await names.bind("a", endpoint="self")
    assert [told(await anext(watch)) for _ in range(4)] == [
        ("a/2", "two", None),
        ("a/1", "uno", "one"),
        ("a/2", None, "two"),
        ("a", "self", None),
    ]
    await watch.aclose()


async def test_a_watch_without_the_current_names_tells_only_changes(cluster: Cluster) -> None:
    await cluster.names.bind("a", endpoint="one")
    watch = cluster.names.watch(current=False)
    first = asyncio.ensure_future(anext(watch))
    await until(lambda: cluster.statistics()["naming"]["watches"] == 1, "the watch has begun")
    await until(lambda: cluster.statistics()["naming"]["queries"] == 0, "the names are listed")
    await cluster.names.rebind("a", endpoint="two")
    assert told(await first) == ("a", "two", "one")
    await watch.aclose()


async def test_a_watch_misses_nothing_over_a_failover(fake: FakeCluster, cluster: Cluster) -> None:
    watch = cluster.names.watch("a", current=False)
    seen: list[str] = []

    async def read() -> None:
        async for change in watch:
            seen.append(change.name)

    reader = asyncio.ensure_future(read())
    await until(lambda: fake.host("n1", "naming").watches, "the watch has begun")
    await cluster.names.bind("a/0", endpoint="x")
    await until(lambda: seen == ["a/0"], "the first change has come")
    async with primacy.connect(fake.directory) as other:
        for number in range(1, 60):
            await other.names.bind(f"a/{number}", endpoint="x")
            if number % 20 == 10:
                fake.elect("n2" if fake.master == "n1" else "n1")
    await until(lambda: len(seen) == 60, "all changes have come")
    assert seen == [f"a/{number}" for number in range(60)]
    reader.cancel()


async def test_where_events_are_gone_the_difference_is_told(fake: FakeCluster, cluster: Cluster) -> None:
    names = cluster.names
    await names.bind("a/1", endpoint="one")
    await names.bind("a/2", endpoint="two")
    watch = names.watch("a")
    assert [told(await anext(watch))[0] for _ in range(2)] == ["a/1", "a/2"]
    await names.rebind("a/2", endpoint="zwei")
    assert told(await anext(watch)) == ("a/2", "zwei", "two")
    fake.host("n1", "naming").watches.clear()  # what follows is not pushed
    await names.unbind("a/1")
    await names.rebind("a/2", endpoint="deux")
    await names.bind("a/3", endpoint="trois")
    fake.replica("naming").kept_from = len(fake.replica("naming").events)
    fake.elect("n2")
    assert [told(await anext(watch)) for _ in range(3)] == [
        ("a/1", None, "one"),
        ("a/2", "deux", "zwei"),
        ("a/3", "trois", None),
    ]
    await names.unbind("a/3")
    assert told(await anext(watch)) == ("a/3", None, "trois")
    await watch.aclose()
