"""Agents in one process: real nodes, real sockets, a ledger in memory; a guardian and hosts played over socket pairs.

The guardian takes orders by the real parser and hands out real lease pages; its hosts open, run, quiesce and stop
as told. Nothing is patched and nothing waits but for conditions.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

from primacy import channel, guardian_message, guardian_page
from primacy.agent.control import Control
from primacy.agent.guardian_link import GuardianLink
from primacy.agent.node import Node
from primacy.boot import Boot
from primacy.boot import Link as BootLink
from primacy.cgtp.stream import Identity, Listener, Stream, dial
from primacy.cgtp.tls import client_context, cluster_of, server_context
from primacy.config import Table, build
from primacy.lease_page import LeasePage
from primacy.ledger.memory import MemoryLedger, Store
from primacy.machines import control_wire, host_wire
from tests.unit.cgtp_tools import Credentials, until

CLUSTER = "test"
KEY = b"k" * 32
_addresses = count(1)


def free_addresses(number: int) -> list[str]:
    """Loopback addresses that nobody else uses: every one of 127.0.0.0/8 can be bound, and few are."""
    pid = os.getpid()
    return [f"127.{64 + (pid >> 8) % 128}.{pid % 256}.{next(_addresses) % 254 + 1}" for _ in range(number)]


class PlayedHost:
    """One host process, as far as its agent can tell. `silent`: it reads and says nothing."""

    def __init__(self, guardian: PlayedGuardian, service: str, fd: int, silent: bool) -> None:
        self.service, self.silent = service, silent
        self.said: list[host_wire.ToHost] = []
        self.page: LeasePage | None = None
        self.page_terms: list[int] = []
        self.callbacks: list[host_wire.Callback] = guardian.callbacks.get(service, [])
        self._guardian = guardian
        self.channel = channel.from_fd(fd)
        self.channel.attach(asyncio.get_running_loop(), self._read, lambda: None)

    def heard(self, kind: type) -> list[Any]:
        """What the agent has said, of one kind."""
        return [m for m in self.said if isinstance(m, kind)]

    def say(self, message: host_wire.ToAgent) -> None:
        """Tell the agent something."""
        self.channel.send(host_wire.encode(message))

    def close(self) -> None:
        """The process is gone."""
        self.channel.close()
        if self.page is not None:
            self.page.close()
            self.page = None

    def _read(self, data: bytes, fds: list[int]) -> None:
        message = host_wire.decode_to_host(data)
        self.said.append(message)
        if fds and isinstance(message, host_wire.Assign):
            if self.page is not None:
                self.page.close()
            self.page = LeasePage(fds[0], writable=False)
            self.page_terms.append(message.term)
        channel.close_all(fds)
        if not self.silent:
            self._answer(message)

    def _answer(self, message: host_wire.ToHost) -> None:
        match message:
            case host_wire.Open(service=service):
                self.say(host_wire.Opened(service, self.callbacks, 0, 0))
            case host_wire.Run(id=run):
                self.say(host_wire.Ran(run, "done"))
            case host_wire.Appoint(term=term, appointment=appointment):
                self.say(host_wire.Joined(term, appointment, 0))
            case host_wire.Quiesce(term=term):
                self.say(host_wire.Quiesced(term, 0, 0))
            case host_wire.Ping(number=number):
                self.say(host_wire.Pong(number))
            case host_wire.Stop():
                self.say(host_wire.Stopped(0, 0))
                asyncio.get_running_loop().call_soon(self._guardian.exit, self.service)


class PlayedGuardian:
    """The guardian's end of an agent's channel. `orders`: all that was asked for, parsed."""

    def __init__(self) -> None:
        ours, theirs = channel.pair()
        self.fd = theirs.detach()
        self.channel = channel.Channel(ours)
        self.orders: list[guardian_message.Order] = []
        self.hosts: dict[str, PlayedHost] = {}
        self.silent: set[str] = set()  # services whose hosts say nothing
        self.callbacks: dict[str, list[host_wire.Callback]] = {}
        self.pages = guardian_page.Pages()
        self.holds_pages = False  # keep page orders back, until `give_pages`
        self.waiting: deque[guardian_message.MakePage] = deque()
        self.obituaries: list[Any] = []
        self.stopped = self.lost = False
        self._pids = count(1000)

    def attach(self) -> None:
        """Begin to read on the running loop."""
        self.channel.attach(asyncio.get_running_loop(), self._read, self._agent_gone)

    def took(self, kind: type) -> list[Any]:
        """The orders of one kind."""
        return [o for o in self.orders if isinstance(o, kind)]

    def say(self, kind: str, **fields: object) -> None:
        """Tell the agent something."""
        self.channel.send(guardian_message.encode(kind, **fields))

    def exit(self, service: str, code: int = 0) -> None:
        """A host's process ends: what it said before arrives before."""
        host = self.hosts.pop(service, None)
        if host is not None:
            host.close()
            self.channel.send(guardian_message.exited(f"host-{service}", 1, code, ""))

    def give_pages(self) -> None:
        """Hand out the pages that were held back."""
        self.holds_pages = False
        while self.waiting:
            self._give(self.waiting.popleft())

    def close(self) -> None:
        """End everything."""
        for host in self.hosts.values():
            host.close()
        self.hosts.clear()
        self.pages.drop_all()
        self.channel.close()

    def _agent_gone(self) -> None:
        self.lost = True

    def _give(self, order: guardian_message.MakePage) -> None:
        answer = guardian_message.encode("page", service=order.service, term=order.term)
        self.channel.send(answer, [self.pages.fd(order.service, order.term)])

    def _read(self, data: bytes, fds: list[int]) -> None:
        order = guardian_message.parse(data, len(fds))
        self.orders.append(order)
        match order:
            case guardian_message.Spawn(name=name):
                service = name.removeprefix("host-")
                self.hosts[service] = PlayedHost(self, service, os.dup(fds[0]), service in self.silent)
                self.say("spawned", name=name, pid=next(self._pids))
            case guardian_message.Kill(name=name):
                self.exit(name.removeprefix("host-"), -9)
            case guardian_message.MakePage() if self.holds_pages:
                self.waiting.append(order)
            case guardian_message.MakePage():
                self._give(order)
            case guardian_message.DropPage(service=service, term=term):
                self.pages.drop(service, term)
            case guardian_message.Hold(items=items):
                self.obituaries = items
            case guardian_message.Stop():
                self.stopped = True
        channel.close_all(fds)


