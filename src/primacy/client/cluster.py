"""`Cluster`: what `primacy.connect` gives.

    async with primacy.connect(directory=".primacy") as cluster:
        inventory = cluster.service("inventory")
        await inventory.add(article="bolt", count=3, deadline_s=5)

It is told of the topology by the agents, and keeps a stream to the host of every service that was used on
each eligible node.  Everything belongs to the loop in which it was entered.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from primacy.cgtp.stream import Stream
from primacy.cgtp.tls import client_context
from primacy.client import settings
from primacy.client.agents import Agents
from primacy.client.conversation import CallRecord, Conversation
from primacy.client.handles import DEADLINE_S, Service
from primacy.client.names import Names
from primacy.client.subscription import Subscription
from primacy.errors import CallError, ConfigError, StreamClosed
from primacy.machines.control_wire import Topology

CLOSED = "the client was closed"
PART_S = 1.0
"""How long closing may wait for the peers to close too."""
RELEASE_S = 2.0
"""How long closing may wait for the names that are tied to the session."""


def connect(
    directory: str | os.PathLike[str] | None = None,
    *,
    endpoints: Sequence[settings.Endpoint] | None = None,
    credential: str | os.PathLike[str] | None = None,
    deadline_s: float = DEADLINE_S,
    on_call: Callable[[CallRecord], None] | None = None,
) -> Cluster:
    """Return the cluster of a directory (argument, else `$PRIMACY_DIR`, else `./.primacy`), or that of
    `endpoints`.

    endpoints: `host:port` of at least one agent, or a list of such for the links of one node; then
    `credential` is the client's certificate or the directory that holds it.  deadline_s: how long entering
    may wait for an agent. on_call: is given the record of every call when it has ended.  `ConfigError` says
    what is missing.
    """
    if (endpoints is None) != (credential is None):
        got = "endpoints without credential" if credential is None else "credential without endpoints"
        raise ConfigError("connect()", got, "both, or neither: then the directory's client.json has them")
    if endpoints is None or credential is None:
        return Cluster(settings.find(directory), deadline_s, on_call)
    return Cluster(settings.given(endpoints, credential), deadline_s, on_call)


class Cluster:
    """A cluster, as one client knows it; an asynchronous context manager."""

    def __init__(
        self,
        where: settings.Settings,
        deadline_s: float = DEADLINE_S,
        on_call: Callable[[CallRecord], None] | None = None,
    ) -> None:
        self._where, self._deadline_s, self._on_call = where, deadline_s, on_call
        self._tls = client_context(where.tls)
        self._agents = Agents(self._tls, self._topology_changed)
        self._conversations: dict[str, Conversation] = {}
        self._services: dict[str, Service] = {}
        self._watchers: list[Callable[[Topology], None]] = []
        self._entered = self._closed = False
        self._names: Names | None = None

    async def __aenter__(self) -> Cluster:
        assert not self._entered, "a cluster is entered once; connect() again"
        self._entered = True
        self._agents.begin(self._where.endpoints)
        try:
            await self._agents.wait_topology(self._deadline_s)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything in order: names tied to the session and the sessions themselves end at once."""
        if self._closed:
            return
        if self._names is not None and self._names.holds_session_names:
            with suppress(CallError, StreamClosed):
                await self._names.release(deadline_s=RELEASE_S)
        self._closed = True
        streams: list[Stream] = []
        for conversation in self._conversations.values():
            streams += conversation.close(CLOSED)
        streams += self._agents.close(CLOSED)
        with suppress(TimeoutError):  # a frozen peer never parts
            async with asyncio.timeout(PART_S):
                for stream in streams:
                    await stream.wait_closed()

    # ---- services ----

    def service(self, name: str) -> Service:
        """Return a service, to call its operations and queries as methods."""
        service = self._services.get(name)
        if service is None:
            service = self._services[name] = Service(self._conversation(name))
        return service

    async def call(
        self, service: str, operation: str, /, *, deadline_s: float = DEADLINE_S, **arguments: Any
    ) -> Any:
        """Call an operation: executed exactly once, whatever happens to the servers; return its result.

        Raises `OperationFailed` (it raised), `Refused` (unknown, or bad arguments), `NoPrimary`, `Busy`,
        `SessionExpired` (all of them: it was not executed), or `Deadline`, which says what is known.
        """
        return await self._conversation(service).call(operation, arguments, deadline_s)

    async def query(
        self,
        service: str,
        operation: str,
        /,
        *,
        deadline_s: float = DEADLINE_S,
        confirm: bool = False,
        **arguments: Any,
    ) -> Any:
        """Ask a query: a linearizable read; `confirm`: one that trusts no clock."""
        return await self._conversation(service).query(operation, arguments, deadline_s, confirm=confirm)

    def watch(self, service: str, topic: str = "", position: int = 0) -> Subscription:
        """Watch what a service publishes under topics with this beginning, after `position` (0: from now on).

        Yields (position, topic, payload in MessagePack), or None where events are lost for good.
        """
        return self._conversation(service).watch(topic, position)

    @property
    def names(self) -> Names:
        """The naming service."""
        if self._names is None:
            self._names = Names(self._conversation("naming"))
        return self._names

    # ---- the cluster ----

    @property
    def topology(self) -> Topology:
        """Nodes, term, master and vice, as told last."""
        assert self._agents.topology is not None, (
            "enter the cluster first: async with primacy.connect() as cluster"
        )
        return self._agents.topology

    def on_change(self, callback: Callable[[Topology], None]) -> Callable[[], None]:
        """Call back with the topology on every change of it; return what ends that."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    async def control(self, verb: str, /, *, deadline_s: float = DEADLINE_S, **arguments: Any) -> Any:
        """Have an operator's function carried out; any agent passes it on to the one that can.

        Raises `Refused` with all the reasons against, `OperationFailed`, `NoPrimary` (nobody could be
        asked), or `Deadline` (the agent that was asked went away).
        """
        return await self._agents.request(verb, arguments, deadline_s)

    def events(self, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the events of a node, those to come included."""
        return self._agents.events(arguments)

    def statistics(self) -> dict[str, Any]:
        """Return, per service, where its calls go and what is outstanding."""
        return {name: conversation.statistics() for name, conversation in self._conversations.items()}

    def _conversation(self, service: str) -> Conversation:
        conversation = self._conversations.get(service)
        if conversation is None:
            if self._closed or not self._entered:
                raise StreamClosed(
                    CLOSED if self._closed else "enter the cluster first: async with connect() ..."
                )
            conversation = Conversation(service, self._tls, self._on_call)
            self._conversations[service] = conversation
            self._set_hosts(conversation)
        return conversation

    def _topology_changed(self, topology: Topology) -> None:
        for conversation in self._conversations.values():
            self._set_hosts(conversation)
        for watcher in list(self._watchers):
            watcher(topology)

    def _set_hosts(self, conversation: Conversation) -> None:
        topology = self._agents.topology
        nodes = topology.nodes if topology else []
        service = conversation.service
        conversation.set_hosts({node.id: node.services.get(service, []) for node in nodes if node.eligible})
