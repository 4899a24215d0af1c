"""A small cluster in the test's own process: agents and hosts that speak the real protocols over real
streams.

Every node has an agent and, per service, a host.  The replicas of a service are one object (replication is
not what is tested here); the service classes are real ones.  The test says who serves, who is frozen, who
dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import primacy
from primacy.cgtp.stream import Listener, Stream
from primacy.cgtp.tls import server_context
from primacy.client import settings
from primacy.machines import call_wire, control_wire
from primacy.machines.call_wire import (
    DONE,
    EXPIRED,
    INVALID,
    RAISED,
    Answer,
    Call,
    Changed,
    HostRole,
    KeepAlive,
    OpenSession,
    Query,
    Reply,
    SessionOpened,
    Unwatch,
    Watch,
)
from primacy.machines.control_wire import NodeEntry, Request, Response, Topology
from primacy.machines.description import described
from tests.unit.cgtp_tools import HOSTS, Credentials

encode_value = msgspec.msgpack.encode


class Stock(msgspec.Struct):
    count: dict[str, int] = {}


class Inventory(primacy.Service[Stock]):
    """How many of each article are in store."""

    @primacy.operation
    def add(self, ctx: Any, article: str, count: int = 1) -> int:
        if count < 0:
            raise ValueError(f"count {count}: not negative")
        self.state.count[article] = self.state.count.get(article, 0) + count
        ctx.publish(article, self.state.count[article])
        return self.state.count[article]

    @primacy.query
    def stock(self, article: str) -> int:
        return self.state.count.get(article, 0)


class Context:
    """What an operation is given."""

    def __init__(self, replica: Replica, session: int) -> None:
        self._replica = replica
        self.session, self.sequence = session, replica.sequence
        self.term, self.time_ns, self.service_name = replica.cluster.term, time.time_ns(), replica.name

    def publish(self, topic: str, event: Any) -> None:
        self._replica.publish(topic, encode_value(event))


class Replica:
    """The state of one service, whichever node serves it."""

    def __init__(self, cluster: FakeCluster, name: str, service: type[Any]) -> None:
        self.cluster, self.name = cluster, name
        self.service = service()
        self.description = described(service, reserved=set(), local=False)
        self.sequence = 0
        self.sessions: dict[int, dict[int, tuple[int, bytes]]] = {}
        self.ended: list[int] = []
        self.heard: list[int] = []  # sessions of keep-alives
        self.executed = 0
        self.events: list[tuple[int, str, bytes]] = []
        self.kept_from = 0
        self.on_publish: list[Callable[[], None]] = []

    def publish(self, topic: str, payload: bytes) -> None:
        self.events.append((len(self.events) + 1, topic, payload))

    def call(self, message: Call) -> tuple[int, bytes]:
        replies = self.sessions.get(message.session)
        if replies is None:
            return EXPIRED, b""
        if message.number not in replies:
            replies[message.number] = self.execute(message)
        return replies[message.number]

    def execute(self, message: Call) -> tuple[int, bytes]:
        method = self.description.operations.get(message.operation)
        if method is None:
            return INVALID, encode_value(f"no operation {message.operation!r}")
        try:
            arguments = method.decode(message.arguments)
        except msgspec.DecodeError as error:
            return INVALID, encode_value(str(error))
        self.sequence += 1
        self.executed += 1
        try:
            result = method.call((self.service, Context(self, message.session)), arguments)
        except Exception as error:
            return RAISED, encode_value([type(error).__name__, str(error)])
        finally:
            for told in list(self.on_publish):
                told()
        return DONE, encode_value(result)

    def query(self, message: Query) -> tuple[int, bytes]:
        method = self.description.queries.get(message.operation)
        if method is None:
            return INVALID, encode_value(f"no query {message.operation!r}")
        try:
            return DONE, encode_value(method.call((self.service,), method.decode(message.arguments)))
        except msgspec.DecodeError as error:
            return INVALID, encode_value(str(error))
        except Exception as error:
            return RAISED, encode_value([type(error).__name__, str(error)])


class Place:
    """A listener that can die and come back at its addresses."""

    def __init__(self, cluster: FakeCluster, node: str) -> None:
        self.cluster, self.node = cluster, node
        self.addresses = [(host, 0) for host in HOSTS]
        self.streams: list[Stream] = []
        self.listener: Listener | None = None

    async def start(self) -> None:
        self.listener = Listener()
        context = server_context(self.cluster.credentials.node(self.node))
        await self.listener.start(self.addresses, context, self.accepted)
        self.addresses = self.listener.addresses

    def accepted(self, stream: Stream) -> None:
        self.streams.append(stream)
        stream.on_frames(lambda frames: self.arrived(stream, frames))
        stream.on_closed(lambda reason: self.streams.remove(stream))
        self.greet(stream)

    def greet(self, stream: Stream) -> None: ...

    def arrived(self, stream: Stream, frames: list[bytes]) -> None: ...

    def die(self) -> None:
        for stream in list(self.streams):
            stream.abort("died")
        if self.listener:
            self.listener.close()
        self.listener = None


class FakeHost(Place):
    """A host of one service."""

    def __init__(self, cluster: FakeCluster, node: str, replica: Replica) -> None:
        super().__init__(cluster, node)
        self.replica = replica
        self.deaf = False
        """Frozen: takes nothing, answers nothing."""
        self.silent = False
        """Executes, but its answers never leave."""
        self.received: list[call_wire.ToHost] = []
        self.watches: dict[tuple[Stream, int], list[Any]] = {}
        replica.on_publish.append(self.push)

    def role(self) -> HostRole:
        cluster = self.cluster
        serving = cluster.serving and cluster.master == self.node
        return HostRole(self.replica.name, self.node, cluster.term, serving, cluster.master)

    def greet(self, stream: Stream) -> None:
        stream.send(call_wire.encode(self.role()))

    def tell(self) -> None:
        if not self.deaf:
            for stream in [stream for stream in self.streams if stream.closed is None]:
                stream.send(call_wire.encode(self.role()))

    def arrived(self, stream: Stream, frames: list[bytes]) -> None:
        for frame in frames:
            message = call_wire.decode_to_host(frame)
            self.received.append(message)
            if not self.deaf and self.role().serving:
                answer = self.answer(stream, message)
                if answer is not None and not self.silent:
                    stream.send(call_wire.encode(answer))

    def answer(self, stream: Stream, message: call_wire.ToHost) -> call_wire.ToClient | None:
        replica, term = self.replica, self.cluster.term
        match message:
            case OpenSession():
                replica.sequence += 1
                replica.sessions[replica.sequence] = {}
                return SessionOpened(message.request, replica.sequence, term)
            case Call():
                outcome, payload = replica.call(message)
                return Reply(message.session, message.number, outcome, term, payload)
            case Query():
                outcome, payload = replica.query(message)
                return Answer(message.request, outcome, term, payload)
            case Watch():
                position = message.position or len(replica.events)
                lost = position < replica.kept_from
                self.watches[stream, message.request] = [message.topic, max(position, replica.kept_from)]
                watch = self.watches[stream, message.request]
                items = [item for item in replica.events[watch[1] :] if item[1].startswith(message.topic)]
                watch[1] = len(replica.events)
                return Changed(message.request, items, len(replica.events), lost)
            case Unwatch():
                self.watches.pop((stream, message.request), None)
            case KeepAlive():
                replica.heard.append(message.session)
                if message.end:
                    replica.ended.append(message.session)
                    replica.sessions.pop(message.session, None)
        return None

    def push(self) -> None:
        if self.deaf or not self.role().serving:
            return
        events = self.replica.events
        for (stream, request), watch in list(self.watches.items()):
            topic, position = watch
            items = [item for item in events[position:] if item[1].startswith(topic)]
            watch[1] = len(events)
            if items and stream.closed is None:
                stream.send(call_wire.encode(Changed(request, items, len(events))))


class FakeAgent(Place):
    """An agent: pushes the topology to those who subscribed, and answers what the test prepared."""

    def __init__(self, cluster: FakeCluster, node: str) -> None:
        super().__init__(cluster, node)
        self.subscribed: list[Stream] = []
        self.requests: list[Request] = []
        self.answers: dict[str, Callable[[Request], Response | None]] = {}

    def arrived(self, stream: Stream, frames: list[bytes]) -> None:
        for frame in frames:
            request = control_wire.decode_to_agent(frame)
            if request.verb == "subscribe":
                self.subscribed.append(stream)
                stream.send(control_wire.encode(Response(request.id, "done")))
                stream.send(control_wire.encode(self.cluster.topology()))
                continue
            self.requests.append(request)
            answer = self.answers.get(request.verb, lambda request: Response(request.id, "done", self.node))
            if response := answer(request):
                stream.send(control_wire.encode(response))

    def tell(self) -> None:
        for stream in self.subscribed:
            if stream.closed is None:
                stream.send(control_wire.encode(self.cluster.topology()))


class FakeCluster:
    """Nodes n1, n2, ...; n1 serves in term 1."""

    def __init__(self, directory: Path, services: dict[str, type[Any]] | None = None, nodes: int = 2) -> None:
        self.directory = directory
        self.credentials = Credentials(directory)
        self.client = self.credentials.client("local")
        self.term, self.master, self.serving = 1, "n1", True
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        kinds = services or {"inventory": Inventory}
        self.replicas = {name: Replica(self, name, kind) for name, kind in kinds.items()}
        self.agents = {node: FakeAgent(self, node) for node in self.nodes}
        self.hosts = {
            (node, name): FakeHost(self, node, replica)
            for node in self.nodes
            for name, replica in self.replicas.items()
        }

    async def __aenter__(self) -> FakeCluster:
        for place in self.places():
            await place.start()
        self.write()
        return self

    async def __aexit__(self, *_: object) -> None:
        for place in self.places():
            streams = list(place.streams)
            for stream in streams:
                stream.close("the test is over")
            for stream in streams:
                await stream.wait_closed()
            place.die()

    def places(self) -> list[Place]:
        return [*self.agents.values(), *self.hosts.values()]

    def write(self) -> None:
        """Write `client.json`."""
        files = self.client
        endpoints = [[f"{h}:{p}" for h, p in agent.addresses] for agent in self.agents.values()]
        paths = (files.certificate, files.key, files.authority)
        content = settings.ClientFile(
            "test", endpoints, *(str(path.relative_to(self.directory)) for path in paths)
        )
        settings.write(self.directory / settings.FILE, content)

    def topology(self) -> Topology:
        entries = [
            NodeEntry(
                node,
                True,
                self.agents[node].addresses,
                {name: self.hosts[node, name].addresses for name in self.replicas},
            )
            for node in self.nodes
        ]
        return Topology("test", self.term, self.master, "", self.serving, entries)

    def replica(self, service: str = "inventory") -> Replica:
        return self.replicas[service]

    def host(self, node: str, service: str = "inventory") -> FakeHost:
        return self.hosts[node, service]

    def quiesce(self) -> None:
        """Nobody serves; everybody says so."""
        self.serving = False
        self.tell()

    def elect(self, node: str) -> None:
        """Another master in another term; everybody who is not frozen says so."""
        self.term, self.master, self.serving = self.term + 1, node, True
        self.tell()

    def tell(self) -> None:
        for host in self.hosts.values():
            host.tell()
        for agent in self.agents.values():
            agent.tell()
