"""Calls: limits, holding, signs of life; the rest is seen with whole hosts."""

from __future__ import annotations

from pathlib import Path

from primacy.host import calls as module
from primacy.host.calls import CONGESTED, QUIESCED, UNCOMMITTED_BYTES_MAX
from primacy.machines.call_wire import BUSY, DONE, Answer, Call, OpenSession, Query, Reply, SessionOpened
from primacy.machines.session import LIMIT_OUTSTANDING
from tests.unit.hosting import Sink, pair
from tests.unit.waiting import wait_until


async def test_held_calls_go_first_and_in_order(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        a, sink = hosts.a, Sink()
        session = await a.session(sink)
        calls = a.primary.calls
        calls.hold(QUIESCED)
        for number in (1, 2, 3):
            calls.call(sink, Call(session, number, 0, "add", b"\x80"))
        calls.query(sink, Query(9, "value", b"\x80"))
        calls.open_session(sink, OpenSession(2))
        assert sink.of(Reply) == []
        calls.reopen(QUIESCED)
        await wait_until(lambda: len(sink.of(SessionOpened)) == 2, "all are answered")
        assert [reply.payload for reply in sink.of(Reply)] == [b"\x01", b"\x02", b"\x03"]
        assert sink.of(Answer)[0].payload == b"\x03"


async def test_too_many_held_calls_are_refused_by_name(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        a, sink = hosts.a, Sink()
        session = await a.session(sink)
        calls = a.primary.calls
        calls.hold(QUIESCED)
        for number in range(1, module.LIMIT_WAITING + 3):
            calls.call(sink, Call(session, number, 0, "add", b"\x80"))
        calls.query(sink, Query(9, "value", b"\x80"))
        calls.open_session(sink, OpenSession(2))
        assert [(reply.number, reply.outcome) for reply in sink.of(Reply)] == [
            (module.LIMIT_WAITING + 1, BUSY), (module.LIMIT_WAITING + 2, BUSY),
        ]  # fmt: skip
        assert sink.of(Answer)[0].outcome == BUSY
        assert sink.of(SessionOpened)[-1].session == 0


async def test_a_session_with_too_many_outstanding_calls_is_refused(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        a, sink = hosts.a, Sink()
        session = await a.session(sink)
        for number in range(1, LIMIT_OUTSTANDING + 2):
            a.primary.calls.call(sink, Call(session, number, 0, "add", b"\x80"))
        await wait_until(lambda: len(sink.of(Reply)) > LIMIT_OUTSTANDING, "all are answered")
        busy = [reply.number for reply in sink.of(Reply) if reply.outcome == BUSY]
        assert busy == [LIMIT_OUTSTANDING + 1]


async def test_the_log_that_waits_is_bounded(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        a, sink = hosts.a, Sink()
        session = await a.session(sink)
        await hosts.join(1, 1)
        hosts.b.page.ack_term = 0
        payload = b"\x81\xa3pad\xc5\xff\x00" + b"x" * 0xFF00
        for number in range(1, 200):
            a.primary.calls.call(sink, Call(session, number, 0, "unknown" if number % 2 else "add", payload))
        assert a.primary.calls.closed_for == 0, "what is invalid is not logged"
        blob = b"\x80" + b"\xc0" * 200_000
        for number in range(200, 400):
            prepared = a.core.model.prepare("add", b"\x80")
            calls = a.primary.calls
            if calls.closed_for:
                break
            calls._begin()
            entry = Call(session, number, 0, "add", blob)
            a.core.replica.execute(entry, prepared)
            calls._gather(entry, len(blob))
        assert a.primary.calls.closed_for == CONGESTED
        assert a.primary.calls._uncommitted_bytes < 2 * UNCOMMITTED_BYTES_MAX
        hosts.alone(1)
        await wait_until(lambda: a.primary.calls.closed_for == 0, "it goes on alone")


async def test_signs_of_life(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        a, sink = hosts.a, Sink()
        session = await a.session(sink)
        calls = a.primary.calls
        assert calls.silent(60.0) == []
        assert calls.silent(0.0) == [session]
        a.core.replica.sessions.sessions[session].heard_ns = -(10**11)
        sequence = a.core.replica.sequence
        calls.keep_alive(session, end=False)
        calls.touch()
        assert a.core.replica.sequence == sequence + 1
        assert a.core.replica.sessions.sessions[session].heard_ns >= 0
        calls.keep_alive(77, end=True)
        calls.keep_alive(session, end=True)
        assert session not in a.core.replica.sessions
        assert (await a.call(sink, 1, session)).outcome != DONE
