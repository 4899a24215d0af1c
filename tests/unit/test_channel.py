"""The message channel: whole packets, descriptors, a bounded queue, and no leak whatever the peer does."""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvloop

from primacy import channel
from primacy.channel import BURST_MAX, MESSAGE_BYTES_MAX, MESSAGE_FDS_MAX, Channel
from primacy.errors import WireError

DEADLINE_S = 5.0


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = channel.pair()
    a, b = Channel(ours), Channel(theirs)
    yield a, b
    a.close()
    b.close()


@pytest.fixture
def raw() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the peer's bare socket."""
    ours, theirs = channel.pair()
    end = Channel(ours)
    yield end, theirs
    end.close()
    theirs.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    for fd in (read_fd, write_fd):
        with suppress(OSError):
            os.close(fd)


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def fill(end: Channel, message: bytes = b"x" * 1000) -> int:
    """Send until the kernel takes no more; return how many it took."""
    count = 0
    while not end.wants_write:
        assert end.send(message)
        count += 1
    return count - 1


def test_packets_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    assert a.send(b"one")
    assert a.send(b"two")
    assert b.receive() == [(b"one", []), (b"two", [])]
    assert b.receive() == []


def test_the_longest_message_passes_and_a_longer_one_is_refused(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    longest = os.urandom(MESSAGE_BYTES_MAX)
    assert a.send(longest)
    assert b.receive() == [(longest, [])]
    for message in (longest + b"x", b""):
        with pytest.raises(WireError):
            a.send(message)
    with pytest.raises(WireError):
        a.send(b"x", [0] * (MESSAGE_FDS_MAX + 1))


def test_descriptors_are_passed_and_belong_to_the_receiver(
    ends: tuple[Channel, Channel], pipe: tuple[int, int]
) -> None:
    a, b = ends
    assert a.send(b"a pipe", pipe)
    [(_, fds)] = b.receive()
    assert len(fds) == 2
    assert not any(os.get_inheritable(fd) for fd in fds)
    os.write(fds[1], b"hello")
    assert os.read(pipe[0], 10) == b"hello"
    channel.close_all(fds)


def test_a_queued_message_keeps_its_descriptors_alive(
    ends: tuple[Channel, Channel], pipe: tuple[int, int]
) -> None:
    a, b = ends
    fill(a)
    before = open_fds()
    assert a.send(b"a pipe", [pipe[0]])
    assert open_fds() == before + 1
    found: list[tuple[bytes, list[int]]] = []
    while not found or found[-1][0] != b"a pipe":
        found += b.receive()
        a.flush()
    assert not a.wants_write
    assert a.queue_bytes == 0
    channel.close_all(found[-1][1])
    assert open_fds() == before


def test_the_queue_is_bounded(raw: tuple[Channel, socket.socket]) -> None:
    refusals: list[bool] = []
    ours, theirs = channel.pair()
    end = Channel(ours, max_queue=2500, on_overflow=lambda: refusals.append(True))
    fill(end)
    assert end.send(b"y" * 1000)
    assert not end.send(b"z" * 1000)
    assert (end.queue_bytes, end.refused_count, refusals) == (2000, 1, [True])
    assert end.send(b"z" * 500)
    peer = Channel(theirs)
    received = 0
    while packets := peer.receive():
        received += len(packets)
        end.flush()
    assert end.send(b"again")
    assert peer.receive() == [(b"again", [])]
    end.close()
    peer.close()


def test_no_more_than_a_burst_is_taken_at_once(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    for _ in range(BURST_MAX + 1):
        a.send(b"x")
    assert len(b.receive()) == BURST_MAX
    assert len(b.receive()) == 1


def test_what_was_sent_before_the_end_still_arrives(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    a.send(b"last words")
    a.close()
    assert not b.send(b"too late")
    assert not b.closed
    assert b.receive() == [(b"last words", [])]
    assert b.closed
    assert not b.send(b"never")
    a.close()  # a second time changes nothing


def test_closing_drops_what_waits_and_leaks_nothing(pipe: tuple[int, int]) -> None:
    before = open_fds()
    ours, theirs = channel.pair()
    end = Channel(ours)
    fill(end)
    assert end.send(b"fd", [pipe[0]])
    end.close()
    theirs.close()
    assert open_fds() == before
    assert end.fileno() == -1


def test_a_peer_that_goes_takes_what_waits_with_it(raw: tuple[Channel, socket.socket]) -> None:
    end, theirs = raw
    fill(end)
    theirs.close()
    end.flush()
    assert not end.wants_write
    while not end.closed:
        end.receive()


def test_a_packet_that_is_too_long_is_dropped_and_counted(raw: tuple[Channel, socket.socket]) -> None:
    end, theirs = raw
    theirs.send(b"x" * (MESSAGE_BYTES_MAX + 1))
    theirs.send(b"fine")
    assert end.receive() == [(b"fine", [])]
    assert end.malformed_count == 1


def test_too_many_descriptors_are_closed_and_counted(raw: tuple[Channel, socket.socket]) -> None:
    end, theirs = raw
    before = open_fds()
    many = array.array("i", [0] * (MESSAGE_FDS_MAX + 5))
    theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
    assert end.receive() == []
    assert end.malformed_count == 1
    assert open_fds() == before


def test_an_inherited_descriptor_becomes_a_channel() -> None:
    ours, theirs = channel.pair()
    theirs.set_inheritable(True)
    fd = theirs.detach()
    peer, end = Channel(ours), channel.from_fd(fd)
    assert not os.get_inheritable(fd)
    peer.send(b"hello")
    assert end.receive() == [(b"hello", [])]
    peer.close()
    end.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop() if request.param == "asyncio" else uvloop.new_event_loop()
    yield made
    made.close()


def test_on_a_loop_a_thousand_messages_pass_both_ways(loop: asyncio.AbstractEventLoop) -> None:
    ours, theirs = channel.pair()
    a, b = Channel(ours), Channel(theirs)
    wanted = [b"%d" % number * 200 for number in range(1000)]
    found: list[bytes] = []

    async def run() -> None:
        done = loop.create_future()

        def on_answer(message: bytes, fds: list[int]) -> None:
            found.append(message)
            if len(found) == len(wanted):
                done.set_result(None)

        a.attach(loop, on_answer, lambda: None)
        b.attach(loop, lambda message, fds: (b.send(message), None)[1], lambda: None)
        for message in wanted:
            assert a.send(message)
        await asyncio.wait_for(done, DEADLINE_S)

    loop.run_until_complete(run())
    assert found == wanted
    a.close()
    b.close()


def test_on_a_loop_the_end_is_told_once_and_last(loop: asyncio.AbstractEventLoop) -> None:
    ours, theirs = channel.pair()
    a, b = Channel(ours), Channel(theirs)
    told: list[object] = []

    async def run() -> None:
        closed = loop.create_future()
        b.attach(
            loop,
            lambda message, fds: told.append(message),
            lambda: (told.append(None), closed.set_result(None))[0],
        )
        a.send(b"one")
        a.send(b"two")
        a.close()
        await asyncio.wait_for(closed, DEADLINE_S)
        await asyncio.sleep(0)

    loop.run_until_complete(run())
    assert told == [b"one", b"two", None]
    assert b.fileno() == -1


def test_on_a_loop_closing_our_end_inside_a_callback_is_safe(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    ours, theirs = channel.pair()
    a, b = Channel(ours), Channel(theirs)
    told: list[object] = []

    async def run() -> None:
        closed = loop.create_future()

        def on_message(message: bytes, fds: list[int]) -> None:
            told.append(message)
            b.close()
            closed.set_result(None)

        before = open_fds()
        b.attach(loop, on_message, lambda: told.append(None))
        a.send(b"one")
        a.send(b"two", [pipe[0]])
        await asyncio.wait_for(closed, DEADLINE_S)
        await asyncio.sleep(0)
        assert open_fds() == before - 1

    loop.run_until_complete(run())
    assert told == [b"one"]
    a.close()
