"""Hosts as real processes, driven by a fake agent: nothing lost, nothing doubled, nothing answered unduly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.hosts import Hosts


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Hosts]:
    cluster = Hosts(tmp_path)
    yield cluster
    cluster.close()


async def test_alone(hosts: Hosts) -> None:
    a = await hosts.start("a")
    await hosts.alone(a, 1)
    client = await hosts.client(a)
    assert await client.call("add", article="bolt", count=3) == 3
    assert await client.query("stock", article="bolt") == 3
    stopped = await a.stop()
    assert stopped.sequence == 2


async def test_pair_and_failover(hosts: Hosts) -> None:
    a, b = await hosts.start("a"), await hosts.start("b")
    await hosts.alone(a, 1)
    client = await hosts.client(a)
    await client.call("add", article="bolt", count=3)
    await hosts.join(a, b, 1)
    assert await client.call("add", article="bolt", count=4) == 7
    a.kill()
    await hosts.alone(b, 2)
    await client.connect(b)
    await client.serving()
    client.replies.clear()
    client.submit("add", number=2, article="bolt", count=4)
    assert (await client.reply(2)).payload == b"\x07"
    assert await client.query("stock", article="bolt") == 7
