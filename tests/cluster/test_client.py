"""The client against real hosts: kills, freezes and switchovers under load; nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import primacy
from primacy.cgtp.tls import TlsFiles
from primacy.client import settings
from primacy.client.cluster import Cluster
from primacy.errors import NameNotFound
from primacy.machines import host_wire
from primacy.machines.control_wire import NodeEntry, Topology
from tests.cluster.hosts import ROOT, Host, Hosts, wait_for
from tests.unit.client_tools import FakeAgent

WORKERS = 64


class Town:
    """Real hosts, and an agent that says where they are."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.term, self.master = 1, "a"
        self.credentials = self
        self.agent = FakeAgent(self, "a")  # type: ignore[arg-type]
        self.places: dict[str, Host] = {}

    def node(self, name: str) -> TlsFiles:
        """Return a node's files (as `Credentials` does)."""
        return self.hosts.files[name]

    def topology(self) -> Topology:
        entries = [
            NodeEntry(node, True, self.agent.addresses, {self.hosts.service: host.addresses})
            for node, host in self.places.items()
        ]
        return Topology("test", self.term, self.master, "", True, entries)

    async def start(self) -> tuple[Host, Host]:
        """Start a pair, `a` the primary of term 1 with `b` as its ready secondary."""
        await self.agent.start()
        a, b = await self.hosts.start("a"), await self.hosts.start("b")
        self.places = {"a": a, "b": b}
        await self.hosts.alone(a, 1)
        await self.hosts.join(a, b, 1)
        for host in (a, b):
            host.say(host_wire.Members(["a", "b"]))
        files = self.hosts.authority.issue_client(self.hosts.directory / "keys", "local")
        endpoints = [[f"{address}:{port}" for address, port in self.agent.addresses]]
        content = settings.ClientFile(
            "test", endpoints, str(files.certificate), str(files.key), str(files.authority)
        )
        settings.write(self.hosts.directory / settings.FILE, content)
        return a, b

    async def take_over(self, host: Host, term: int) -> None:
        """Let a host serve alone, as after a failover."""
        self.term, self.master = term, host.node
        await self.hosts.alone(host, term)
        self.agent.tell()

    async def close(self) -> None:
        for stream in list(self.agent.streams):
            stream.close("the test is over")
            await stream.wait_closed()
        self.agent.die()
        self.hosts.close()


@asynccontextmanager
async def town(directory: Path, service: str, target: str) -> AsyncIterator[tuple[Town, Host, Host]]:
    made = Town(Hosts(directory, service, target))
    try:
        yield made, *await made.start()
    finally:
        await made.close()


class Load:
    """Workers that add one at a time, for ever; each result is a number that nobody else got."""

    def __init__(self, cluster: Cluster) -> None:
        self.inventory = cluster.service("inventory")
        self.results: list[int] = []
        self.slowest_s = 0.0
        self.stopped = False
        self.tasks = [asyncio.ensure_future(self.work()) for _ in range(WORKERS)]

    async def work(self) -> None:
        while not self.stopped:
            began = time.monotonic()
            self.results.append(await self.inventory.add(article="bolt", count=1))
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    async def more(self, count: int) -> None:
        """Wait until so many more calls were answered."""
        upto = len(self.results) + count
        await wait_for(
            lambda: len(self.results) >= upto or any(task.done() for task in self.tasks), "calls go on"
        )

    async def check(self) -> None:
        """Stop, and see that every call was executed exactly once."""
        self.stopped = True
        await asyncio.gather(*self.tasks)
        assert sorted(self.results) == list(range(1, len(self.results) + 1))
        assert await self.inventory.query.stock(article="bolt") == len(self.results)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Town, Host, Host]]:
    async with town(tmp_path, "inventory", "examples/inventory.py:Inventory") as made:
        yield made


async def test_a_killed_primary_costs_no_call(pair: tuple[Town, Host, Host]) -> None:
    made, a, b = pair
    async with primacy.connect(made.hosts.directory) as cluster:
        load = Load(cluster)
        await load.more(2000)
        a.kill()
        await made.take_over(b, 2)
        await load.more(2000)
        await load.check()
        assert cluster.statistics()["inventory"]["target"] == "b"
        assert cluster.statistics()["inventory"]["resent"] > 0


