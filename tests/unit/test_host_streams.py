"""Streams: who may say what, and what garbage costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from primacy.cgtp.authority import Authority
from primacy.cgtp.stream import Identity, Stream, dial
from primacy.cgtp.tls import client_context
from primacy.host.streams import Streams
from primacy.machines import call_wire, mirror_wire
from primacy.machines.call_wire import HostRole, OpenSession, SessionOpened
from primacy.machines.host_wire import LinkState
from primacy.machines.ids import Member
from tests.unit.hosting import Pair, Place, pair
from tests.unit.waiting import wait_until


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path) as made:
        yield made


def dialed(directory: Path, place: Place, kind: str) -> tuple[Stream, list[Any]]:
    authority = Authority.load(directory / "authority")
    files = getattr(authority, f"issue_{kind}")(directory / "more-keys", "c")
    stream = dial(place.addresses, client_context(files), Identity("node", "a"))
    heard: list[Any] = []
    stream.on_frames(lambda frames: heard.extend(map(call_wire.decode_to_client, frames)))
    return stream, heard


@pytest.mark.parametrize("kind", ["client", "node"])
async def test_whoever_comes_is_greeted_and_may_call(hosts: Pair, tmp_path: Path, kind: str) -> None:
    stream, heard = dialed(tmp_path, hosts.a, kind)
    await wait_until(lambda: heard, "the greeting comes")
    assert heard[0] == HostRole("counter", "a", 1, True, "a")
    stream.send(call_wire.encode(OpenSession(3)))
    await wait_until(lambda: len(heard) > 1, "the session is open")
    assert isinstance(heard[1], SessionOpened)
    assert (heard[1].request, heard[1].term) == (3, 1)
    assert heard[1].session > 0
    stream.close()


async def test_a_client_never_mirrors(hosts: Pair, tmp_path: Path) -> None:
    stream, _ = dialed(tmp_path, hosts.a, "client")
    join = mirror_wire.JoinMirror(1, 1, Member("b", "b" * 32), [], 0)
    stream.send(mirror_wire.encode(join))
    await wait_until(lambda: stream.closed, "the stream is ended")
    assert "cannot be read" in str(stream.closed)


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x91" * 3_000, b"\x93\xa1c\x01"])
async def test_garbage_ends_the_stream_that_it_came_on(hosts: Pair, tmp_path: Path, garbage: bytes) -> None:
    bad, _ = dialed(tmp_path, hosts.a, "client")
    good, heard = dialed(tmp_path, hosts.a, "client")
    bad.send(garbage)
    await wait_until(lambda: bad.closed, "the stream is ended")
    good.send(call_wire.encode(OpenSession(3)))
    await wait_until(lambda: len(heard) > 1, "others go on")
    good.close()


async def test_a_host_that_is_not_primary_says_so_and_ignores_calls(hosts: Pair, tmp_path: Path) -> None:
    authority = Authority.load(tmp_path / "authority")
    files = authority.issue_client(tmp_path / "more-keys", "c")
    stream = dial(hosts.b.addresses, client_context(files), Identity("node", "b"))
    heard: list[Any] = []
    stream.on_frames(lambda frames: heard.extend(map(call_wire.decode_to_client, frames)))
    stream.send(call_wire.encode(OpenSession(3)))
    await wait_until(lambda: heard, "the greeting comes")
    assert heard == [HostRole("counter", "b", 0, False, "")]
    hosts.b.assign(1, "secondary", 4, hosts.a)
    await wait_until(lambda: len(heard) > 1, "the change is told")
    assert heard[1:] == [HostRole("counter", "b", 1, False, "a")]
    stream.close()


async def test_links_are_taken_down_and_up(hosts: Pair, tmp_path: Path) -> None:
    await hosts.join(1, 4)
    for place in (hosts.a, hosts.b):
        place.server.heard(LinkState(0, False), [])
    streams = hosts.b.server._streams
    assert isinstance(streams, Streams)
    mirror = streams.mirror_of("a")
    assert mirror is not None
    await wait_until(lambda: mirror.stream.links_up == 1, "one link is left")
    for place in (hosts.a, hosts.b):
        place.server.heard(LinkState(0, True), [])
    await wait_until(lambda: mirror.stream.links_up == 2, "both links are up")
