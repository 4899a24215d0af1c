"""The dialing end of a stream: one address per link, each dialed for ever until the stream ends.

A link that fails is dialed again after 50 ms, doubling up to 1 s, with jitter; one that was up for a second
begins anew. Whom it reaches is checked twice: the certificate must name the expected identity, and the
accepting process must be the same one as before, for another process knows nothing of this stream (it ends
with "peer process is another one", and its owner decides what to do).

Never in here: a limit on the number of attempts; an unreachable peer is the owner's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
from collections.abc import Sequence

from primacy.cgtp import framing
from primacy.cgtp.address import Address
from primacy.cgtp.connection import Connection
from primacy.cgtp.endpoint import LINKS_MAX, UNKNOWN, Stream
from primacy.cgtp.tls import Identity, cluster_of, identity_of
from primacy.errors import WireError

BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 1.0
STABLE_S = 1.0
CONNECT_S = 3.0
HANDSHAKE_S = 5.0


def dial(
    addresses: Sequence[Address],
    tls: ssl.SSLContext,
    expect: Identity | None = None,
    *,
    source_addresses: Sequence[Address | None] = (),
) -> Stream:
    """Return a stream to the process at these addresses, one per link; it begins to dial at once.

    `expect` is whom the certificate there must name (None: any member of the cluster). `source_addresses[i]`
    is where link i is dialed from. Frames may be sent at once; they leave when the first link is up.
    """
    assert 0 < len(addresses) <= LINKS_MAX, addresses
    stream = Stream(expect or UNKNOWN, None)
    sources = [*source_addresses, *[None] * (len(addresses) - len(source_addresses))]
    dialer = _Dialer(stream, tls, expect)
    dialer.begin(list(zip(addresses, sources, strict=True)))
    return stream


class _Dialer:
    """Keeps the links of one stream up."""

    def __init__(self, stream: Stream, tls: ssl.SSLContext, expect: Identity | None) -> None:
        self.stream = stream
        self.tls = tls
        self.expect = expect
        self.cluster_id = cluster_of(tls)
        self.id = os.urandom(16)
        self.instance = b""  # of the accepting process, once a link has been up
        self._allowed: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, links: list[tuple[Address, Address | None]]) -> None:
        self.stream.when_ended = self._end
        self.stream.when_link_set = self._set_link
        for index, (address, source) in enumerate(links):
            event = asyncio.Event()
            event.set()
            self._allowed.append(event)
            self._tasks.append(asyncio.get_running_loop().create_task(self._keep(index, address, source)))

    def _set_link(self, index: int, up: bool) -> None:
        if up:
            self._allowed[index].set()
        else:
            self._allowed[index].clear()

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.stream.leaving += self._tasks

    async def _keep(self, index: int, address: Address, source: Address | None) -> None:
        """Dial one link, again and again, until the stream has ended."""
        loop, backoff = asyncio.get_running_loop(), BACKOFF_MIN_S
        while True:
            await self._allowed[index].wait()
            began = loop.time()
            attempt = _Attempt(self, index)
            try:
                reason = await attempt.run(address, source)
            except (OSError, TimeoutError) as error:
                reason = f"{address[0]}:{address[1]}: {str(error) or 'timed out'}"
            self.stream.link_statistics(index).last_error = reason
            if loop.time() - began >= STABLE_S and attempt.joined:
                backoff = BACKOFF_MIN_S
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            backoff = min(BACKOFF_MAX_S, 2 * backoff)


class _Attempt:
    """One connection of one link, from its socket to its end."""

    def __init__(self, dialer: _Dialer, index: int) -> None:
        self.dialer = dialer
        self.stream = dialer.stream
        self.index = index
        self.joined = False
        self.reader = framing.Reader()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.opened = asyncio.Event()

    async def run(self, address: Address, source: Address | None) -> str:
        """Connect, shake hands, be a link; return why it ended."""
        sock = await _connect(address, source)
        self.connection = connection = Connection(sock, self.dialer.tls, server_side=False)
        connection.on_ready = self._ready
        connection.on_data = self._answered
        connection.on_lost = self._gone
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                connection.start()
                await self.opened.wait()
            return await self.ended
        finally:
            if not self.joined:  # otherwise it belongs to the stream, which ends it as it sees fit
                connection.close()

    def _gone(self, reason: str) -> None:
        self.opened.set()
        if not self.ended.done():
            self.ended.set_result(reason)

    def _ready(self) -> None:
        try:
            identity = identity_of(self.connection.peer_certificate(), self.dialer.cluster_id)
            if self.dialer.expect not in (None, identity):
                raise WireError(f"{identity} answers where {self.dialer.expect} is expected")
        except WireError as error:
            self.connection.close(str(error))
            return
        self.identity = identity
        hello = framing.Hello(
            wire_min=framing.WIRE_MIN,
            wire_max=framing.WIRE_MAX,
            stream=self.dialer.id,
            link=self.index,
            fresh=not self.dialer.instance,
            instance=self.dialer.instance,
            received=self.stream.delivered,
        )
        self.connection.write(framing.encode_control(hello))

    def _answered(self, data: bytes) -> None:
        """The acceptor's first record: a welcome, or a refusal with its reason."""
        try:
            answer = self.reader.opening(data)
            if isinstance(answer, framing.Welcome):
                self._welcomed(answer)
            elif isinstance(answer, framing.Refusal):
                self.connection.close(f"refused: {answer.reason}")
                if answer.final:
                    self.stream.end(answer.reason)
            elif answer is not None:
                raise WireError("the acceptor says hello")
        except WireError as error:
            self.stream.count_garbage()
            self.connection.close(str(error))

    def _welcomed(self, welcome: framing.Welcome) -> None:
        dialer, stream = self.dialer, self.stream
        if not framing.WIRE_MIN <= welcome.wire <= framing.WIRE_MAX:
            raise WireError(f"the acceptor chose wire version {welcome.wire}")
        if dialer.instance not in (b"", welcome.instance):
            self.connection.close(framing.ANOTHER_PROCESS)
            stream.end(framing.ANOTHER_PROCESS)
            return
        if not stream.link_allowed(self.index):
            self.connection.close("the link is set down")
            return
        dialer.instance = welcome.instance
        stream.peer = self.identity
        self.joined = True
        self.opened.set()
        stream.attach(self.index, self.connection, self.reader, welcome.received, self._gone)


async def _connect(address: Address, source: Address | None) -> socket.socket:
    """Return a connected socket; a name is resolved at each attempt, away from the loop."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_S):
        resolved = await loop.getaddrinfo(*address, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = resolved[0]
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.socket(family, kind, protocol))
            sock.setblocking(False)
            if source:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(source)
            await loop.sock_connect(sock, where)
            stack.pop_all()  # connected: it is the caller's now
            return sock