async def test_a_frozen_primary_costs_no_call_and_answers_nothing_when_it_thaws(
    pair: tuple[Town, Host, Host],
) -> None:
    made, a, b = pair
    async with primacy.connect(made.hosts.directory) as cluster:
        load = Load(cluster)
        await load.more(2000)
        a.kill(signal.SIGSTOP)
        assert a.page is not None
        a.page.revoke()
        await made.take_over(b, 2)
        await load.more(1000)
        a.kill(signal.SIGCONT)
        await load.more(1000)
        await load.check()


async def test_switchovers_hold_calls_and_refuse_none(pair: tuple[Town, Host, Host]) -> None:
    made, a, b = pair
    async with primacy.connect(made.hosts.directory) as cluster:
        load = Load(cluster)
        await load.more(1000)
        hosts = [a, b]
        for term in range(1, 6):
            load.slowest_s = 0.0
            await made.hosts.switch(hosts[0], hosts[1], term)
            await load.more(1000)
            assert load.slowest_s < 2.0
            hosts.reverse()
        await load.check()
        assert cluster.statistics()["inventory"]["term"] == 6


async def test_a_host_that_starts_again_in_its_place_is_found(pair: tuple[Town, Host, Host]) -> None:
    made, a, b = pair
    async with primacy.connect(made.hosts.directory) as cluster:
        inventory = cluster.service("inventory")
        assert await inventory.add(article="bolt", count=1) == 1
        b.kill()
        a.say(host_wire.Alone(1))
        assert await inventory.add(article="bolt", count=1) == 2
        a.kill()
        again = made.hosts.spawn("a", a.directory)
        again.port, again.addresses = a.port, a.addresses
        again.open()
        await again.hear(host_wire.Opened)
        call = asyncio.ensure_future(inventory.add(article="bolt", count=1))
        await made.take_over(again, 2)
        assert await call == 3


async def test_a_watch_of_names_misses_nothing_over_a_failover(tmp_path: Path) -> None:
    async with (
        town(tmp_path, "naming", "builtin:naming") as (made, a, b),
        primacy.connect(tmp_path) as cluster,
        primacy.connect(tmp_path) as other,
    ):
        seen: list[str] = []

        async def read() -> None:
            async for change in cluster.names.watch("a"):
                seen.append(change.name)

        await other.names.bind("a/0", endpoint=":0")
        reader = asyncio.ensure_future(read())
        await wait_for(lambda: seen == ["a/0"], "the watch begins with what is bound")
        for number in range(1, 100):
            await other.names.bind(f"a/{number}", endpoint=f":{number}")
            if number == 50:
                a.kill()
                await made.take_over(b, 2)
        await wait_for(lambda: len(seen) >= 100, "all changes have come")
        assert seen == [f"a/{number}" for number in range(100)]
        assert len(await cluster.names.list("a")) == 100
        reader.cancel()


BINDER = """
import asyncio, sys, primacy
async def main():
    async with primacy.connect(sys.argv[1]) as cluster:
        await cluster.names.bind("mine", endpoint=":1", lifetime="session")
        print("bound", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_names_of_a_dead_client_end_counted_anew_after_a_failover(tmp_path: Path) -> None:
    async with (
        town(tmp_path, "naming", "builtin:naming") as (made, a, b),
        primacy.connect(tmp_path) as cluster,
    ):
        binder = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", BINDER, str(tmp_path)),
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT / "src")},
        )
        assert binder.stdout is not None
        assert await binder.stdout.readline() == b"bound\n"
        binder.kill()
        await binder.wait()
        bound_until = asyncio.get_running_loop().time() + 5.0
        await until_later(bound_until, cluster)
        a.kill()
        await made.take_over(b, 2)
        await until_later(asyncio.get_running_loop().time() + 8.0, cluster)

        async def gone() -> bool:
            try:
                await cluster.names.resolve("mine")
            except NameNotFound:
                return True
            return False

        deadline = asyncio.get_running_loop().time() + 6.0
        while not await gone():
            assert asyncio.get_running_loop().time() < deadline, "the name of a dead client stays"
            await asyncio.sleep(0.05)


async def until_later(end_s: float, cluster: Any) -> None:
    """See that the name stays bound until then."""
    while asyncio.get_running_loop().time() < end_s:
        assert (await cluster.names.resolve("mine")).endpoint == ":1"
        await asyncio.sleep(0.1)
