"""Datagrams between two ports on real sockets, and everything that must have no effect."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

import pytest

from primacy.cgtp import crypto
from primacy.cgtp.crypto import PAYLOAD_BYTES_MAX, new_secret
from primacy.cgtp.datagram import Counters, DatagramPort
from primacy.errors import ConfigError
from tests.unit.cgtp_tools import HOSTS, until

CLUSTER_KEY = bytes(range(32))
I1, I2, I3 = ("1" * 32, "2" * 32, "3" * 32)
UNCHANGED = ("delivered", "duplicate", "hello")


class Node:
    """A port and what it was told."""

    def __init__(self, name: str, incarnation: str, cluster_key: bytes = CLUSTER_KEY) -> None:
        self.name, self.incarnation = name, incarnation
        self.received: list[tuple[str, str, bytes]] = []
        self.links: list[int] = []
        self.arrivals: list[tuple[str, str, int]] = []
        self.hellos: list[tuple[bytes, int]] = []
        self.port = DatagramPort(
            node=name,
            incarnation=incarnation,
            links=[(host, 0) for host in HOSTS],
            cluster_key=cluster_key,
            on_datagram=self._datagram,
            on_hello=lambda payload, link: self.hellos.append((payload, link)),
            on_arrival=lambda node, incarnation, link: self.arrivals.append((node, incarnation, link)),
        )

    def _datagram(self, node: str, incarnation: str, payload: bytes, link: int) -> None:
        self.received.append((node, incarnation, payload))
        self.links.append(link)

    def counted(self) -> dict[str, int]:
        """The counters that are not zero."""
        counters = self.port.counters
        return {name: count for name in Counters.__struct_fields__ if (count := getattr(counters, name))}


class Pair:
    """Two nodes that have exchanged keys."""

    def __init__(self) -> None:
        self.n1, self.n2 = Node("n1", I1), Node("n2", I2)
        self.nodes = [self.n1, self.n2]
        self.exchange()

    def exchange(self) -> None:
        """Exchange fresh keys."""
        there, back = new_secret(), new_secret()
        self.n1.port.set_peer("n2", self.n2.incarnation, self.n2.port.addresses, there, back)
        self.n2.port.set_peer("n1", self.n1.incarnation, self.n1.port.addresses, back, there)

    def restart_n1(self, incarnation: str) -> Node:
        """Begin a new life of n1."""
        self.n1 = Node("n1", incarnation)
        self.nodes.append(self.n1)
        return self.n1


@pytest.fixture
async def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    for node in made.nodes:
        node.port.close()


@pytest.fixture
def raw() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock


async def test_each_is_delivered_once_and_shows_every_link(pair: Pair) -> None:
    for number in range(50):
        pair.n1.port.send("n2", b"%d" % number)
    await until(lambda: len(pair.n2.arrivals) == 100, "both copies of each")
    assert sorted(pair.n2.received) == sorted(("n1", I1, b"%d" % number) for number in range(50))
    assert pair.n2.arrivals.count(("n1", I1, 0)) == pair.n2.arrivals.count(("n1", I1, 1)) == 50
    assert pair.n2.counted() == {"delivered": 50, "duplicate": 50}
    assert pair.n1.counted() == {"sent": 100}


async def test_one_link_is_enough(pair: Pair) -> None:
    pair.n2.port.set_link(0, False)
    pair.n1.port.send("n2", b"beat")
    await until(lambda: pair.n2.received, "delivered")
    assert pair.n2.links == [1]
    assert pair.n2.port.counters.link_down == 1
    pair.n2.port.send("n1", b"acknowledged")
    await until(lambda: pair.n1.received, "delivered")
    assert pair.n1.links == [1]
    pair.n2.port.set_link(0, True)
    pair.n1.port.send("n2", b"beat")
    await until(lambda: {0, 1} <= {link for _, _, link in pair.n2.arrivals}, "both links")


async def test_hello_needs_the_cluster_key_only(pair: Pair) -> None:
    stranger, foreigner = Node("n3", I3), Node("n4", "4" * 32, os.urandom(32))
    pair.nodes += [stranger, foreigner]
    where = [[address] for address in pair.n2.port.addresses]
    stranger.port.hello(where, b"I am n3")
    foreigner.port.hello(where, b"I am n4")
    await until(lambda: sum(pair.n2.counted().values()) == 4, "all counted")
    assert sorted(pair.n2.hellos) == [(b"I am n3", 0), (b"I am n3", 1)]
    assert pair.n2.counted() == {"hello": 2, "wrong_key": 2}


async def test_an_obituary_outlives_its_node_once(pair: Pair, raw: socket.socket) -> None:
    for _ in range(2000):
        pair.n1.port.send("n2", b"beat")
        pair.n2.port.drain()
    sealed = pair.n1.port.seal_obituary("n2", b"n1/1 is dead")
    assert sealed == pair.n1.port.seal_obituary("n2", b"n1/1 is dead")
    assert [(link, (host, port)) for link, host, port, _ in sealed] == list(enumerate(pair.n2.port.addresses))
    pair.n1.port.close()
    before = len(pair.n2.received)
    for _ in range(10):
        for _, host, port, datagram in sealed:
            raw.sendto(datagram, (host, port))
    await until(lambda: pair.n2.port.counters.replayed == 18, "all ten of each link seen")
    assert pair.n2.received[before:] == [("n1", I1, b"n1/1 is dead")]


async def test_a_second_obituary_under_the_reserved_counter_is_our_own_bug(pair: Pair) -> None:
    pair.n1.port.seal_obituary("n2", b"one")
    with pytest.raises(AssertionError):
        pair.n1.port.seal_obituary("n2", b"another")
    pair.exchange()
    assert pair.n1.port.seal_obituary("n2", b"another")
    assert pair.n1.port.seal_obituary("n9", b"nobody") == []


async def test_what_was_sealed_before_the_last_exchange_is_opened_still(
    pair: Pair, raw: socket.socket
) -> None:
    old = pair.n1.port.seal_obituary("n2", b"one")
    pair.exchange()
    _, host, port, datagram = old[0]
    raw.sendto(datagram, (host, port))
    await until(lambda: pair.n2.received == [("n1", I1, b"one")], "opened with the key before")
    pair.exchange()
    raw.sendto(datagram, (host, port))
    await until(lambda: pair.n2.port.counters.not_open == 1, "not with the one before that")


async def test_another_life_replaces_the_former(pair: Pair, raw: socket.socket) -> None:
    captured = pair.n1.port.seal_obituary("n2", b"old")[0]
    old = pair.n1
    pair.restart_n1(I3)
    pair.exchange()
    old.port.send("n2", b"from the grave")
    raw.sendto(captured[3], captured[1:3])
    pair.n1.port.send("n2", b"alive")
    pair.n2.port.send("n1", b"hello")
    await until(lambda: pair.n2.received and pair.n1.received, "delivered")
    await until(lambda: pair.n2.port.counters.not_open == 3, "the dead were heard")
    assert pair.n2.received == [("n1", I3, b"alive")]
    assert old.received == []


async def test_a_datagram_for_another_life_is_dropped(pair: Pair, raw: socket.socket) -> None:
    datagram = pair.n2.port.seal_obituary("n1", b"for I1")[0][3]
    later = pair.restart_n1(I3)
    raw.sendto(datagram, later.port.addresses[0])
    await until(lambda: later.counted() == {"foreign_incarnation": 1}, "counted")


async def test_a_forgotten_peer_is_neither_heard_nor_sent_to(pair: Pair) -> None:
    pair.n2.port.forget_peer("n1")
    pair.n1.port.send("n2", b"?")
    pair.n2.port.send("n1", b"?")
    await until(lambda: pair.n2.port.counters.not_open == 3, "counted")
    assert pair.n2.received == pair.n1.received == []


async def test_drain_reads_what_waits_without_the_loop(pair: Pair) -> None:
    for number in range(300):
        pair.n1.port.send("n2", b"%d" % number)
    pair.n2.port.drain()
    assert [payload for _, _, payload in pair.n2.received] == [b"%d" % number for number in range(300)]


async def test_a_full_kernel_buffer_makes_no_noise(pair: Pair) -> None:
    for _ in range(5000):
        pair.n1.port.send("n2", bytes(PAYLOAD_BYTES_MAX))
    counters = pair.n1.port.counters
    assert counters.sent + counters.unsent == 10_000
    pair.n2.port.drain()
    assert pair.n2.received


async def test_a_payload_that_is_too_large_is_our_own_bug(pair: Pair) -> None:
    with pytest.raises(AssertionError):
        pair.n1.port.send("n2", bytes(PAYLOAD_BYTES_MAX + 1))
    with pytest.raises(AssertionError):
        pair.n1.port.hello([[]], bytes(PAYLOAD_BYTES_MAX + 1))


async def test_a_port_that_is_taken_is_a_refusal(pair: Pair) -> None:
    with pytest.raises(ConfigError, match="in use"):
        DatagramPort(
            node="n3",
            incarnation=I3,
            links=[pair.n1.port.addresses[0]],
            cluster_key=CLUSTER_KEY,
            on_datagram=lambda node, incarnation, payload, link: None,
            on_hello=lambda payload, link: None,
        )


async def test_a_link_whose_address_is_missing_does_not_stop_the_others(pair: Pair) -> None:
    port = DatagramPort(
        node="n3",
        incarnation=I3,
        links=[("127.0.0.1", 0), ("192.0.2.77", 0)],
        cluster_key=CLUSTER_KEY,
        on_datagram=lambda node, incarnation, payload, link: None,
        on_hello=lambda payload, link: None,
    )
    port.hello([[address] for address in pair.n2.port.addresses], b"I am n3")
    await until(lambda: pair.n2.hellos == [(b"I am n3", 0)], "heard on the link that is there")
    port.close()


def _mutations(pair: Pair, random_source: random.Random) -> Iterator[bytes]:
    """Yield for ever what an enemy on the wire might send to n2."""
    sealed = pair.n1.port.seal_obituary("n2", b"captured")[0][3]
    hello = crypto.ClusterKey(CLUSTER_KEY).seal(b"hello")
    stranger = crypto.PairKey(os.urandom(32), bytes.fromhex(I3), bytes.fromhex(I2))
    back = pair.n2.port.seal_obituary("n1", b"reflected")[0][3]
    while True:
        base = random_source.choice((sealed, hello))
        kind = random_source.randrange(8)
        if kind == 0:
            yield random_source.randbytes(random_source.randrange(0, 200))
        elif kind == 1:
            yield base[: random_source.randrange(len(base))]
        elif kind == 2:
            yield base + random_source.randbytes(random_source.randrange(1, 1900 - len(base)))
        elif kind == 3:
            yield stranger.seal(random_source.randrange(1 << 64), b"forged")
        elif kind == 4:
            yield back
        elif kind == 5:
            forged = bytearray(sealed)
            forged[26:34] = random_source.randbytes(8)  # another counter under the same seal
            yield bytes(forged)
        elif kind == 6:
            yield bytes((1, random_source.choice((1, 2)))) + random_source.randbytes(
                random_source.randrange(300)
            )
        else:
            forged = bytearray(base)
            forged[random_source.randrange(len(forged))] ^= 1 << random_source.randrange(8)
            yield bytes(forged)


async def test_a_hundred_thousand_bad_datagrams_have_no_effect(
    pair: Pair, raw: socket.socket, random_source: random.Random
) -> None:
    count, where = 100_000, pair.n2.port.addresses
    mutations = _mutations(pair, random_source)
    for number in range(count):
        raw.sendto(next(mutations), where[number % 2])
        if number % 32 == 31:
            pair.n2.port.drain()
    counted = pair.n2.counted()
    assert sum(counted.values()) == count
    assert not set(counted) & set(UNCHANGED)
    assert {"garbage", "truncated", "oversized", "wrong_key", "not_open", "foreign_incarnation"} <= set(
        counted
    )
    assert pair.n2.received == pair.n2.hellos == pair.n2.arrivals == []
    pair.n1.port.send("n2", b"beat")
    await until(lambda: pair.n2.received == [("n1", I1, b"beat")], "the honest are heard as before")


async def test_replays_have_no_effect(pair: Pair, raw: socket.socket, random_source: random.Random) -> None:
    captured = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tap:
        tap.bind((HOSTS[0], 0))
        tap.setblocking(False)
        there, back = new_secret(), new_secret()
        pair.n1.port.set_peer("n2", I2, [tap.getsockname()], there, back)
        pair.n2.port.set_peer("n1", I1, pair.n1.port.addresses, back, there)
        for number in range(3000):
            pair.n1.port.send("n2", b"%d" % number)
            captured.append(tap.recv(2048))
    where = pair.n2.port.addresses
    for datagram in captured:
        raw.sendto(datagram, where[0])
        pair.n2.port.drain()
    assert len(pair.n2.received) == 3000
    for number in range(10_000):
        raw.sendto(random_source.choice(captured), where[0])
        if number % 32 == 31:
            pair.n2.port.drain()
    pair.n2.port.drain()
    assert len(pair.n2.received) == 3000
    assert pair.n2.port.counters.replayed == 10_000
