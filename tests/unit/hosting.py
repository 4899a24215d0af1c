"""Servers of one service in this process: real journals, streams and pages; the agent's words by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from primacy import lease_page
from primacy.cgtp.authority import Authority
from primacy.host.core import Core, Policy
from primacy.host.primary import PrimaryServer
from primacy.host.secondary import SecondaryServer
from primacy.host.server import Server
from primacy.lease_page import LeasePage
from primacy.machines import call_wire
from primacy.machines.host_wire import Alone, Appoint, Assign, Joined, Open, Peer, Ready, Serve
from primacy.machines.ids import FOREVER_NS, Member
from primacy.service import OperationContext, Service, operation, query
from tests.cluster.hosts import free_port
from tests.unit.waiting import wait_until


class Count(msgspec.Struct):
    value: int = 0


class Counter(Service[Count]):
    """Counts, and tells of it."""

    @operation
    def add(self, ctx: OperationContext, by: int = 1) -> int:
        self.state.value += by
        ctx.publish("count", self.state.value)
        return self.state.value

    @query
    def value(self) -> int:
        return self.state.value


class Sink:
    """A client that is called directly: replies by number, answers by request."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.watches: dict[int, Any] = {}

    def send(self, frame: bytes) -> None:
        self.messages.append(call_wire.decode_to_client(frame))

    def flush(self) -> None: ...

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


class Place:
    """One server, what it told its agent, and its page."""

    def __init__(
        self, directory: Path, authority: Authority, node: str, durability: str, policy: Policy
    ) -> None:
        files = authority.issue_node(directory / "keys", node)
        port = free_port()
        self.addresses = [("127.0.0.1", port), ("127.0.0.2", port)]
        self.member = Member(node, node * 32)
        self.told: list[Any] = []
        self.failed: list[tuple[str, str]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.service = Counter()
        self.page: LeasePage
        opening = Open(
            "test", node, self.member.incarnation, "counter", "", "", str(directory / node), durability,
            self.addresses, str(files.certificate), str(files.key), str(files.authority),
        )  # fmt: skip
        self.server = Server(opening, self.service, self.told.append, self.fail, self.spawn, policy)

    def fail(self, kind: str, text: str) -> None:
        self.failed.append((kind, text))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        return task

    @property
    def peer(self) -> Peer:
        return Peer(self.member, self.addresses)

    @property
    def core(self) -> Core:
        return self.server._core

    @property
    def primary(self) -> PrimaryServer:
        assert self.server._primary is not None
        return self.server._primary

    @property
    def secondary(self) -> SecondaryServer:
        assert self.server._secondary is not None
        return self.server._secondary

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.told if isinstance(message, kind)]

    def assign(
        self, term: int, role: str, appointment: int = 0, peer: Place | None = None, in_step: bool = False
    ) -> None:
        fd = lease_page.create()
        self.page = LeasePage(fd)
        if role == "primary":
            self.page.valid_until_ns = FOREVER_NS
        else:
            self.page.ack_term = term
        self.server.heard(Assign(term, role, appointment, peer.peer if peer else None, in_step), [fd])

    async def serve(self, term: int) -> None:
        self.assign(term, "primary")
        await wait_until(lambda: self.server._primary, "it is primary")
        self.server.heard(Serve(term), [])

    async def call(self, sink: Sink, number: int, session: int, **arguments: Any) -> call_wire.Reply:
        before = len(sink.of(call_wire.Reply))
        payload = msgspec.msgpack.encode(arguments)
        self.primary.calls.call(sink, call_wire.Call(session, number, 0, "add", payload))
        self.primary.calls.arrived()
        await wait_until(lambda: len(sink.of(call_wire.Reply)) > before, "the call is answered")
        reply: call_wire.Reply = sink.of(call_wire.Reply)[-1]
        return reply

    async def session(self, sink: Sink) -> int:
        self.primary.calls.open_session(sink, call_wire.OpenSession(1))
        await wait_until(lambda: sink.of(call_wire.SessionOpened), "the session is open")
        id: int = sink.of(call_wire.SessionOpened)[-1].session
        return id


class Pair:
    """Two places of one cluster."""

    def __init__(self, directory: Path, durability: str = "disk", policy: Policy = Policy()) -> None:  # noqa: B008
        authority = Authority.create(directory / "authority", "test")
        self.a, self.b = (Place(directory, authority, node, durability, policy) for node in ("a", "b"))

    async def join(self, term: int, appointment: int, *, ready: bool = True) -> None:
        """Make b the secondary of a."""
        self.a.server.heard(Appoint(term, appointment, self.b.peer), [])
        self.b.assign(term, "secondary", appointment, self.a)
        await wait_until(lambda: self.a.of(Joined), "b has joined")
        if ready:
            self.a.server.heard(Ready(term, appointment), [])

    def alone(self, term: int) -> None:
        self.a.server.heard(Alone(term), [])


@asynccontextmanager
async def pair(directory: Path, durability: str = "disk", **policy: int) -> AsyncIterator[Pair]:
    """Start both, the first as serving primary of term 1; stop them in the end."""
    before = len(sockets())
    made = Pair(directory, durability, Policy(**policy))
    for place in (made.a, made.b):
        await place.server.start()
    await made.a.serve(1)
    try:
        yield made
    finally:
        for place in (made.a, made.b):
            await place.server.stop()
            for task in place.tasks:
                assert not task.done() or task.cancelled() or task.exception() is None
        # streams end in order: each side waits a moment for the other
        await wait_until(lambda: len(sockets()) <= before, "the connections are closed")


def sockets() -> list[str]:
    """Return the sockets that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(descriptor))
    return [each for each in found if each.startswith("socket:")]
