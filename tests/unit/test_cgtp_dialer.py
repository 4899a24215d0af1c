"""The dialing end: it never gives up, and knows whom it has reached."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from primacy.cgtp.address import bound
from primacy.cgtp.connection import Connection
from primacy.cgtp.dialer import dial
from primacy.cgtp.endpoint import UNKNOWN, Stream
from primacy.cgtp.framing import Reader, Refusal, Welcome, encode_control
from primacy.cgtp.listener import Listener
from primacy.cgtp.tls import client_context, server_context
from primacy.errors import StreamClosed
from tests.unit.cgtp_tools import HOSTS, N1, N2, Credentials, until


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials(tmp_path_factory.mktemp("credentials"))


def free_port() -> int:
    with bound(("127.0.0.1", 0), socket.SOCK_STREAM) as sock:
        return int(sock.getsockname()[1])


class Acceptor:
    """Accepts TLS connections and answers the hello with what it was told to."""

    def __init__(self, credentials: Credentials, *answers: bytes) -> None:
        self._context = server_context(credentials.node("n2"))
        self._answers = answers
        self._socket = bound(("127.0.0.1", 0), socket.SOCK_STREAM)
        self._socket.listen()
        self._connections: list[Connection] = []
        self.hellos: list[object] = []
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()
        return host, port

    def _accept(self) -> None:
        connection, reader = Connection(self._socket.accept()[0], self._context, server_side=True), Reader()

        def heard(data: bytes) -> None:
            self.hellos.append(reader.opening(data))
            connection.write(self._answers[min(len(self.hellos), len(self._answers)) - 1])

        connection.on_data = heard
        self._connections.append(connection)
        connection.start()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        for connection in self._connections:
            connection.close()


@pytest.fixture
async def streams() -> AsyncIterator[list[Stream]]:
    made: list[Stream] = []
    yield made
    for stream in made:
        stream.close()
        await stream.wait_closed()


async def test_it_dials_until_somebody_is_there(credentials: Credentials, streams: list[Stream]) -> None:
    port = free_port()
    stream = dial([("127.0.0.1", port)], client_context(credentials.node("n1")), N2)
    streams.append(stream)
    with pytest.raises(TimeoutError, match=f"no link to node n2 within 0.2 s; link 0: 127.0.0.1:{port}"):
        await stream.wait_up(0.2)
    listener = Listener()
    await listener.start([("127.0.0.1", port)], server_context(credentials.node("n2")), lambda stream: None)
    await stream.wait_up(3)
    assert stream.peer == N2
    listener.close()


async def test_a_name_is_resolved_and_the_peer_need_not_be_known(
    credentials: Credentials, streams: list[Stream]
) -> None:
    listener = Listener()
    await listener.start([("127.0.0.1", 0)], server_context(credentials.node("n2")), lambda stream: None)
    stream = dial([("localhost", listener.addresses[0][1])], client_context(credentials.node("n1")))
    streams.append(stream)
    assert stream.peer == UNKNOWN
    await stream.wait_up(3)
    assert stream.peer == N2
    listener.close()


async def test_each_link_is_dialed_from_its_own_address(
    credentials: Credentials, streams: list[Stream]
) -> None:
    accepted: list[Stream] = []
    listener = Listener()
    await listener.start(
        [(host, 0) for host in HOSTS], server_context(credentials.node("n2")), accepted.append
    )
    where = listener.addresses
    sources = [("127.0.0.3", 0), None]
    stream = dial(where, client_context(credentials.node("n1")), N2, source_addresses=sources)
    streams.append(stream)
    await until(lambda: stream.links_up == 2, "both links")
    assert accepted[0].peer == N1
    listener.close()


async def test_a_refusal_for_good_ends_the_stream_with_its_reason(
    credentials: Credentials, streams: list[Stream]
) -> None:
    acceptor = Acceptor(credentials, encode_control(Refusal("no common wire version", final=True)))
    stream = dial([acceptor.address], client_context(credentials.node("n1")), N2)
    streams.append(stream)
    with pytest.raises(StreamClosed, match="no common wire version"):
        await stream.wait_up(3)
    acceptor.close()


async def test_a_refusal_for_now_is_dialed_again(credentials: Credentials, streams: list[Stream]) -> None:
    answers = (
        encode_control(Refusal("too many streams", final=False)),
        encode_control(Welcome(1, bytes(16), 0)),
    )
    acceptor = Acceptor(credentials, *answers)
    stream = dial([acceptor.address], client_context(credentials.node("n1")), N2)
    streams.append(stream)
    await stream.wait_up(3)
    assert len(acceptor.hellos) == 2
    acceptor.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        encode_control(Welcome(wire=7, instance=bytes(16), received=0)),
        encode_control(Welcome(wire=1, instance=bytes(16), received=99)),
        bytes(30),
    ],
)
async def test_an_acceptor_that_is_not_honest_is_dialed_again(
    credentials: Credentials, streams: list[Stream], answer: bytes
) -> None:
    acceptor = Acceptor(credentials, answer)
    stream = dial([acceptor.address], client_context(credentials.node("n1")), N2)
    streams.append(stream)
    await until(lambda: len(acceptor.hellos) >= 3, "dialed again")
    assert stream.closed is None
    assert stream.links_up == 0
    assert stream.statistics().garbage >= 2
    acceptor.close()


async def test_two_links_that_reach_two_processes_end_the_stream(
    credentials: Credentials, streams: list[Stream]
) -> None:
    acceptors = [
        Acceptor(credentials, encode_control(Welcome(1, bytes([digit]) * 16, 0))) for digit in (1, 2)
    ]
    stream = dial([acceptor.address for acceptor in acceptors], client_context(credentials.node("n1")), N2)
    streams.append(stream)
    await until(lambda: stream.closed, "ended")
    assert stream.closed == "peer process is another one"
    for acceptor in acceptors:
        acceptor.close()


async def test_a_stream_may_end_while_it_dials(credentials: Credentials) -> None:
    stream = dial([("127.0.0.1", free_port())] * 2, client_context(credentials.node("n1")), N2)
    stream.send(b"never")
    await asyncio.sleep(0)
    stream.close()
    await asyncio.wait_for(stream.wait_closed(), 3)
