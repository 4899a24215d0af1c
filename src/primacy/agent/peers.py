"""The streams between this agent and all others, and what travels on them: keys, levels, questions.

The node with the smaller id dials. First each side says which life of which node it is, and where it listens; then each
sends the other the key for its datagrams, bound to both incarnations. A stream that ends is dialed again for ever; its
ending decides nothing about roles. A node that is to move may be at either place until it has told where it is: it is
dialed at both.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from primacy.agent.tasks import Tasks
from primacy.cgtp.stream import Identity, Stream, dial
from primacy.errors import StreamClosed, WireError
from primacy.machines import peer_wire
from primacy.machines.ids import Member
from primacy.machines.messages import WIRE_MAX, WIRE_MIN
from primacy.machines.peer_wire import Ask, Greeting, Progress, Tell, ToCoordinator

REDIAL_S = 0.1
LINKS_MAX = 8  # of a stream
PORT_MAX = 65_535
PART_S = 0.5
INCARNATION = re.compile("[0-9a-f]{32}")

Address = tuple[str, int]


@dataclass(slots=True)
class _Peer:
    node: str
    addresses: list[Address]  # of the table in force
    stream: Stream | None = None
    dialed: list[Address] = field(default_factory=list)
    incarnation: str = ""
    told: list[Address] = field(default_factory=list)  # where that life listens
    send_keys: dict[str, bytes] = field(default_factory=dict)  # by incarnation: one for a pair of lives
    keyed: bool = False

    @property
    def places(self) -> list[Address]:
        """Where it may be: as the table says, or where its last life was."""
        return [*self.addresses, *(each for each in self.told if each not in self.addresses)][:LINKS_MAX]


class PeerStreams:
    """One stream for each other node of the table.

    on_keys(member, addresses, send_key, receive_key): datagrams can be exchanged with this life, which listens there.
    on_message(member, message): levels and departures. answer(node, verb, arguments): answers a question of another
    agent. own: where this node listens (empty: as the table says).
    """

    def __init__(
        self,
        me: Member,
        tls: ssl.SSLContext,
        on_keys: Callable[[Member, list[Address], bytes, bytes], None],
        on_message: Callable[[Member, ToCoordinator], None],
        answer: Callable[[str, str, dict[str, Any]], Awaitable[tuple[str, Any, list[str]]]],
        own: Sequence[Address] = (),
    ) -> None:
        self._me, self.own, self._tls = me, list(own), tls
        self._on_keys, self._on_message, self._answer = on_keys, on_message, answer
        self._peers: dict[str, _Peer] = {}
        self._asked: dict[int, asyncio.Future[Tell]] = {}
        self._last_ask = 0
        self._progress: Progress | None = None
        self._links_down: set[int] = set()
        self._tasks = Tasks(f"the agent of {me.node}, talking with other agents")
        self._closed = False

    def start(self, addresses: dict[str, list[Address]], eligible: Collection[str] | None = None) -> None:
        """Know these nodes and where they are, and dial those that this node is to dial; again whenever that may have
        changed.

        eligible: of two nodes of which neither may be master neither has anything to say to the other, and so they
        keep no stream (None: every node may be).
        """
        me = self._me.node
        for node, theirs in addresses.items():
            if node == me or self._closed:
                continue
            peer = self._peers.setdefault(node, _Peer(node, theirs))
            peer.addresses = theirs
            wanted = eligible is None or me in eligible or node in eligible
            if me < node and wanted and (peer.stream is None or not peer.stream.links_up):
                self._dial_where_it_may_be(peer)

    def told(self, node: str) -> list[Address]:
        """Where the last life of a node that was heard listens; empty: as the table says."""
        peer = self._peers.get(node)
        return peer.told if peer is not None else []

    def places(self, node: str) -> list[Address]:
        """Where a node may be; empty: it is not known."""
        peer = self._peers.get(node)
        return peer.places if peer is not None else []

    def keep(self, nodes: frozenset[str]) -> None:
        """These nodes are left in the table: the streams to others end."""
        for node in [n for n in self._peers if n not in nodes]:
            peer = self._peers.pop(node)
            if peer.stream is not None:
                stream, peer.stream = peer.stream, None
                stream.close()

    def accept(self, stream: Stream) -> None:
        """A node has dialed this agent."""
        peer = self._peers.get(stream.peer.name)
        if peer is None:
            stream.close()
            return
        self._adopt(peer, stream)

    def tell(self, node: str | None, message: ToCoordinator) -> None:
        """Send to one node, or to all (None); the last progress is told again to every node that joins later."""
        if isinstance(message, Progress) and node is None:
            self._progress = message
        frame = peer_wire.encode(message)
        for peer in self._peers.values():
            if node in (None, peer.node):
                self._send(peer, frame)

    async def ask(self, node: str, verb: str, arguments: dict[str, Any], timeout_s: float) -> Tell:
        """Ask another agent; TimeoutError when it does not answer in time."""
        peer = self._peers.get(node)
        if peer is None or peer.stream is None or not peer.stream.links_up:
            raise TimeoutError(f"no connection to {node}")
        self._last_ask += 1
        number = self._last_ask
        future: asyncio.Future[Tell] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            self._send(peer, peer_wire.encode(Ask(number, verb, arguments)))
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            del self._asked[number]

    def set_link(self, index: int, up: bool) -> None:
        """An operator takes a link of this node down or up."""
        (self._links_down.discard if up else self._links_down.add)(index)
        for peer in self._peers.values():
            if peer.stream is not None:
                peer.stream.set_link(index, up)

    async def close(self) -> None:
        """End all streams in order: the farewells leave, but a frozen peer is not waited for for long."""
        self._closed = True
        self._tasks.cancel()
        streams = [peer.stream for peer in self._peers.values() if peer.stream is not None]
        for stream in streams:
            stream.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PART_S):
                for stream in streams:
                    await stream.wait_closed()

    def _dial_where_it_may_be(self, peer: _Peer) -> None:
        """Dial, unless that is under way at these very places."""
        if peer.stream is None or peer.dialed != peer.places:
            self._dial(peer)

    def _dial(self, peer: _Peer) -> None:
        peer.dialed = peer.places
        stream = dial(peer.dialed, self._tls, Identity("node", peer.node))
        for index in self._links_down:
            stream.set_link(index, False)
        stream.on_links(lambda up: self._links_changed(peer, stream, up))
        self._adopt(peer, stream)

    def _links_changed(self, peer: _Peer, stream: Stream, up: int) -> None:
        """Its last link is down: perhaps it is elsewhere now."""
        if not up and peer.stream is stream and not self._closed:
            self._dial_where_it_may_be(peer)

    def _adopt(self, peer: _Peer, stream: Stream) -> None:
        old, peer.stream, peer.keyed = peer.stream, stream, False
        if old is not None:
            old.close()
        stream.on_frames(lambda frames: self._read(peer, stream, frames))
        stream.on_closed(lambda reason: self._ended(peer, stream))
        self._send(peer, peer_wire.encode(self._greeting("", b"")))

    def _ended(self, peer: _Peer, stream: Stream) -> None:
        if peer.stream is not stream or self._closed:
            return
        peer.stream = None
        if self._me.node < peer.node:
            self._tasks.start(self._redial(peer.node))

    async def _redial(self, node: str) -> None:
        await asyncio.sleep(REDIAL_S)
        if node in self._peers and self._peers[node].stream is None:
            self._dial(self._peers[node])

    def _greeting(self, to: str, key: bytes) -> Greeting:
        return Greeting(self._me.node, self._me.incarnation, to, key, WIRE_MIN, WIRE_MAX, self.own)

    def _send(self, peer: _Peer, frame: bytes) -> None:
        if peer.stream is not None and peer.stream.closed is None:
            try:
                peer.stream.send(frame)
            except StreamClosed:
                return

    def _read(self, peer: _Peer, stream: Stream, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if peer.stream is not stream:
                return  # replaced: what an earlier life of the peer had sent is not this life's word
            try:
                message = peer_wire.decode(frame)
            except WireError:
                stream.abort()
                return
            match message:
                case Greeting():
                    self._greeted(peer, message)
                case Ask():
                    self._reply(peer, message)
                case Tell(id=number):
                    future = self._asked.get(number)
                    if future is not None and not future.done():
                        future.set_result(message)
                case _ if peer.incarnation:
                    self._on_message(Member(peer.node, peer.incarnation), message)

    def _greeted(self, peer: _Peer, greeting: Greeting) -> None:
        """The certificate has proven the node; the greeting says which life of it this is."""
        if greeting.node != peer.node or greeting.wire_max < WIRE_MIN or greeting.wire_min > WIRE_MAX:
            return
        if not INCARNATION.fullmatch(greeting.incarnation):
            return
        peer.incarnation = greeting.incarnation
        peer.told = _addresses(greeting.at)
        if self._me.node < peer.node and peer.told == peer.addresses and peer.dialed != peer.places:
            self._dial(peer)  # it has moved: nobody is at its former place any more
            return
        key = peer.send_keys.get(peer.incarnation)
        if key is None:
            peer.send_keys.clear()
            key = peer.send_keys[peer.incarnation] = os.urandom(32)
        if not greeting.to:
            self._send(peer, peer_wire.encode(self._greeting(peer.incarnation, key)))
            if self._progress is not None:
                self._send(peer, peer_wire.encode(self._progress))
        elif greeting.to == self._me.incarnation and len(greeting.key) == 32:
            self._on_keys(Member(peer.node, peer.incarnation), peer.told or peer.addresses, key, greeting.key)

    def _reply(self, peer: _Peer, ask: Ask) -> None:
        async def work() -> None:
            kind, result, reasons = await self._answer(peer.node, ask.verb, ask.arguments)
            self._send(peer, peer_wire.encode(Tell(ask.id, kind, result, reasons)))

        def failed(error: BaseException) -> None:
            why = (
                f"{ask.verb}: an error of the agent of {self._me.node} ({type(error).__name__}); see its log"
            )
            self._send(peer, peer_wire.encode(Tell(ask.id, "failed", None, [why])))

        self._tasks.start(work(), failed)


def _addresses(told: list[tuple[str, int]]) -> list[Address]:
    """Return where a life says that it listens; nothing when that is no place: nobody here ever asks for a name."""
    try:
        for address, _ in told:
            ipaddress.ip_address(address)
    except ValueError:
        return []
    right = len(told) <= LINKS_MAX and all(0 <= port <= PORT_MAX for _, port in told)
    return [(address, port) for address, port in told] if right else []
