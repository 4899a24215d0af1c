"""The accepting end against those who are no honest dialers."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from primacy.cgtp.connection import Connection
from primacy.cgtp.endpoint import Stream
from primacy.cgtp.framing import (
    ANOTHER_PROCESS,
    Hello,
    Reader,
    Refusal,
    Welcome,
    encode_batch,
    encode_control,
)
from primacy.cgtp.listener import HANDSHAKES_MAX, Listener
from primacy.cgtp.tls import client_context, server_context
from primacy.errors import ConfigError
from tests.unit.cgtp_tools import HOSTS, Credentials, until

HELLO = Hello(wire_min=1, wire_max=1, stream=bytes(16), link=0, fresh=True, instance=b"", received=0)


class Caller:
    """A dialer that says what it likes."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, *words: bytes) -> None:
        self._words = words
        self.reader = Reader()
        self.answer: object = None
        self.frames: list[bytes] = []
        self.end = ""
        sock = socket.create_connection(address)
        self.connection = Connection(sock, context, server_side=False)
        self.connection.on_ready = self._speak
        self.connection.on_data = self._heard
        self.connection.on_lost = self._lost
        self.connection.start()

    def _speak(self) -> None:
        for word in self._words:
            self.connection.write(word)

    def _heard(self, data: bytes) -> None:
        if self.answer is None:
            self.answer, data = self.reader.opening(data), b""
        if self.answer is not None:
            self.frames += self.reader.feed(data, self.reader.delivered)

    def _lost(self, reason: str) -> None:
        self.end = reason


class Place:
    """A listener, its streams, and callers who come to it."""

    def __init__(self, directory: Path) -> None:
        self.credentials = Credentials(directory)
        self.n1 = client_context(self.credentials.node("n1"))
        self.n3 = client_context(self.credentials.node("n3"))
        self.listener = Listener(linger_s=0.5)
        self.streams: list[Stream] = []
        self.received: list[bytes] = []
        self.callers: list[Caller] = []
        self.welcome: Callable[[Stream], None] = lambda stream: stream.on_frames(self.received.extend)

    async def start(self) -> None:
        context = server_context(self.credentials.node("n2"))
        await self.listener.start([(host, 0) for host in HOSTS], context, self._accepted)

    def _accepted(self, stream: Stream) -> None:
        self.streams.append(stream)
        self.welcome(stream)

    def call(self, *words: bytes, context: ssl.SSLContext | None = None, link: int = 0) -> Caller:
        self.callers.append(Caller(self.listener.addresses[link], context or self.n1, *words))
        return self.callers[-1]

    async def answer(self, hello: Hello, context: ssl.SSLContext | None = None) -> object:
        caller = self.call(encode_control(hello), context=context)
        await until(lambda: caller.answer is not None or caller.end, "an answer")
        return caller.answer

    async def stop(self) -> None:
        self.listener.close()
        for caller in self.callers:
            caller.connection.close()
        await self.listener.wait_closed()
        await until(lambda: not self.listener.connections, "all gone")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_hello_is_welcomed_and_the_first_frames_may_follow_at_once(place: Place) -> None:
    caller = place.call(encode_control(HELLO) + encode_batch(1, 0, [b"first"]))
    await until(lambda: place.received == [b"first"] and caller.answer, "arrived")
    assert caller.answer == Welcome(wire=1, instance=place.listener.instance, received=0)
    place.streams[0].send(b"back")
    await until(lambda: caller.frames == [b"back"], "answered")


@pytest.mark.parametrize(("wire_min", "wire_max"), [(2, 3), (0, 0)])
async def test_no_common_version_is_refused_with_the_reason(
    place: Place, wire_min: int, wire_max: int
) -> None:
    answer = await place.answer(msgspec.structs.replace(HELLO, wire_min=wire_min, wire_max=wire_max))
    assert answer == Refusal(f"no common wire version: {wire_min}..{wire_max} there, 1..1 here", final=True)
    assert place.streams == []


async def test_a_newer_peer_that_still_speaks_ours_is_welcome(place: Place) -> None:
    assert isinstance(await place.answer(msgspec.structs.replace(HELLO, wire_max=9)), Welcome)


async def test_who_seeks_another_process_is_told(place: Place) -> None:
    answer = await place.answer(msgspec.structs.replace(HELLO, fresh=False, instance=os.urandom(16)))
    assert answer == Refusal(ANOTHER_PROCESS, final=True)


