"""One TLS connection: bytes both ways, back-pressure that is seen, and exactly one end with a reason."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import pytest

from primacy.cgtp.connection import Connection, configure
from primacy.cgtp.tls import client_context, server_context
from tests.unit.cgtp_tools import Credentials, until


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    credentials = Credentials(tmp_path_factory.mktemp("credentials"))
    return client_context(credentials.node("n1")), server_context(credentials.node("n2"))


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialing = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    return dialing, accepted


class Side:
    """A connection and what it told its owner."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.received = bytearray()
        self.ready = False
        self.writable = 0
        self.ends: list[str] = []
        self.connection = Connection(sock, context, server_side=server_side)
        self.connection.on_ready = self._ready
        self.connection.on_data = self.received.extend
        self.connection.on_writable = self._writable
        self.connection.on_lost = self.ends.append
        self.connection.start()

    def _ready(self) -> None:
        self.ready = True

    def _writable(self) -> None:
        self.writable += 1


class Sides:
    """Both ends of one connection."""

    def __init__(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        dialing, accepted = tcp_pair()
        self.dialer = Side(dialing, contexts[0], server_side=False)
        self.acceptor = Side(accepted, contexts[1], server_side=True)

    async def up(self) -> None:
        await until(lambda: self.dialer.ready and self.acceptor.ready, "handshake")


@pytest.fixture
async def sides(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[Sides]:
    made = Sides(contexts)
    yield made
    for side in (made.dialer, made.acceptor):
        side.connection.close()
        await until(lambda side=side: side.ends, "told its end")
        assert len(side.ends) == 1


async def test_bytes_go_both_ways(sides: Sides) -> None:
    await sides.up()
    sides.dialer.connection.write(b"there")
    sides.acceptor.connection.write(b"back")
    await until(lambda: sides.acceptor.received == b"there" and sides.dialer.received == b"back", "arrived")
    certificate = sides.acceptor.connection.peer_certificate()
    assert certificate is not None
    assert ("URI", "primacy://test/node/n1") in certificate["subjectAltName"]


async def test_what_the_kernel_does_not_take_is_seen_and_follows(sides: Sides) -> None:
    await sides.up()
    sides.dialer.connection.write(bytes(30_000_000))
    assert sides.dialer.connection.blocked
    await until(lambda: len(sides.acceptor.received) == 30_000_000, "all arrived")
    await until(lambda: sides.dialer.writable == 1, "told")
    assert not sides.dialer.connection.blocked


async def test_an_end_in_order_loses_nothing(sides: Sides) -> None:
    await sides.up()
    sides.dialer.connection.write(bytes(5_000_000))
    sides.dialer.connection.close_when_sent("done")
    sides.dialer.connection.write(b"too late")
    await until(lambda: sides.acceptor.ends, "the peer sees the end")
    assert len(sides.acceptor.received) == 5_000_000
    assert sides.acceptor.ends == ["the peer closed the connection"]
    await until(lambda: sides.dialer.ends, "and so do we")


async def test_an_end_in_order_is_bounded_when_the_peer_does_not_read(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    dialing, silent = tcp_pair()
    side = Side(dialing, contexts[0], server_side=False)
    side.connection.close_when_sent("done")
    await until(lambda: side.ends == ["done"], "given up", 5)
    silent.close()


async def test_closing_is_told_once_and_from_the_loop(sides: Sides) -> None:
    await sides.up()
    sides.dialer.connection.close("enough")
    assert sides.dialer.ends == []
    sides.dialer.connection.close("again")
    sides.dialer.connection.write(b"ignored")
    await until(lambda: sides.acceptor.ends, "the peer sees it")
    assert sides.dialer.ends == ["enough"]


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(70_000), b""]
)
async def test_a_peer_that_speaks_no_tls(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], garbage: bytes
) -> None:
    dialing, accepted = tcp_pair()
    side = Side(accepted, contexts[1], server_side=True)
    dialing.sendall(garbage)
    dialing.shutdown(socket.SHUT_WR)
    await until(lambda: side.ends, "ended")
    assert not side.ready
    dialing.close()


async def test_garbage_after_the_handshake_ends_the_connection(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    relayed, accepted = tcp_pair()
    dialing, relay = tcp_pair()
    acceptor, dialer = (
        Side(accepted, contexts[1], server_side=True),
        Side(dialing, contexts[0], server_side=False),
    )
    loop = asyncio.get_running_loop()
    for sock in (relayed, relay):
        configure(sock)
    while not (acceptor.ready and dialer.ready):
        for source, sink in ((relay, relayed), (relayed, relay)):
            try:
                await loop.sock_sendall(sink, source.recv(65536))
            except BlockingIOError:
                await asyncio.sleep(0.001)
    await loop.sock_sendall(relayed, b"\x17\x03\x03\x00\x30" + bytes(48))
    await until(lambda: acceptor.ends, "ended")
    assert acceptor.ends[0].startswith("TLS:")
    dialer.connection.close()
    await until(lambda: dialer.ends, "ended")
    relay.close()
    relayed.close()


async def test_a_peer_without_a_certificate_is_refused(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.verify_mode = ssl.CERT_NONE
    dialing, accepted = tcp_pair()
    acceptor, dialer = Side(accepted, contexts[1], server_side=True), Side(dialing, bare, server_side=False)
    await until(lambda: acceptor.ends and dialer.ends, "both ended")
    assert not acceptor.ready
    assert "CERTIFICATE" in acceptor.ends[0].upper()
    assert "CERTIFICATE" in dialer.ends[0].upper()


async def test_an_older_tls_is_refused(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    dialing, accepted = tcp_pair()
    acceptor, dialer = Side(accepted, contexts[1], server_side=True), Side(dialing, old, server_side=False)
    await until(lambda: acceptor.ends and dialer.ends, "both ended")
    assert not acceptor.ready
    assert not dialer.ready


async def test_a_configured_socket_does_not_wait(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    one, other = tcp_pair()
    configure(one)
    assert not one.getblocking()
    assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
    one.close()
    other.close()
