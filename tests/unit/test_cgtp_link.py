"""A link's place among the batches, over a real connection whose other end does not read."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy.cgtp.connection import Connection
from primacy.cgtp.framing import Reader
from primacy.cgtp.link import LAG_BYTES_MAX, LAG_S, Link, LinkStatistics, StreamStatistics
from primacy.cgtp.outbox import Outbox
from primacy.cgtp.tls import client_context, server_context
from tests.unit.cgtp_tools import Credentials, until


class Line:
    """A link, and the connection at its other end."""

    def __init__(self, directory: Path) -> None:
        credentials = Credentials(directory)
        with socket.create_server(("127.0.0.1", 0)) as server:
            dialing = socket.create_connection(server.getsockname())
            accepted, _ = server.accept()
        self.near = Connection(dialing, client_context(credentials.node("n1")), server_side=False)
        self.far = Connection(accepted, server_context(credentials.node("n2")), server_side=True)
        self.outbox, self.reader = Outbox(), Reader()
        self.frames: list[bytes] = []
        self.ready = 0
        self.near.on_ready = self.far.on_ready = self._ready
        self.far.on_data = self._arrived
        self.link = Link(0, self.near, Reader(), self.outbox, 0, lambda reason: None)
        self.near.on_writable = self.link.pump
        self.near.start()
        self.far.start()

    def _ready(self) -> None:
        self.ready += 1

    def _arrived(self, data: bytes) -> None:
        self.frames += self.reader.feed(data, self.reader.delivered)

    def send(self, *frames: bytes) -> None:
        for record in self.outbox.seal(list(frames), 0):
            self.link.offer(record)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    made = Line(tmp_path)
    await until(lambda: made.ready == 2, "handshake")
    yield made
    made.near.close()
    made.far.close()


async def test_a_link_that_is_free_takes_each_batch_at_once(line: Line) -> None:
    line.send(b"one", b"two")
    line.send(b"three")
    assert (line.link.taken, line.link.backlog_bytes) == (2, 0)
    await until(lambda: line.frames == [b"one", b"two", b"three"], "arrived")


async def test_a_link_that_is_blocked_goes_on_when_it_can(line: Line) -> None:
    frames = [number.to_bytes(2, "big") + bytes(200_000) for number in range(60)]
    line.send(*frames[:59])
    line.send(frames[59])
    assert line.near.blocked
    assert line.link.backlog_bytes > LAG_BYTES_MAX
    await until(lambda: len(line.frames) == 60, "all arrived")
    assert line.frames == frames
    assert (line.link.taken, line.link.backlog_bytes) == (line.outbox.last, 0)


async def test_what_the_peer_has_by_another_link_is_passed_over(line: Line) -> None:
    for _ in range(60):
        line.send(bytes(200_000))
    assert line.near.blocked
    line.outbox.acknowledge(line.outbox.last)
    line.send(b"next")
    await until(lambda: not line.near.blocked, "the kernel has taken what it was given")
    assert line.link.taken == line.outbox.last
    assert line.link.backlog_bytes == 0
    taken = line.reader.delivered
    assert taken < line.outbox.last


async def test_slow_is_far_behind_the_best_for_some_time(line: Line) -> None:
    link = line.link
    link.backlog_bytes = LAG_BYTES_MAX
    assert not link.too_slow(0, 1.0)
    link.backlog_bytes += 1
    assert not link.too_slow(0, 2.0)
    assert not link.too_slow(0, 2.0 + LAG_S / 2)
    assert not link.too_slow(10, 2.0 + LAG_S / 2)  # the best one is behind, too: it begins anew
    assert not link.too_slow(0, 3.0)
    assert link.too_slow(0, 3.0 + LAG_S)


def test_counters_begin_at_nothing() -> None:
    assert LinkStatistics() == LinkStatistics(joins=0, closed_slow=0, last_error="")
    first, second = StreamStatistics(), StreamStatistics()
    first.links[0] = LinkStatistics(joins=1)
    assert second.links == {}