async def test_a_stream_that_has_ended_is_refused_with_its_reason(place: Place) -> None:
    caller = place.call(encode_control(HELLO))
    await until(lambda: place.streams and place.streams[0].links_up, "up")
    caller.connection.close()
    await until(lambda: place.streams[0].closed, "lingered")
    again = msgspec.structs.replace(HELLO, fresh=False, instance=place.listener.instance)
    answer = await place.answer(again)
    assert isinstance(answer, Refusal)
    assert answer.final
    assert "lingered too long" in answer.reason
    unknown = await place.answer(msgspec.structs.replace(again, stream=os.urandom(16)))
    assert unknown == Refusal("the stream is not known here any more", final=True)


async def test_nobody_joins_the_stream_of_another(place: Place) -> None:
    await place.answer(HELLO)
    assert await place.answer(HELLO, context=place.n3) is None
    assert place.streams[0].links_up == 1
    assert place.listener.refused == 1


async def test_an_owner_may_refuse_a_stream_at_once(place: Place) -> None:
    place.welcome = lambda stream: stream.abort("clients are not served now")
    answer = await place.answer(HELLO)
    assert answer == Refusal("the peer has ended it: clients are not served now", final=True)


async def test_a_link_set_down_accepts_nobody_until_it_is_up(place: Place) -> None:
    caller = place.call(encode_control(HELLO))
    await until(lambda: caller.answer, "welcomed")
    place.listener.set_link(0, False)
    await until(lambda: caller.end, "closed")
    assert not place.listener.link_allowed(0)
    turned_away = place.call(encode_control(HELLO))
    await until(lambda: turned_away.end, "turned away")
    assert turned_away.answer is None
    assert place.call(encode_control(HELLO), link=1)
    await until(lambda: place.callers[-1].answer, "the other link is open")
    place.listener.set_link(0, True)
    assert isinstance(await place.answer(HELLO), Welcome)


@pytest.mark.parametrize(
    "word",
    [
        b"GET / HTTP/1.1\r\n\r\n" + bytes(20),
        encode_batch(1, 0, [b"no hello"]),
        encode_control(Welcome(wire=1, instance=bytes(16), received=0)),
        encode_control(msgspec.structs.replace(HELLO, link=99)),
        encode_control(msgspec.structs.replace(HELLO, stream=b"short")),
        encode_control(msgspec.structs.replace(HELLO, received=5)),
        encode_control(msgspec.structs.replace(HELLO, received=-5)),
    ],
)
async def test_who_does_not_say_a_proper_hello_is_turned_away(place: Place, word: bytes) -> None:
    caller = place.call(word)
    await until(lambda: caller.end, "turned away")
    assert caller.answer is None
    assert place.streams == []
    assert place.listener.refused == 1
    assert isinstance(await place.answer(HELLO), Welcome)


async def test_garbage_on_a_link_ends_that_link_and_nothing_else(
    place: Place, random_source: random.Random
) -> None:
    honest = place.call(encode_control(msgspec.structs.replace(HELLO, link=1)), link=1)
    await until(lambda: honest.answer, "welcomed")
    for number in range(1, 101):
        bad = bytearray(encode_batch(number, 0, [b"x" * 50]))
        # length, kind, sequence, count: each far too large
        place_in_header = random_source.choice((3, 4, 12, 24))
        bad[place_in_header] = random_source.randrange(100, 256)
        caller = place.call(encode_control(HELLO), bytes(bad), random_source.randbytes(4000))
        await until(lambda caller=caller: caller.end, "closed")
        honest.connection.write(encode_batch(number, 0, [b"%d" % number]))
        await until(lambda number=number: place.received[-1:] == [b"%d" % number], "the other link delivers")
    assert place.streams[0].closed is None
    assert len(place.streams) == 1
    assert place.streams[0].statistics().garbage == 100


async def test_strangers_in_numbers_are_limited_and_forgotten(place: Place) -> None:
    loop = asyncio.get_running_loop()
    strangers = [socket.socket() for _ in range(HANDSHAKES_MAX + 20)]
    for stranger in strangers:
        stranger.setblocking(False)
        await loop.sock_connect(stranger, place.listener.addresses[0])
    await until(lambda: place.listener.refused >= 20, "those above the limit are turned away")
    assert place.listener.connections == HANDSHAKES_MAX
    for stranger in strangers:
        stranger.close()
    await until(lambda: place.listener.connections == 0, "all gone")
    assert isinstance(await place.answer(HELLO), Welcome)


async def test_a_port_that_is_taken_is_a_refusal(place: Place) -> None:
    other = Listener()
    with pytest.raises(ConfigError, match="in use"):
        await other.start([place.listener.addresses[0]], place.listener.tls, lambda stream: None)
