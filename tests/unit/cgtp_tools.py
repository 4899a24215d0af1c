"""What the tests of the transport share: certificates, a relay that can be cut or slowed, a wait with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from primacy.cgtp.authority import Authority
from primacy.cgtp.stream import Identity, Listener, Stream, dial
from primacy.cgtp.tls import TlsFiles, client_context, server_context

HOSTS = ("127.0.0.1", "127.0.0.2")
N1 = Identity("node", "n1")
N2 = Identity("node", "n2")


async def until(condition: Callable[[], object], what: str, deadline_s: float = 10.0) -> None:
    """Wait for a condition; fail with its name at the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not condition():
        assert loop.time() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.002)


class Credentials:
    """A cluster's authority and the files of its members, made as they are asked for."""

    def __init__(self, directory: Path, cluster_id: str = "test") -> None:
        self.directory = directory
        self.authority = Authority.create(directory / "authority", cluster_id)

    def node(self, name: str) -> TlsFiles:
        """The files of a node."""
        return self.authority.issue_node(self.directory / name, name)

    def client(self, name: str) -> TlsFiles:
        """The files of a client."""
        return self.authority.issue_client(self.directory / name, name)


class Relay:
    """Passes TCP connections on to one address; can be cut, or limited to a rate."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut = False
        self.delay_s = 0.0
        """How long each piece of at most `piece` bytes is held."""
        self.piece = 1 << 16
        self.connections = 0

    async def start(self) -> Relay:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def set_cut(self, cut: bool) -> None:
        """Cut all connections at once and refuse new ones, or let them through again."""
        self.cut = cut
        if cut:
            for writer in self._writers:
                writer.transport.abort()

    async def stop(self) -> None:
        """End everything."""
        self._server.close()
        self.set_cut(True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.transport.abort()
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection(*self.target, limit=self.piece)
        except OSError:
            writer.transport.abort()
            return
        if self.cut:
            writer.transport.abort()
            onward_writer.transport.abort()
            return
        self.connections += 1
        self._writers |= {writer, onward_writer}
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self.piece):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
            if not writer.is_closing():
                writer.write_eof()


class Ends:
    """Both ends of a stream in one loop, and what each has received."""

    def __init__(self, credentials: Credentials) -> None:
        self._server = server_context(credentials.node("n2"))
        self._client = client_context(credentials.node("n1"))
        self.relays: list[Relay] = []
        self.accepted: list[Stream] = []
        self.at_acceptor: list[bytes] = []
        self.at_dialer: list[bytes] = []
        self.closed_at_acceptor: list[str] = []
        self.closed_at_dialer: list[str] = []
        self.links_seen: list[int] = []

    async def start(self, linger_s: float = 10.0, links: int = 2, expect: Identity | None = N2) -> Stream:
        """Listen, put a relay before each link, dial."""
        self.listener = Listener(linger_s)
        await self.listener.start([(host, 0) for host in HOSTS[:links]], self._server, self._accepted)
        self.relays = [await Relay(address).start() for address in self.listener.addresses]
        self.dialer = dial([relay.address for relay in self.relays], self._client, expect)
        self.dialer.on_frames(self.at_dialer.extend)
        self.dialer.on_closed(self.closed_at_dialer.append)
        self.dialer.on_links(self.links_seen.append)
        return self.dialer

    def _accepted(self, stream: Stream) -> None:
        self.accepted.append(stream)
        stream.on_frames(self.at_acceptor.extend)
        stream.on_closed(self.closed_at_acceptor.append)

    async def up(self) -> Stream:
        """Wait until every link is up; return the accepting end."""
        await until(lambda: self.dialer.links_up == len(self.relays), "all links up")
        await until(
            lambda: self.accepted and self.accepted[0].links_up == len(self.relays), "all links up there"
        )
        return self.accepted[0]

    async def stop(self) -> None:
        """End everything and wait until all connections are gone."""
        self.dialer.close()
        self.listener.close()
        for relay in self.relays:
            await relay.stop()
        await until(lambda: not self.listener.connections, "all connections gone")
