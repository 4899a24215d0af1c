"""Who talks with this host: clients, and the host on the other side of the mirror.

One listener takes both; a peer's certificate says which it may be. A client's may only call. A node's may
call, and may mirror; whether it is the peer that the assignment names is for the roles to judge. A mirror
stream is dialed by the secondary and is kept when a switchover exchanges the roles: `MirrorStreams.to(peer)`
finds the one that is there.

Bytes that no decoder takes end the stream that they came on, and nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from primacy.cgtp.stream import Identity, Listener, Stream, dial
from primacy.errors import StreamClosed
from primacy.machines import call_wire, mirror_wire
from primacy.machines.call_wire import Call, KeepAlive, OpenSession, Query, Unwatch, Watch
from primacy.machines.host_wire import Peer
from primacy.machines.mirror_wire import Acknowledged, JoinMirror, SnapshotTaken
from primacy.machines.watching import Watching

if TYPE_CHECKING:
    from primacy.host.calls import Calls

LIMIT_CLIENTS = 10_000
REDIAL_S = 0.05

_calls = msgspec.msgpack.Decoder(call_wire.ToHost)
_all: Any = msgspec.msgpack.Decoder(call_wire.ToHost | mirror_wire.Message | call_wire.HostRole)


class Client:
    """One client's stream: a sink for replies, with its watches."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.watches: dict[int, Watching] = {}

    def send(self, frame: bytes) -> None:
        """Send a frame; to a client that is gone it is lost, and the client asks again elsewhere."""
        try:
            self.stream.send(frame)
        except StreamClosed:
            pass

    def flush(self) -> None:
        """Let what was sent leave now."""
        self.stream.flush()


class MirrorStream:
    """A stream to the host of the same service on another node."""

    def __init__(self, stream: Stream, node: str) -> None:
        self.stream = stream
        self.node = node
        self.join: JoinMirror | None = None
        """What the other side last asked as a joiner; it may come before our own assignment."""

    def send(self, frame: bytes) -> None:
        """Send a frame; on a stream that has ended it is lost, and the joining begins anew."""
        try:
            self.stream.send(frame)
        except StreamClosed:
            pass

    def flush(self) -> None:
        """Let what was sent leave now."""
        self.stream.flush()


class Roles:
    """What the streams need of the host: who takes which message now."""

    def calls(self) -> Calls | None:
        """Return what takes calls, when this host is primary."""
        raise AssertionError

    def greeting(self) -> bytes:
        """Return the `HostRole` frame of this moment."""
        raise AssertionError

    def mirror_heard(self, stream: MirrorStream, messages: list[Any]) -> None:
        """The other side of the mirror said something."""
        raise AssertionError

    def mirror_ended(self, stream: MirrorStream) -> None:
        """A mirror stream has ended."""
        raise AssertionError


