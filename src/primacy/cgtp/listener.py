"""The accepting end: listens on every link and joins the connections of one dialer into one stream.

A connection is anonymous until its handshake is done and its hello read; there are at most `HANDSHAKES_MAX`
such, each for at most `HANDSHAKE_S`. A hello names a stream by 16 random bytes; only the identity that made
the stream may join it. Each listener has a random instance id, so that a dialer notices when another process
has taken the place.

Invariants: whatever a connection sends, at worst that connection ends. A stream refused for good is refused
with the reason that its owner may show. Never in here: authorization beyond "a member or client of this
cluster".
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence

from primacy.cgtp import framing
from primacy.cgtp.address import Address, bound
from primacy.cgtp.connection import Connection
from primacy.cgtp.endpoint import LINKS_MAX, Stream
from primacy.cgtp.tls import Identity, cluster_of, identity_of
from primacy.errors import ConfigError, WireError

HANDSHAKES_MAX = 256
HANDSHAKE_S = 5.0
STREAMS_MAX = 10_000
ENDED_MAX = 1024
"""How many ended streams are remembered, so that their dialers learn why."""
BACKLOG = 128
ACCEPTS_MAX = 64
EXHAUSTED_PAUSE_S = 0.5


class Listener:
    """Accepts streams on the links of this process."""

    def __init__(self, linger_s: float = 10.0) -> None:
        self.instance = os.urandom(16)
        self._linger_s = linger_s
        self._sockets: list[socket.socket] = []
        self._arrivals: set[_Arrival] = set()
        self._shaking: set[_Arrival] = set()  # those that are no link of a stream yet
        self._links_down: set[int] = set()
        self._streams: dict[bytes, Stream] = {}
        self._ended: dict[bytes, str] = {}
        self._closed = False
        self._ending: list[Stream] = []
        self.refused = 0
        """Connections that were turned away: strangers, garbage, too many at once."""

    async def start(
        self, addresses: Sequence[Address], tls: ssl.SSLContext, on_stream: Callable[[Stream], None]
    ) -> None:
        """Listen on each address (one per link); `on_stream` is called with each new stream before its frames."""
        self._loop = asyncio.get_running_loop()
        self.tls = tls
        self.cluster_id = cluster_of(tls)
        self._on_stream = on_stream
        try:
            for address in addresses:
                self._sockets.append(_listen(address))
        except OSError as error:
            self.close()
            want = "a numeric address and a free port"
            raise ConfigError("links", f"{address[0]}:{address[1]} ({error.strerror})", want) from error
        for index in range(len(self._sockets)):
            self._watch(index)

    @property
    def addresses(self) -> list[Address]:
        """Where this listener really listens, per link."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    @property
    def connections(self) -> int:
        """How many accepted connections are open."""
        return len(self._arrivals)

    def set_link(self, index: int, up: bool) -> None:
        """Take a link down on an operator's word: its connections end and none is accepted; or up again."""
        if up:
            self._links_down.discard(index)
            return
        self._links_down.add(index)
        for arrival in list(self._arrivals):
            if arrival.listens_on == index:
                arrival.connection.close("the link is set down")

    def link_allowed(self, index: int) -> bool:
        """Not set down."""
        return index not in self._links_down

    def close(self) -> None:
        """Stop listening and end all streams in order."""
        if self._closed:
            return
        self._closed = True
        self._ending = list(self._streams.values())
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        for stream in self._ending:
            stream.close("its acceptor ends")
        for arrival in self._shaking:
            arrival.connection.close()

    async def wait_closed(self) -> None:
        """Wait, after `close`, until nothing of the streams is left: what could be flushed is flushed."""
        for stream in self._ending:
            await stream.wait_closed()

    def _watch(self, index: int) -> None:
        if not self._closed:
            self._loop.add_reader(self._sockets[index].fileno(), self._accept, index)

    def _accept(self, index: int) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                sock, _ = self._sockets[index].accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:  # out of descriptors: look again when some may be free
                self._loop.remove_reader(self._sockets[index].fileno())
                self._loop.call_later(EXHAUSTED_PAUSE_S, self._watch, index)
                return
            if index in self._links_down or len(self._shaking) >= HANDSHAKES_MAX:
                self.refused += index not in self._links_down
                sock.close()
                continue
            arrival = _Arrival(self, index, sock)
            self._arrivals.add(arrival)
            self._shaking.add(arrival)
            arrival.connection.start()

    def forget(self, arrival: _Arrival) -> None:
        """The connection has ended."""
        self.refused += arrival in self._shaking and not self._closed
        self._shaking.discard(arrival)
        self._arrivals.discard(arrival)

    def joined(self, arrival: _Arrival) -> None:
        """The connection has become a link of a stream, which ends it as it sees fit."""
        self._shaking.discard(arrival)

    def join(self, hello: framing.Hello, identity: Identity) -> Stream | framing.Refusal:
        """Return the stream that this hello is for, or why there is none."""
        if hello.wire_max < framing.WIRE_MIN or hello.wire_min > framing.WIRE_MAX:
            ours, theirs = f"{framing.WIRE_MIN}..{framing.WIRE_MAX}", f"{hello.wire_min}..{hello.wire_max}"
            return framing.Refusal(f"no common wire version: {theirs} there, {ours} here", final=True)
        if hello.instance not in (b"", self.instance):
            return framing.Refusal(framing.ANOTHER_PROCESS, final=True)
        if not 0 <= hello.link < LINKS_MAX or len(hello.stream) != 16:
            raise WireError(f"hello for link {hello.link}, stream of {len(hello.stream)} bytes")
        if hello.received < 0 or (hello.fresh and hello.received):
            raise WireError(f"hello that has received {hello.received} batches")
        stream = self._streams.get(hello.stream)
        if stream is not None:
            if stream.peer != identity:
                raise WireError(f"{identity} says hello for a stream of {stream.peer}")
            if not stream.link_allowed(hello.link):
                return framing.Refusal("the link is set down", final=False)
            return stream
        if not hello.fresh:
            reason = self._ended.get(hello.stream, "the stream is not known here any more")
            return framing.Refusal(reason, final=True)
        if len(self._streams) >= STREAMS_MAX:
            return framing.Refusal(f"too many streams: {STREAMS_MAX}", final=False)
        return self._new_stream(hello.stream, identity)

    def _new_stream(self, stream_id: bytes, identity: Identity) -> Stream | framing.Refusal:
        stream = self._streams[stream_id] = Stream(identity, self._linger_s)

        def ended() -> None:
            self._streams.pop(stream_id, None)
            self._ended[stream_id] = f"the peer has ended it: {stream.closed}"
            if len(self._ended) > ENDED_MAX:
                del self._ended[next(iter(self._ended))]

        stream.when_ended = ended
        self._on_stream(stream)
        if stream.closed is not None:
            return framing.Refusal(self._ended[stream_id], final=True)
        return stream