class Running:
    """One node with all that belongs to its process."""

    def __init__(self, site: Site, node: str) -> None:
        self.guardian = PlayedGuardian()
        self.link = GuardianLink(self.guardian.fd)
        self.lost: list[bool] = []
        self.link.attach(asyncio.get_running_loop(), lambda: self.lost.append(True))
        self.guardian.attach()
        self.troubles: list[str] = []
        self.link.on_trouble = self.troubles.append
        files = site.credentials.node(node)
        self._server = server_context(files)
        self.listener = Listener()
        self.table = site.table
        self.boot = site.boot(node)
        self.node = Node(
            self.boot, site.table, cluster_of(self._server), site.table.entries(), MemoryLedger(site.store),
            self.link, client_context(files), KEY,
        )  # fmt: skip
        self.control = Control(self.node)

    async def start(self) -> Running:
        """Listen, and begin."""
        addresses = self.table.agent_addresses(self.node.me.node)
        await self.listener.start(addresses, self._server, self._accept)
        self.node.on_link = self.listener.set_link
        self.node.start()
        return self

    def _accept(self, stream: Stream) -> None:
        (self.node.peers if stream.peer.kind == "node" else self.control).accept(stream)

    @property
    def serves(self) -> bool:
        """Whether this node is a master that serves its term."""
        node = self.node
        return node.monitor.role == "master" and node.coordinator.serving.own_term == node.monitor.term

    async def close(self) -> None:
        """The process ends."""
        self.control.close()
        self.listener.close()
        await self.node.close()
        await self.listener.wait_closed()
        self.link.close()
        self.guardian.close()