class Streams:
    """All streams of a host."""

    def __init__(self, roles: Roles, dial_tls: ssl.SSLContext) -> None:
        self._roles = roles
        self._dial_tls = dial_tls
        self._listener = Listener()
        self._clients: set[Client] = set()
        self._mirrors: dict[str, MirrorStream] = {}
        self._links_down: set[int] = set()

    async def listen(self, addresses: list[tuple[str, int]], tls: ssl.SSLContext) -> None:
        """Take clients and mirrors on every link."""
        await self._listener.start(addresses, tls, self._arrived)

    def close(self) -> None:
        """End everything in order."""
        self._listener.close()
        for mirror in list(self._mirrors.values()):
            mirror.stream.close("the host ends")

    def tell_clients(self, frame: bytes) -> None:
        """Push a frame to all clients."""
        for client in self._clients:
            client.send(frame)
            client.flush()

    def forget_watches(self) -> None:
        """The term has ended here: the clients begin their watches anew where the next primary is."""
        for client in self._clients:
            client.watches.clear()

    def set_link(self, index: int, up: bool) -> None:
        """Take a link down or up on an operator's word."""
        if up:
            self._links_down.discard(index)
        else:
            self._links_down.add(index)
        self._listener.set_link(index, up)
        for mirror in self._mirrors.values():
            mirror.stream.set_link(index, up)

    def mirror_of(self, node: str) -> MirrorStream | None:
        """Return the stream to the host on `node`, if there is one that goes on."""
        mirror = self._mirrors.get(node)
        return mirror if mirror is not None and mirror.stream.closed is None else None

    def dial_mirror(self, peer: Peer) -> MirrorStream:
        """Return a new stream to the peer; it is up some time later."""
        stream = dial(peer.addresses, self._dial_tls, Identity("node", peer.member.node))
        for index in self._links_down:
            stream.set_link(index, False)
        return self._mirror(stream, peer.member.node)

    def _arrived(self, stream: Stream) -> None:
        if len(self._clients) >= LIMIT_CLIENTS:
            stream.abort("too many clients")
            return
        client = Client(stream)
        self._clients.add(client)
        client.send(self._roles.greeting())
        decode = _all.decode if stream.peer.kind == "node" else _calls.decode
        stream.on_frames(lambda frames: self._from_client(client, decode, frames))
        stream.on_closed(lambda reason: self._client_gone(client))

    def _client_gone(self, client: Client) -> None:
        self._clients.discard(client)
        calls = self._roles.calls()
        if calls is not None:
            calls.watches.forget(client)

    def _from_client(self, client: Client, decode: Callable[[bytes], Any], frames: list[bytes]) -> None:
        calls = self._roles.calls()
        for number, frame in enumerate(frames):
            try:
                message = decode(frame)
            except (ValueError, RecursionError) as error:
                client.stream.close(f"a frame that cannot be read: {error}")
                break
            kind = type(message)
            if kind is JoinMirror:
                self._client_gone(client)
                mirror = self._mirror(client.stream, client.stream.peer.name)
                self._from_mirror(mirror, frames[number:])
                return
            if calls is None:
                continue  # the client repeats it where it is told that the primary is
            if kind is Call:
                calls.call(client, message)
            elif kind is Query:
                calls.query(client, message)
            elif kind is KeepAlive:
                calls.keep_alive(message.session, message.end)
            elif kind is OpenSession:
                calls.open_session(client, message)
            elif kind is Watch:
                calls.watch(client, message)
            elif kind is Unwatch:
                calls.watches.remove(client, message.request)
        if calls is not None:
            calls.arrived()

    def _mirror(self, stream: Stream, node: str) -> MirrorStream:
        old = self._mirrors.get(node)
        mirror = self._mirrors[node] = MirrorStream(stream, node)
        if old is not None and old.stream is not stream:
            old.stream.abort("another stream has taken its place")
        stream.on_frames(lambda frames: self._from_mirror(mirror, frames))
        stream.on_closed(lambda reason: self._mirror_ended(mirror))
        return mirror

    def _from_mirror(self, mirror: MirrorStream, frames: list[bytes]) -> None:
        messages: list[Any] = []
        for frame in frames:
            try:
                message = _all.decode(frame)
            except (ValueError, RecursionError) as error:
                mirror.stream.abort(f"a frame that cannot be read: {error}")
                return
            if isinstance(message, mirror_wire.Message):  # else it is a greeting
                messages.append(message)
        self._roles.mirror_heard(mirror, messages)

    def _mirror_ended(self, mirror: MirrorStream) -> None:
        if self._mirrors.get(mirror.node) is mirror:
            del self._mirrors[mirror.node]
        self._roles.mirror_ended(mirror)


TO_PRIMARY = (Acknowledged, SnapshotTaken)


def redial(loop: asyncio.AbstractEventLoop, again: Callable[[], None]) -> asyncio.TimerHandle:
    """Dial again in a moment: the peer's process may be starting."""
    return loop.call_later(REDIAL_S, again)
