"""Streams end to end over real sockets: links that die, flap, crawl; ends that close, are replaced, are refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from primacy.cgtp.stream import FRAME_BYTES_MAX, Identity, Listener, Stream, dial
from primacy.cgtp.tls import client_context, server_context
from primacy.errors import StreamClosed, WireError
from tests.unit.cgtp_tools import HOSTS, N1, N2, Credentials, Ends, until


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials(tmp_path_factory.mktemp("credentials"))


@pytest.fixture
async def ends(credentials: Credentials) -> AsyncIterator[Ends]:
    made = Ends(credentials)
    yield made
    await made.stop()


def numbered(count: int, size: int = 0) -> list[bytes]:
    return [number.to_bytes(8, "big") + bytes(size) for number in range(count)]


async def pour(stream: Stream, frames: list[bytes], per_turn: int = 50) -> None:
    for start in range(0, len(frames), per_turn):
        for frame in frames[start : start + per_turn]:
            stream.send(frame)
        await stream.drain()
        await asyncio.sleep(0)


async def test_frames_go_both_ways_in_order_and_once(ends: Ends) -> None:
    dialer = await ends.start()
    acceptor = await ends.up()
    assert (dialer.peer, acceptor.peer) == (N2, N1)
    sent = numbered(1000)
    await asyncio.gather(pour(dialer, sent), pour(acceptor, sent))
    await until(lambda: len(ends.at_acceptor) >= 1000 and len(ends.at_dialer) >= 1000, "all arrived")
    assert ends.at_acceptor == sent
    assert ends.at_dialer == sent
    await until(lambda: dialer.statistics().bytes_retained == 0, "all acknowledged")


async def test_frames_sent_before_the_first_link_arrive(ends: Ends) -> None:
    dialer = await ends.start()
    dialer.send(b"early")
    await until(lambda: ends.at_acceptor == [b"early"], "arrived")


async def test_one_link_dies_while_frames_flow(ends: Ends) -> None:
    dialer = await ends.start()
    acceptor = await ends.up()
    sent = numbered(10_000, 20)
    flows = asyncio.gather(pour(dialer, sent), pour(acceptor, sent))
    await until(lambda: len(ends.at_acceptor) > 1000, "flowing")
    ends.relays[0].set_cut(True)
    await flows
    await until(lambda: len(ends.at_acceptor) >= 10_000 and len(ends.at_dialer) >= 10_000, "all arrived")
    assert ends.at_acceptor == sent
    assert ends.at_dialer == sent
    assert dialer.links_up == 1
    ends.relays[0].set_cut(False)
    await ends.up()


async def test_both_links_cut_and_restored(ends: Ends) -> None:
    dialer = await ends.start()
    acceptor = await ends.up()
    sent = numbered(10_000, 20)
    flows = asyncio.gather(pour(dialer, sent), pour(acceptor, sent))
    await until(lambda: len(ends.at_acceptor) > 1000, "flowing")
    for relay in ends.relays:
        relay.set_cut(True)
    await until(lambda: dialer.links_up == 0 and acceptor.links_up == 0, "unreachable")
    assert not ends.closed_at_dialer
    for relay in ends.relays:
        relay.set_cut(False)
    await flows
    await until(lambda: len(ends.at_acceptor) >= 10_000 and len(ends.at_dialer) >= 10_000, "all arrived")
    assert ends.at_acceptor == sent
    assert ends.at_dialer == sent
    assert ends.links_seen[:2] == [1, 2]
    assert 0 in ends.links_seen


async def test_links_that_flap(ends: Ends, random_source: random.Random) -> None:
    dialer = await ends.start()
    acceptor = await ends.up()
    sent = numbered(20_000, 20)
    flows = asyncio.gather(pour(dialer, sent, 20), pour(acceptor, sent, 20))
    while not flows.done():
        relay = random_source.choice(ends.relays)
        relay.set_cut(not relay.cut)
        await asyncio.sleep(random_source.uniform(0, 0.02))
    for relay in ends.relays:
        relay.set_cut(False)
    await flows
    await until(lambda: len(ends.at_acceptor) >= 20_000 and len(ends.at_dialer) >= 20_000, "all arrived")
    assert ends.at_acceptor == sent
    assert ends.at_dialer == sent


async def test_a_slow_link_is_closed_and_rejoins(ends: Ends) -> None:
    dialer = await ends.start()
    await ends.up()
    ends.relays[1].delay_s, ends.relays[1].piece = 0.05, 4096
    sent: list[bytes] = []
    while not dialer.statistics().links[1].closed_slow:
        sent.append(len(sent).to_bytes(8, "big") + bytes(20_000))
        dialer.send(sent[-1])
        await dialer.drain()
        await asyncio.sleep(0)
        assert len(sent) < 100_000
    await until(lambda: len(ends.at_acceptor) >= len(sent), "all arrived by the other link")
    assert ends.at_acceptor == sent
    assert dialer.statistics().links[0].closed_slow == 0
    ends.relays[1].delay_s, ends.relays[1].piece = 0, 1 << 16
    await ends.up()
    assert dialer.statistics().links[1].joins >= 2


async def test_a_burst_closes_no_link(ends: Ends) -> None:
    dialer = await ends.start()
    await ends.up()
    sent = numbered(8, 1_000_000)
    for _ in range(4):
        ends.at_acceptor.clear()
        for frame in sent:
            dialer.send(frame)
        await until(lambda: len(ends.at_acceptor) == 8, "burst arrived")
        assert ends.at_acceptor == sent
    statistics = dialer.statistics()
    assert [statistics.links[index].joins for index in (0, 1)] == [1, 1]


async def test_the_writer_waits_at_eight_mebibytes(ends: Ends) -> None:
    dialer = await ends.start()
    await ends.up()
    for relay in ends.relays:
        relay.set_cut(True)
    await until(lambda: dialer.links_up == 0, "unreachable")
    sent = numbered(9, 1_000_000)
    for frame in sent:
        dialer.send(frame)
    assert dialer.congested
    waiting = asyncio.ensure_future(dialer.drain())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    for relay in ends.relays:
        relay.set_cut(False)
    await asyncio.wait_for(waiting, 10)
    await until(lambda: ends.at_acceptor == sent, "all arrived")


async def test_a_writer_who_never_waits_ends_the_stream(ends: Ends) -> None:
    dialer = await ends.start()
    await ends.up()
    for relay in ends.relays:
        relay.set_cut(True)
    await until(lambda: dialer.links_up == 0, "unreachable")
    for _ in range(40):
        dialer.send(bytes(1 << 20))
    with pytest.raises(StreamClosed, match="overrun"):
        await dialer.drain()


async def test_a_frame_that_is_too_large_is_the_callers_error(ends: Ends) -> None:
    dialer = await ends.start()
    dialer.send(bytes(FRAME_BYTES_MAX))
    with pytest.raises(WireError, match="1048576"):
        dialer.send(bytes(FRAME_BYTES_MAX + 1))
    await until(lambda: len(ends.at_acceptor) == 1, "the largest frame arrived")


@pytest.mark.parametrize("side", ["dialer", "acceptor"])
async def test_an_orderly_close_flushes_and_tells_the_peer(ends: Ends, side: str) -> None:
    dialer = await ends.start()
    acceptor = await ends.up()
    closer, received, told = {
        "dialer": (dialer, ends.at_acceptor, ends.closed_at_acceptor),
        "acceptor": (acceptor, ends.at_dialer, ends.closed_at_dialer),
    }[side]
    sent = numbered(500, 10_000)
    for frame in sent:
        closer.send(frame)
    closer.close("maintenance")
    with pytest.raises(StreamClosed, match="closed here"):
        closer.send(b"late")
    await until(lambda: told, "the peer is told")
    assert received == sent
    assert told == ["closed by the peer: maintenance"]
    assert (ends.closed_at_dialer + ends.closed_at_acceptor).count("closed here") == 1


async def test_the_accepting_end_lingers_then_ends(ends: Ends) -> None:
    await ends.start(linger_s=0.3)
    acceptor = await ends.up()
    for relay in ends.relays:
        relay.set_cut(True)
    await until(lambda: acceptor.closed, "ended")
    assert ends.closed_at_dialer == []
    for relay in ends.relays:
        relay.set_cut(False)
    await until(lambda: ends.closed_at_dialer, "the dialer learns it")
    assert "lingered too long" in ends.closed_at_dialer[0]


async def test_another_process_in_the_peers_place_ends_the_stream(
    ends: Ends, credentials: Credentials
) -> None:
    await ends.start()
    await ends.up()
    for relay in ends.relays:
        relay.set_cut(True)
    other = Listener()
    await other.start(
        [(host, 0) for host in HOSTS], server_context(credentials.node("n2")), lambda stream: None
    )
    for relay, address in zip(ends.relays, other.addresses, strict=True):
        relay.target = address
        relay.set_cut(False)
    await until(lambda: ends.closed_at_dialer, "ended")
    assert ends.closed_at_dialer == ["peer process is another one"]
    other.close()


async def test_a_link_set_down_by_its_operator(ends: Ends) -> None:
    dialer = await ends.start()
    acceptor = await ends.up()
    dialer.set_link(0, False)
    await until(lambda: dialer.links_up == 1 and acceptor.links_up == 1, "one link")
    joins = dialer.statistics().links[0].joins
    dialer.send(b"still")
    await until(lambda: ends.at_acceptor == [b"still"], "arrived")
    ends.listener.set_link(1, False)
    await until(lambda: dialer.links_up == 0, "no link")
    assert dialer.statistics().links[0].joins == joins
    dialer.set_link(0, True)
    await until(lambda: dialer.links_up == 1, "the first link is back")
    ends.listener.set_link(1, True)
    await ends.up()


async def test_a_wrong_expectation_is_refused(ends: Ends) -> None:
    dialer = await ends.start(expect=Identity("node", "n3"))
    with pytest.raises(TimeoutError, match="node n2 answers where node n3 is expected"):
        await dialer.wait_up(0.5)
    assert ends.accepted == []


async def test_a_certificate_of_another_cluster_is_refused(
    ends: Ends, tmp_path: Path, credentials: Credentials
) -> None:
    await ends.start()
    foreign = Credentials(tmp_path, "other")
    stranger = dial(ends.listener.addresses, client_context(foreign.node("n1")))
    with pytest.raises(TimeoutError, match="certificate"):
        await stranger.wait_up(0.5)
    stranger.close()
    await ends.up()
    assert len(ends.accepted) == 1


async def test_a_client_proves_its_name(ends: Ends, credentials: Credentials) -> None:
    await ends.start()
    client = dial(ends.listener.addresses, client_context(credentials.client("alice")), N2)
    await client.wait_up(5)
    await until(lambda: len(ends.accepted) == 2, "accepted")
    assert Identity("client", "alice") in [stream.peer for stream in ends.accepted]
    client.close()


def test_it_runs_on_uvloop_too(credentials: Credentials) -> None:
    async def run() -> None:
        ends = Ends(credentials)
        dialer = await ends.start()
        acceptor = await ends.up()
        sent = numbered(5000, 100)
        flows = asyncio.gather(pour(dialer, sent), pour(acceptor, sent))
        await until(lambda: len(ends.at_dialer) > 500, "flowing")
        ends.relays[0].set_cut(True)
        await flows
        await until(lambda: len(ends.at_acceptor) == 5000 and len(ends.at_dialer) == 5000, "all arrived")
        assert ends.at_acceptor == sent
        assert ends.at_dialer == sent
        await ends.stop()

    uvloop.run(run())
