"""The blocking twin, against a small cluster that runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import primacy
from primacy.errors import ConfigError, NameNotFound, OperationFailed
from primacy.services.naming import Naming
from tests.unit.client_tools import FakeCluster, Inventory


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeCluster]:
    fake = FakeCluster(tmp_path, {"inventory": Inventory, "naming": Naming})
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        async with fake:
            loops.append(asyncio.get_running_loop())
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(10)
    yield fake
    loops[0].call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def cluster(fake: FakeCluster) -> Iterator[Any]:
    with primacy.connect_sync(fake.directory) as cluster:
        yield cluster


def test_operations_queries_and_errors(cluster: Any) -> None:
    inventory = cluster.service("inventory")
    assert inventory.add(article="bolt", count=3) == 3
    assert inventory.query.stock(article="bolt") == 3
    assert cluster.call("inventory", "add", article="bolt", deadline_s=5) == 4
    with pytest.raises(OperationFailed, match="count -1"):
        inventory.add(article="bolt", count=-1)
    with pytest.raises(TypeError):
        inventory.add("bolt")
    assert cluster.topology.master == "n1"
    assert cluster.control("ping") == "n1"


def test_names_and_a_watch_as_a_plain_iterator(cluster: Any) -> None:
    cluster.names.bind("a/1", endpoint="one")
    changes = cluster.names.watch("a")
    assert next(changes).name == "a/1"
    cluster.names.bind("a/2", endpoint="two")
    assert next(changes).entry.endpoint == "two"
    changes.close()
    assert [entry.name for entry in cluster.names.list("a")] == ["a/1", "a/2"]
    with pytest.raises(NameNotFound):
        cluster.names.resolve("b")


def test_several_threads_share_a_cluster(fake: FakeCluster, cluster: Any) -> None:
    inventory = cluster.service("inventory")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: inventory.add(article="nut"), range(100)))
    assert sorted(results) == list(range(1, 101))
    assert len(fake.replica().sessions) == 1


def test_what_cannot_be_found_is_told_before_anything_stays_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(ConfigError), primacy.connect_sync(tmp_path / "nowhere"):
        pass
    assert threading.active_count() == before


def test_before_it_is_entered_it_says_so(fake: FakeCluster) -> None:
    with pytest.raises(AttributeError, match="enter the cluster first"):
        primacy.connect_sync(fake.directory).service("inventory")


async def test_it_works_where_another_loop_is_running(fake: FakeCluster) -> None:
    with primacy.connect_sync(fake.directory) as cluster:
        assert cluster.service("inventory").add(article="bolt") == 1