class Caller:
    """An operator at one agent."""

    def __init__(self, site: Site, node: str) -> None:
        tls = client_context(site.credentials.client("admin"))
        self.stream = dial(site.table.agent_addresses(node), tls, Identity("node", node))
        self.stream.on_frames(self._read)
        self.told: list[Any] = []
        self._ids = count(1)

    def _read(self, frames: list[bytes]) -> None:
        self.told += [control_wire.decode_to_caller(frame) for frame in frames]

    def of(self, kind: type) -> list[Any]:
        """What was told, of one kind."""
        return [m for m in self.told if isinstance(m, kind)]

    def send(self, verb: str, arguments: dict[str, Any]) -> int:
        """Send a request; return its id."""
        number = next(self._ids)
        self.stream.send(control_wire.encode(control_wire.Request(number, verb, arguments)))
        return number

    async def ask(self, verb: str, **arguments: Any) -> control_wire.Response:
        """Send a request; return its one answer."""
        number = self.send(verb, arguments)

        def answers() -> list[control_wire.Response]:
            return [m for m in self.of(control_wire.Response) if m.id == number]

        await until(answers, f"an answer to {verb}")
        (answer,) = answers()
        return answer


class Site:
    """A cluster in one process."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 1,
        links: int = 1,
        services: dict[str, Any] | None = None,
        record: str = "",
    ) -> None:
        self.directory, self.record = directory, record
        self.credentials = Credentials(directory, CLUSTER)
        self.store = Store(CLUSTER)
        rows = {f"n{i + 1}": {"links": free_addresses(links)} for i in range(nodes)}
        plain = {"cluster": {"profile": "lan"}, "nodes": rows, "services": services or {}}
        self.table: Table = build(plain, "test")
        self.running: dict[str, Running] = {}
        self.callers: list[Caller] = []

    def boot(self, node: str) -> Boot:
        """The node's boot parameters."""
        files = self.credentials.node(node)
        links = tuple(BootLink(*address) for address in self.table.agent_addresses(node))
        key = self.directory / "cluster.key"
        key.write_text(KEY.hex())
        return Boot(
            node=node, directory=str(self.directory / node), ledger="memory://test", links=links,
            cluster_key=str(key), authority=str(files.authority), certificate=str(files.certificate),
            private_key=str(files.key), stop_grace_s=5.0, sources={}, record=self.record,
        )  # fmt: skip

    def add(self, node: str) -> Running:
        """Make a node that has not begun."""
        (self.directory / node).mkdir(exist_ok=True)
        self.running[node] = Running(self, node)
        return self.running[node]

    async def serve(self) -> Running:
        """Start every node of the table; return the master once it serves (and has a ready vice, of several)."""
        for node in self.table.nodes:
            if node not in self.running:
                self.add(node)
        for running in self.running.values():
            await running.start()
        await until(lambda: self.master, "a master serves")
        if len(self.running) > 1:
            await until(lambda: self.master and self.master.node.facts().vice_ready, "a vice is ready")
        assert self.master is not None
        hosts = self.master.guardian.hosts
        await until(lambda: hosts["naming"].heard(host_wire.Serve), "its host was told to serve")
        return self.master

    @property
    def master(self) -> Running | None:
        """The node that serves, if there is one."""
        return next((r for r in self.running.values() if r.serves), None)

    def caller(self, node: str) -> Caller:
        """An operator at this node."""
        caller = Caller(self, node)
        self.callers.append(caller)
        return caller

    async def close(self) -> None:
        """End everything, operators first."""
        for caller in self.callers:
            caller.stream.close()
            await caller.stream.wait_closed()
        for running in self.running.values():
            await running.close()
        for running in self.running.values():
            await until(lambda r=running: not r.listener.connections, "all connections are gone")


def block(ms: float) -> None:
    """Keep the loop from running for a while: what a busy machine does to an agent."""
    time.sleep(ms / 1e3)
