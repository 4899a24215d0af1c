"""One service's conversation: its streams, its timer, what hosts may send that they should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy.cgtp.tls import client_context
from primacy.client.conversation import Conversation
from primacy.errors import Busy, Deadline, NoPrimary, Refused, SessionExpired, StreamClosed
from primacy.machines.call_wire import BUSY, Reply, encode
from primacy.machines.client_calls import WATCHES_MAX
from tests.unit.cgtp_tools import until
from tests.unit.client_tools import FakeCluster


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path) as fake:
        yield fake


@pytest.fixture
async def conversation(fake: FakeCluster) -> AsyncIterator[Conversation]:
    conversation = Conversation("inventory", client_context(fake.client))
    conversation.set_hosts({node: fake.host(node).addresses for node in fake.nodes})
    yield conversation
    for stream in conversation.close("the test is over"):
        await stream.wait_closed()


async def add(conversation: Conversation, deadline_s: float = 10.0) -> int:
    result: int = await conversation.call("add", {"article": "bolt"}, deadline_s)
    return result


async def test_hosts_that_are_not_wanted_any_more_are_left(
    fake: FakeCluster, conversation: Conversation
) -> None:
    assert await add(conversation) == 1
    conversation.set_hosts({"n2": fake.host("n2").addresses})
    with pytest.raises(NoPrimary, match="n2 does not serve in term 1"):
        await add(conversation, deadline_s=0.1)
    await until(lambda: not fake.host("n1").streams, "its stream has ended")
    conversation.set_hosts({"n1": fake.host("n1").addresses, "n2": []})
    assert await add(conversation) == 2
    assert list(conversation.statistics()["hosts"]) == ["n1"]


async def test_garbage_ends_the_stream_that_it_came_on_and_the_calls_are_repeated(
    fake: FakeCluster, conversation: Conversation
) -> None:
    assert await add(conversation) == 1
    host = fake.host("n1")
    host.silent = True
    call = asyncio.ensure_future(add(conversation))
    await until(lambda: fake.replica().executed == 2, "the call is executed and not answered")
    host.silent = False
    host.streams[-1].send(b"\xc1")
    assert await call == 2
    assert conversation.garbage == 1
    assert fake.replica().executed == 2


async def test_many_deadlines_are_kept_by_one_timer(fake: FakeCluster, conversation: Conversation) -> None:
    fake.quiesce()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    ended_s: list[float] = []

    async def wait(deadline_s: float) -> None:
        with pytest.raises(NoPrimary):
            await add(conversation, deadline_s)
        ended_s.append(loop.time() - began_s - deadline_s)

    await asyncio.gather(*[wait(0.2 - 0.01 * number) for number in range(15)])
    assert all(late_s >= -0.005 for late_s in ended_s)
    assert conversation.statistics()["calls"] == 0


async def test_a_session_that_the_service_has_forgotten_is_told_and_replaced(
    fake: FakeCluster, conversation: Conversation
) -> None:
    assert await add(conversation) == 1
    fake.replica().sessions.clear()
    with pytest.raises(SessionExpired, match="not executed"):
        await add(conversation)
    assert await add(conversation) == 2


async def test_a_busy_service_says_so(fake: FakeCluster, conversation: Conversation) -> None:
    assert await add(conversation) == 1
    host = fake.host("n1")
    host.deaf = True
    call = asyncio.ensure_future(add(conversation))
    await until(lambda: len(host.received) == 3, "the call has arrived")
    host.streams[-1].send(encode(Reply(conversation.machine.session(), 2, BUSY, 1, b"")))
    with pytest.raises(Busy, match=r"inventory\.add: a limit of the service is reached; nothing was done"):
        await call


async def test_a_client_has_only_so_many_watches(conversation: Conversation) -> None:
    watches = [conversation.watch("", 0) for _ in range(WATCHES_MAX)]
    with pytest.raises(Busy, match="64 watches"):
        conversation.watch("", 0)
    await watches[0].aclose()
    conversation.watch("", 0)


async def test_what_is_too_large_or_too_late_is_refused_at_once(conversation: Conversation) -> None:
    with pytest.raises(Refused, match="bytes of arguments"):
        await conversation.call("add", {"article": "x" * 300_000}, 10.0)
    with pytest.raises((Deadline, NoPrimary)):
        await add(conversation, deadline_s=0.0)
    conversation.close("closed")
    with pytest.raises(StreamClosed, match="inventory: closed"):
        await add(conversation)
    assert conversation.close("again") == []


async def test_an_idle_session_is_kept_alive(fake: FakeCluster, conversation: Conversation) -> None:
    await add(conversation)
    session = conversation.machine.session()
    await until(lambda: fake.replica().heard == [session], "a keep-alive has come", deadline_s=6)
