"""The events of all nodes of a cluster, for the command line: from the agents, of dead local nodes from their files.

Every node's agent is asked over the network. Where the cluster's directory is on this machine, the file of a node
that does not answer is read instead; elsewhere the node's events are missing, and it is told which. While events are
followed, nodes may die, come back and join; each event comes once, whichever way.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from types import TracebackType

from primacy.cgtp.tls import client_context
from primacy.cli import common
from primacy.client import settings
from primacy.client.cluster import Cluster
from primacy.client.event_feed import EventFeed, Heard
from primacy.errors import NoPrimary
from primacy.local import layout as layouts
from primacy.local.event_files import EventFiles
from primacy.machines.control_wire import Topology
from primacy.machines.timeline import Event, merge

QUIET_S = 0.1
"""Events that come within so short a time of each other, from whatever node, are brought into order together."""
LATEST_S = 0.5
"""How long events may be held back for that."""
LOOK_AGAIN_S = 0.25
"""How often the files of nodes that do not answer are looked at."""
CONNECT_S = 2.0
PART_S = 0.3


class EventSource:
    """An asynchronous context manager: `gather` what there is, then `news` again and again.

    tell: says to an operator which nodes cannot be heard.
    """

    def __init__(self, directory: str | None, deadline_s: float, tell: Callable[[str], None]) -> None:
        self._directory, self._deadline_s, self._tell = directory, deadline_s, tell
        self._layout = layouts.find(directory)
        self._local = self._layout.nodes() if self._layout.exists else []
        self._files = EventFiles(self._layout)
        self._heard: dict[str, Heard] = {node: Heard() for node in self._local}
        self._feeds: dict[str, EventFeed] = {}
        self._missing: set[str] = set()
        self._news = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self._connecting: asyncio.Task[None] | None = None
        self._topology: Topology | None = None

    async def __aenter__(self) -> EventSource:
        try:
            await self._connect(self._deadline_s)
        except NoPrimary:
            if not self._local:
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        streams = [feed.close() for feed in self._feeds.values()]
        await self._stack.aclose()
        with contextlib.suppress(TimeoutError):  # a frozen agent never parts
            async with asyncio.timeout(PART_S):
                for stream in streams:
                    if stream is not None:
                        await stream.wait_closed()

    @property
    def nodes(self) -> list[str]:
        """The nodes whose events there may be."""
        return sorted(self._heard)

    def node_named(self, word: str) -> str:
        """Return the node that `master`, `vice` or a node's id means."""
        topology = self._topology
        return common.node_named(word, topology.master if topology else "", topology.vice if topology else "")

    async def gather(self) -> list[Event]:
        """Return all events up to now, merged; within the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                while not all(feed.caught_up or feed.hopeless for feed in self._feeds.values()):
                    self._news.clear()
                    await self._wait(LOOK_AGAIN_S)
        self._read_files(lambda feed: feed.caught_up)
        self._say_missing(lambda feed: feed.caught_up)
        return self._merged()

    async def news(self) -> list[Event]:
        """Wait for events after those that were returned before, and return what came together, merged."""
        while True:
            if not self._feeds and self._connecting is None:
                self._connecting = asyncio.create_task(self._connect_again())
            await self._wait(LOOK_AGAIN_S)
            await self._settle()
            self._read_files(lambda feed: feed.up)
            self._say_missing(lambda feed: feed.up)
            if found := self._merged():
                return found

    # ---- inside ----

    async def _connect(self, deadline_s: float) -> None:
        cluster: Cluster = await self._stack.enter_async_context(
            common.connected(self._directory, deadline_s)
        )
        tls = client_context(settings.find(self._directory).tls)
        cluster.on_change(lambda topology: self._reconcile(topology, tls))
        self._reconcile(cluster.topology, tls)

    async def _connect_again(self) -> None:
        """Until an agent answers: no node ran, perhaps, when the operator began to follow."""
        while not self._feeds:
            with contextlib.suppress(NoPrimary):
                await self._connect(CONNECT_S)
            await asyncio.sleep(LOOK_AGAIN_S)

    def _reconcile(self, topology: Topology, tls: ssl.SSLContext) -> None:
        """Hear every node of the cluster where it listens now."""
        self._topology = topology
        wanted = {entry.id: [(host, port) for host, port in entry.agent] for entry in topology.nodes}
        for node in [node for node, feed in self._feeds.items() if feed.addresses != wanted.get(node)]:
            self._feeds.pop(node).close()
        for node, addresses in wanted.items():
            if addresses and node not in self._feeds:
                heard = self._heard.setdefault(node, Heard())
                self._feeds[node] = EventFeed(node, addresses, tls, heard, self._news.set)

    async def _wait(self, seconds: float) -> bool:
        """Wait for news; False when none came."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
                return True
        return False

    async def _settle(self) -> None:
        """Wait until nothing has come for a moment: what happened together is to be told together."""
        latest_s = asyncio.get_running_loop().time() + LATEST_S
        while self._news.is_set() and asyncio.get_running_loop().time() < latest_s:
            self._news.clear()
            await self._wait(QUIET_S)
        self._news.clear()

    def _read_files(self, answers: Callable[[EventFeed], bool]) -> None:
        for node in self._local:
            feed = self._feeds.get(node)
            if feed is None or not answers(feed):
                self._heard[node].accept(self._files.of(node))

    def _say_missing(self, answers: Callable[[EventFeed], bool]) -> None:
        """Say which nodes can neither be asked nor read, once each time that this begins or ends."""
        for node, feed in self._feeds.items():
            missing = not answers(feed) and node not in self._local
            if missing and node not in self._missing:
                self._tell(f"the events of {node} are missing: {feed.why_silent()}")
            elif not missing and node in self._missing:
                self._tell(f"{node} answers: its events follow")
            (self._missing.add if missing else self._missing.discard)(node)

    def _merged(self) -> list[Event]:
        return merge([self._heard[node].take() for node in sorted(self._heard)])
