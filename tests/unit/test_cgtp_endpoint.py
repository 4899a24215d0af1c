"""One end of a stream: what is joined, what is acknowledged, what its owner is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from primacy.cgtp.endpoint import UNKNOWN, Stream
from primacy.cgtp.stream import Listener, dial
from primacy.cgtp.tls import client_context
from primacy.errors import StreamClosed
from tests.unit.cgtp_tools import Credentials, Ends, until


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials(tmp_path_factory.mktemp("credentials"))


@pytest.fixture
async def ends(credentials: Credentials) -> AsyncIterator[Ends]:
    made = Ends(credentials)
    await made.start()
    await made.up()
    yield made
    await made.stop()


async def test_the_frames_of_one_turn_are_one_batch(ends: Ends) -> None:
    for number in range(100):
        ends.dialer.send(b"%d" % number)
    await until(lambda: len(ends.at_acceptor) == 100, "arrived")
    assert ends.dialer.statistics().batches_sent == 1
    acceptor = ends.accepted[0].statistics()
    assert (acceptor.frames_delivered, acceptor.batches_delivered) == (100, 1)


async def test_flush_does_not_wait_for_the_end_of_the_turn(ends: Ends) -> None:
    ends.dialer.send(b"now")
    ends.dialer.flush()
    ends.dialer.send(b"later")
    await until(lambda: ends.at_acceptor == [b"now", b"later"], "arrived")
    assert ends.dialer.statistics().batches_sent == 2


async def test_the_answers_to_one_arrival_are_one_batch_and_acknowledge_it(ends: Ends) -> None:
    acceptor = ends.accepted[0]
    acceptor.on_frames(lambda frames: [acceptor.send(frame) for frame in frames] and None)
    for number in range(50):
        ends.dialer.send(b"%d" % number)
    await until(lambda: len(ends.at_dialer) == 50, "answered")
    assert acceptor.statistics().batches_sent == 1
    assert ends.dialer.statistics().bytes_retained == 0


async def test_what_is_not_answered_is_acknowledged_soon(ends: Ends) -> None:
    ends.dialer.send(bytes(1000))
    await until(lambda: ends.at_acceptor, "arrived")
    await until(lambda: ends.dialer.statistics().bytes_retained == 0, "acknowledged", 1)


async def test_every_link_brings_each_batch_and_one_copy_is_dropped(ends: Ends) -> None:
    for number in range(20):
        ends.dialer.send(b"%d" % number)
        ends.dialer.flush()
    await until(lambda: len(ends.at_acceptor) == 20, "arrived")
    await until(lambda: ends.accepted[0].statistics().batches_duplicate == 20, "the copies too")
    assert len(ends.at_acceptor) == 20


async def test_frames_wait_for_whoever_takes_them_later(credentials: Credentials) -> None:
    ends, late = Ends(credentials), list[bytes]()
    await ends.start()
    stream = dial(ends.listener.addresses, client_context(credentials.client("alice")))
    await until(lambda: len(ends.accepted) == 2, "accepted")
    accepted = next(each for each in ends.accepted if each.peer.kind == "client")
    for word in (b"one", b"two"):
        accepted.send(word)
        await until(
            lambda: stream.statistics().frames_delivered == accepted.statistics().frames_sent, "there"
        )
    stream.on_frames(late.extend)
    accepted.send(b"three")
    await until(lambda: len(late) == 3, "delivered")
    assert late == [b"one", b"two", b"three"]
    stream.close()
    await ends.stop()


async def test_a_callback_that_fails_loses_nothing_else(ends: Ends) -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: failures.append(context["exception"])
    )

    def careless(frames: list[bytes]) -> None:
        ends.at_acceptor.extend(frames)
        if b"bad" in frames:
            raise ValueError("the owner's bug")

    ends.accepted[0].on_frames(careless)
    for word in (b"good", b"bad", b"good again"):
        ends.dialer.send(word)
        await until(lambda word=word: word in ends.at_acceptor, "delivered")
    assert [type(failure) for failure in failures] == [ValueError]
    assert ends.at_acceptor == [b"good", b"bad", b"good again"]
    assert ends.dialer.links_up == 2


async def test_closing_from_within_a_callback(ends: Ends) -> None:
    acceptor = ends.accepted[0]

    def last_words(frames: list[bytes]) -> None:
        acceptor.send(b"bye")
        acceptor.close("enough")

    acceptor.on_frames(last_words)
    ends.dialer.send(b"hello")
    await until(lambda: ends.closed_at_dialer, "closed")
    assert ends.at_dialer == [b"bye"]
    assert ends.closed_at_dialer == ["closed by the peer: enough"]
    assert ends.closed_at_acceptor == ["closed here"]


async def test_the_end_is_told_once_even_to_who_asks_late(ends: Ends) -> None:
    ends.dialer.abort("no more")
    ends.dialer.abort("again")
    ends.dialer.close()
    told: list[str] = []
    ends.dialer.on_closed(told.append)
    await ends.dialer.wait_closed()
    await until(lambda: told, "told")
    assert told == ["no more"]
    assert ends.dialer.closed == "no more"
    assert ends.dialer.links_up == 0
    for waiting in (ends.dialer.drain(), ends.dialer.wait_up(1)):
        with pytest.raises(StreamClosed, match="no more"):
            await waiting


async def test_whoever_waits_at_the_end_is_woken(ends: Ends) -> None:
    for relay in ends.relays:
        relay.set_cut(True)
    for _ in range(9):
        ends.dialer.send(bytes(1 << 20))
    waiting = [asyncio.ensure_future(ends.dialer.drain()), asyncio.ensure_future(ends.dialer.wait_closed())]
    await asyncio.sleep(0)
    ends.dialer.abort()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert [type(result) for result in results] == [StreamClosed, type(None)]


async def test_nothing_of_a_stream_is_left_after_its_end(credentials: Credentials) -> None:
    before = len(asyncio.all_tasks())
    listener = Listener()
    ends = Ends(credentials)
    await ends.start()
    await ends.up()
    await ends.stop()
    await ends.dialer.wait_closed()
    assert len(asyncio.all_tasks()) == before
    assert listener.connections == 0


async def test_an_accepting_end_that_never_had_a_link_ends_too() -> None:
    told: list[str] = []
    stream = Stream(UNKNOWN, linger_s=0.02)
    stream.on_closed(told.append)
    await until(lambda: told == ["lingered too long: no link for 0.02 s"], "ended")