class _Arrival:
    """One accepted connection, from its socket to its end."""

    def __init__(self, listener: Listener, listens_on: int, sock: socket.socket) -> None:
        self.listener = listener
        self.listens_on = listens_on
        self.reader = framing.Reader()
        self.connection = connection = Connection(sock, listener.tls, server_side=True)
        connection.on_ready = self._ready
        connection.on_data = self._said
        connection.on_lost = self._gone
        self._deadline = asyncio.get_running_loop().call_later(
            HANDSHAKE_S, connection.close, "no hello in time"
        )

    def _gone(self, reason: str) -> None:
        self._deadline.cancel()
        self.listener.forget(self)

    def _ready(self) -> None:
        try:
            self.identity = identity_of(self.connection.peer_certificate(), self.listener.cluster_id)
        except WireError as error:
            self.connection.close(str(error))

    def _said(self, data: bytes) -> None:
        """The dialer's first record."""
        try:
            hello = self.reader.opening(data)
            if hello is None:
                return
            if not isinstance(hello, framing.Hello):
                raise WireError("a dialer says hello first")
            stream = self.listener.join(hello, self.identity)
            if isinstance(stream, framing.Refusal):
                self.connection.write(framing.encode_control(stream))
                self.connection.on_data = _ignore
                self.connection.close_when_sent(stream.reason)
                return
            self._deadline.cancel()
            welcome = framing.Welcome(framing.WIRE_MAX, self.listener.instance, stream.delivered)
            self.connection.write(framing.encode_control(welcome))
            self.listener.joined(self)
            stream.attach(hello.link, self.connection, self.reader, hello.received, self._gone)
        except WireError as error:
            self.connection.close(str(error))


def _listen(address: Address) -> socket.socket:
    sock = bound(address, socket.SOCK_STREAM)
    sock.listen(BACKLOG)
    return sock


def _ignore(data: bytes) -> None:
    return
