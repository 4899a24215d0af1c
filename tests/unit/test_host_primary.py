"""A host as primary: what it tells the agent, and when its replies leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from primacy.host.primary import PrimaryServer
from primacy.machines import host_wire
from primacy.machines.call_wire import Answer, Call, Query, Reply
from primacy.machines.host_wire import Confirm, Joined, MirrorStalled, Note, Quiesced
from tests.unit.hosting import Sink, pair
from tests.unit.waiting import wait_until


async def test_a_joiner_is_brought_up_and_told_of(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        for number in range(1, 20):
            await hosts.a.call(sink, number, session)
        await hosts.join(1, 4)
        assert isinstance(hosts.a.primary, PrimaryServer)
        assert hosts.a.of(Joined) == [Joined(1, 4, 20)]
        await hosts.a.call(sink, 20, session)
        assert hosts.b.service.state == hosts.a.service.state
        assert hosts.b.core.journal.last == 21


async def test_another_nodes_join_is_not_taken(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        hosts.a.server.heard(host_wire.Appoint(1, 4, hosts.a.peer), [])
        hosts.b.assign(1, "secondary", 4, hosts.a)
        await wait_until(lambda: hosts.a.server._streams.mirror_of("b"), "b has come")
        sink = Sink()
        await hosts.a.session(sink)
        assert hosts.a.of(Joined) == []
        assert not hosts.a.primary.machine.live


@pytest.mark.parametrize("durability", ["disk", "memory"])
async def test_replies_wait_for_the_vice(tmp_path: Path, durability: str) -> None:
    async with pair(tmp_path, durability) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.join(1, 4)
        hosts.b.page.ack_term = 0
        hosts.a.primary.calls.call(sink, Call(session, 1, 0, "add", b"\x80"))
        hosts.a.primary.calls.query(sink, Query(5, "value", b"\x80"))
        await wait_until(lambda: hosts.b.core.replica.sequence == 2, "b has it")
        assert sink.of(Reply) == sink.of(Answer) == []
        hosts.b.page.ack_term = 1
        hosts.a.primary.calls.call(sink, Call(session, 2, 0, "add", b"\x80"))
        await wait_until(lambda: len(sink.of(Reply)) == 2, "both are answered")
        assert sink.of(Answer)[0].payload == b"\x01"


async def test_a_sealed_vice_stalls_the_mirror(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.join(1, 4)
        hosts.b.page.ack_term = 0
        hosts.a.primary.machine._mirror_timeout_ns = 10**8
        hosts.a.primary.calls.call(sink, Call(session, 1, 0, "add", b"\x80"))
        await wait_until(lambda: hosts.a.of(MirrorStalled), "it is told")
        assert hosts.a.of(MirrorStalled) == [MirrorStalled(1, 4)]
        hosts.alone(1)
        await wait_until(lambda: sink.of(Reply), "it is answered alone")


async def test_quiesced_only_when_everything_has_left(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.join(1, 4)
        hosts.a.page.valid_until_ns = 0
        hosts.a.primary.calls.call(sink, Call(session, 1, 0, "add", b"\x80"))
        hosts.a.server.heard(host_wire.Quiesce(1, handing_over=True), [])
        await wait_until(lambda: hosts.a.primary.machine.committed == 2, "it is committed")
        assert hosts.a.of(Quiesced) == []
        hosts.a.page.valid_until_ns = 1 << 62
        await wait_until(lambda: hosts.a.of(Quiesced), "it is told")
        assert hosts.a.of(Quiesced)[0].handing_over
        assert [reply.payload for reply in sink.of(Reply)] == [b"\x01"]
        hosts.a.server.heard(host_wire.Resume(1), [])
        await hosts.a.call(sink, 2, session)


async def test_a_confirmed_read(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        hosts.a.primary.calls.query(sink, Query(5, "value", b"\x80", confirm=True))
        hosts.a.primary.calls.query(sink, Query(6, "value", b"\x80", confirm=True))
        one, other = (asked.id for asked in hosts.a.of(Confirm))
        assert one >> 32 == hosts.a.primary.calls.term, "no other term has that number"
        hosts.a.server.heard(host_wire.Confirmed(one, False), [])
        hosts.a.server.heard(host_wire.Confirmed(other, True), [])
        assert [answer.request for answer in sink.of(Answer)] == [6]


async def test_checkpoints_are_taken_on_both_sides_and_agree(tmp_path: Path) -> None:
    async with pair(tmp_path, snapshot_entries=10) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.join(1, 4)
        for number in range(1, 40):
            await hosts.a.call(sink, number, session)
        both = (hosts.a.core.snapshots, hosts.b.core.snapshots)
        await wait_until(lambda: not any(each.busy for each in both), "earlier ones are done")
        hosts.a.primary.checkpoint()
        sequence = hosts.a.core.replica.sequence
        await wait_until(lambda: sequence in hosts.b.secondary._their_digests, "the digests are compared")
        await wait_until(lambda: sequence in hosts.b.secondary._digests, "by both")
        assert hosts.b.secondary._digests[sequence] == hosts.b.secondary._their_digests[sequence]
        assert hosts.b.failed == []
        assert hosts.a.core.journal.snapshots[-1].sequence == sequence


async def test_a_lost_stream_is_dialed_again(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.join(1, 4)
        for number in range(1, 5):
            assert hosts.b.secondary.stream is not None
            hosts.b.secondary.stream.stream.abort("a test")
            await hosts.a.call(sink, number, session)
        assert hosts.b.service.state == hosts.a.service.state
        assert [note for note in hosts.a.of(Note) if note.kind == "mirror stalled"] == []
