"""Datagrams: beats, hello, announcements, obituaries; the same bytes on each link, sealed, at most once
delivered.

One UDP socket per link. What a peer sends arrives up to once per link: the first copy is delivered, the
others only show that their link lives. Each arrival is judged in this order, the cheap tests first: size,
version and kind, receiver's incarnation, key, replay on its own link, seal, duplicate across the links.
Whatever fails is counted and has no effect; no input raises.

Invariants: nothing here waits, allocates without limit, or asks for a name; a counter is never used twice; a
link that is set down carries nothing either way. Never in here: what a payload means, and repetition (whoever
sends state repeats it until it is acknowledged).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import msgspec

from primacy.cgtp.address import Address, bound
from primacy.cgtp.crypto import (
    DATAGRAM_BYTES_MAX,
    HELLO,
    HELLO_BYTES_MIN,
    OBITUARY_COUNTER,
    PAYLOAD_BYTES_MAX,
    SEALED,
    SEALED_BYTES_MIN,
    VERSION,
    ClusterKey,
    PairKey,
    parse_sealed,
)
from primacy.errors import ConfigError
from primacy.machines.dedup import Verdict, Window

RECEIVE_BYTES = 2048
BURST = 64
"""Read at most so many datagrams of one link per wake-up, so that a flood cannot starve the timers."""
DRAIN_MAX = 4096
BUFFER_BYTES = 1 << 20
"""What the kernel keeps for a process that does not run for a moment."""


class Counters(msgspec.Struct):
    """What has become of the datagrams that arrived and of those that were to leave."""

    delivered: int = 0
    duplicate: int = 0
    """Authentic, and already delivered from another link."""
    hello: int = 0
    garbage: int = 0
    """No version or kind that we know."""
    truncated: int = 0
    oversized: int = 0
    foreign_incarnation: int = 0
    """For another life of this node, or for another node."""
    not_open: int = 0
    """No keys were exchanged with the sender, or (sending) with the receiver."""
    wrong_key: int = 0
    """The seal does not fit: forged, damaged, or of another cluster."""
    replayed: int = 0
    """Already received on the same link, or too old to tell."""
    link_down: int = 0
    """On a link that is set down."""
    sent: int = 0
    unsent: int = 0
    """The kernel did not take it."""


class _Receiver:
    """What we receive from one life of one peer under one key."""

    __slots__ = ("incarnation", "key", "links", "merged", "node")

    def __init__(self, node: str, incarnation: str, key: PairKey, links: int) -> None:
        self.node, self.incarnation, self.key = node, incarnation, key
        self.links = [Window() for _ in range(links)]
        self.merged = Window()


class _Peer:
    """One life of one peer."""

    __slots__ = ("addresses", "incarnation", "obituary", "receivers", "send_key")

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.addresses: list[Address | None] = []  # per link of ours; None: that one leads nowhere
        self.send_key: PairKey | None = None
        self.obituary: tuple[bytes, bytes] | None = None  # payload, and what it is with the reserved counter
        self.receivers: list[_Receiver] = []  # the present key's and the one before


class DatagramPort:
    """All datagrams of one agent."""

    def __init__(
        self,
        *,
        node: str,
        incarnation: str,
        links: Sequence[Address],
        cluster_key: bytes,
        on_datagram: Callable[[str, str, bytes, int], None],
        on_hello: Callable[[bytes, int], None],
        on_arrival: Callable[[str, str, int], None] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Bind each link's address and begin to read.

        `on_datagram(node, incarnation, payload, link)` is called once for each datagram; `on_arrival(node,
        incarnation, link)` before it, and for each authentic duplicate too: the links' health.
        """
        self.node = node
        self._incarnation = bytes.fromhex(incarnation)
        self._cluster_key = ClusterKey(cluster_key)
        self._on_datagram, self._on_hello, self._on_arrival = on_datagram, on_hello, on_arrival
        self._loop = loop or asyncio.get_running_loop()
        self._counter = OBITUARY_COUNTER  # one for all keys: it never recurs, whatever becomes of the keys
        self._peers: dict[str, _Peer] = {}
        self._receivers: dict[bytes, _Receiver] = {}
        self._sockets: list[socket.socket] = []
        self._up = [True] * len(links)
        self.counters = Counters()
        try:
            for address in links:
                self._sockets.append(sock := bound(address, socket.SOCK_DGRAM))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        except OSError as error:
            self.close()
            got = f"{address[0]}:{address[1]} ({error.strerror})"
            raise ConfigError("links", got, "a numeric address and a free port") from error
        for link, sock in enumerate(self._sockets):
            self._loop.add_reader(sock.fileno(), self._readable, link)

    @property
    def addresses(self) -> list[Address]:
        """Where the links are really bound."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    def set_peer(
        self,
        node: str,
        incarnation: str,
        addresses: Sequence[Address | None],
        send_key: bytes,
        receive_key: bytes,
    ) -> None:
        """Open the channel with this life of a node; it replaces any other life of it.

        addresses: for each link of ours where it leads (None: nowhere).
        The keys are the secrets of the two directions. New keys for the same life replace the old ones; what
        the peer still seals with its old one (an obituary, say) is opened until the next exchange.
        """
        theirs = bytes.fromhex(incarnation)
        peer = self._peers.get(node)
        if peer is None or peer.incarnation != incarnation:
            self.forget_peer(node)
            peer = self._peers[node] = _Peer(incarnation)
        peer.addresses = list(addresses)
        sending = PairKey(send_key, self._incarnation, theirs)
        if peer.send_key is None or peer.send_key.id != sending.id:
            peer.send_key, peer.obituary = sending, None
        receiving = PairKey(receive_key, theirs, self._incarnation)
        if receiving.id not in (receiver.key.id for receiver in peer.receivers):
            for receiver in peer.receivers[1:]:
                del self._receivers[receiver.key.id]
            receiver = _Receiver(node, incarnation, receiving, len(self._sockets))
            peer.receivers = [receiver, *peer.receivers[:1]]
            self._receivers[receiving.id] = receiver

    def readdress(self, node: str, addresses: Sequence[Address | None]) -> None:
        """The links to the present life of a node lead elsewhere; nothing happens when there is none."""
        peer = self._peers.get(node)
        if peer is not None:
            peer.addresses = list(addresses)

    def forget_peer(self, node: str) -> None:
        """Close the channel with a node: nothing is sent to it or taken from it."""
        peer = self._peers.pop(node, None)
        for receiver in peer.receivers if peer else ():
            del self._receivers[receiver.key.id]

    def send(self, node: str, payload: bytes) -> None:
        """Send to a node on every link that is up; never waits, and what the kernel does not take is lost."""
        assert len(payload) <= PAYLOAD_BYTES_MAX, len(payload)
        peer = self._peers.get(node)
        if peer is None or peer.send_key is None:
            self.counters.not_open += 1
            return
        self._counter += 1
        datagram = peer.send_key.seal(self._counter, payload)
        for link, address in enumerate(peer.addresses[: len(self._sockets)]):
            if address is not None:
                self._send(link, address, datagram)

    def hello(self, addresses_per_link: Sequence[Sequence[Address]], payload: bytes) -> None:
        """Send a hello from each link to the addresses given for it."""
        assert len(payload) <= PAYLOAD_BYTES_MAX, len(payload)
        datagram = self._cluster_key.seal(payload)
        for link, addresses in enumerate(addresses_per_link[: len(self._sockets)]):
            for address in addresses:
                self._send(link, address, datagram)

    def seal_obituary(self, node: str, payload: bytes) -> list[tuple[int, str, int, bytes]]:
        """Seal this node's obituary for a peer in advance: (link, address, port, bytes) for the guardian to
        send.

        It uses the reserved counter, so it can be sealed only once under one key: asked again, the same bytes
        are returned, and another payload is our own bug.
        """
        assert len(payload) <= PAYLOAD_BYTES_MAX, len(payload)
        peer = self._peers.get(node)
        if peer is None or peer.send_key is None:
            return []
        if peer.obituary is None:
            peer.obituary = payload, peer.send_key.seal(OBITUARY_COUNTER, payload)
        sealed_payload, datagram = peer.obituary
        assert payload == sealed_payload, "another obituary under the reserved counter"
        return [
            (link, *address, datagram) for link, address in enumerate(peer.addresses) if address is not None
        ]

    def set_link(self, index: int, up: bool) -> None:
        """Take a link down on an operator's word (all its traffic is dropped, both ways), or up."""
        self._up[index] = up

    def drain(self) -> None:
        """Read what waits in all sockets now, before anybody is judged by the clock."""
        for link in range(len(self._sockets)):
            self._read(link, DRAIN_MAX)

    def close(self) -> None:
        """Close all sockets."""
        for sock in self._sockets:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock.fileno())
                sock.close()

    def _send(self, link: int, address: Address, datagram: bytes) -> None:
        if not self._up[link]:
            self.counters.link_down += 1
            return
        try:
            self._sockets[link].sendto(datagram, address)
            self.counters.sent += 1
        except OSError:  # full, unreachable, forbidden by a filter: the other links carry it
            self.counters.unsent += 1

    def _readable(self, link: int) -> None:
        self._read(link, BURST)

    def _read(self, link: int, count: int) -> None:
        sock = self._sockets[link]
        for _ in range(count):
            try:
                datagram = sock.recv(RECEIVE_BYTES)
            except OSError:  # nothing more; or the kernel reports that an earlier datagram was refused
                return
            if self._up[link]:
                self._arrived(datagram, link)
            else:
                self.counters.link_down += 1
            if sock.fileno() < 0:
                return

    def _arrived(self, datagram: bytes, link: int) -> None:
        counters, size = self.counters, len(datagram)
        if size > DATAGRAM_BYTES_MAX:
            counters.oversized += 1
        elif size < 2:
            counters.truncated += 1
        elif datagram[0] != VERSION or datagram[1] not in (SEALED, HELLO):
            counters.garbage += 1
        elif datagram[1] == HELLO:
            self._hello_arrived(datagram, link)
        elif size < SEALED_BYTES_MIN:
            counters.truncated += 1
        else:
            self._sealed_arrived(datagram, link)

    def _hello_arrived(self, datagram: bytes, link: int) -> None:
        if len(datagram) < HELLO_BYTES_MIN:
            self.counters.truncated += 1
            return
        payload = self._cluster_key.open(datagram)
        if payload is None:
            self.counters.wrong_key += 1
            return
        self.counters.hello += 1
        self._on_hello(payload, link)

    def _sealed_arrived(self, datagram: bytes, link: int) -> None:
        counters, header = self.counters, parse_sealed(datagram)
        if header.receiver != self._incarnation:
            counters.foreign_incarnation += 1
            return
        receiver = self._receivers.get(header.key_id)
        if receiver is None:
            counters.not_open += 1
            return
        window = receiver.links[link]
        if window.judge(header.counter) is not Verdict.NEW:
            counters.replayed += 1
            return
        payload = receiver.key.open(datagram, header.counter)
        if payload is None:
            counters.wrong_key += 1
            return
        window.accept(header.counter)
        first = receiver.merged.accept(header.counter)
        if first:
            counters.delivered += 1
        else:
            counters.duplicate += 1
        if self._on_arrival is not None:
            self._on_arrival(receiver.node, receiver.incarnation, link)
        if first:
            self._on_datagram(receiver.node, receiver.incarnation, payload, link)
