"""A host as secondary: it cuts, loads, restores, and names what diverged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from primacy import lease_page
from primacy.host.secondary import SecondaryServer
from primacy.lease_page import LeasePage
from primacy.machines import mirror_wire
from primacy.machines.call_wire import Call
from primacy.machines.entries import Entries, encode
from primacy.machines.history import Batch
from primacy.machines.host_wire import Assign, Note
from primacy.machines.mirror_wire import Acknowledged, Append, Follow, SnapshotBegin, SnapshotChunk
from tests.unit.hosting import Sink, pair
from tests.unit.waiting import wait_until


class Wire:
    """A mirror stream to a primary that is played by the test: what was sent on it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(mirror_wire.decode(frame))

    def flush(self) -> None: ...


async def test_its_own_tail_is_cut_before_anything_is_loaded(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        journal = hosts.b.core.journal
        journal.write(hosts.a.core.journal.read(0)[0])
        # b was primary of term 2 for a moment, and nobody ever acknowledged what it wrote then
        call = Call(0, 0, 0, "add", b"\x81\xa2by\x64")
        journal.write(Batch(2, 2, 3, encode(Entries(5, 5, [call, call]))))
        hosts.b.core.syncer.request()
        await hosts.a.call(sink, 1, session)
        hosts.a.assign(0, "available")
        await hosts.a.serve(3)
        await hosts.join(3, 9)
        assert isinstance(hosts.b.secondary, SecondaryServer)
        assert journal.runs == [(1, 1, 2)]
        assert [note.kind for note in hosts.b.of(Note)] == ["log cut"]
        assert hosts.b.service.state.value == hosts.a.service.state.value == 1


async def test_a_joiner_with_a_log_of_its_own_loads_it(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        for number in range(1, 30):
            await hosts.a.call(sink, number, session)
        for batch in hosts.a.core.journal.read(0)[:20]:
            hosts.b.core.journal.write(batch)
        hosts.b.core.syncer.request()
        await hosts.join(1, 4)
        assert hosts.b.core.replica.digest() == hosts.a.core.replica.digest()


async def test_a_snapshot_takes_the_place_of_pruned_log(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        for round in range(2):
            for number in range(1 + round * 10, 11 + round * 10):
                await hosts.a.call(sink, number, session)
            count = len(hosts.a.core.journal.snapshots)
            hosts.a.primary.checkpoint()
            await wait_until(lambda count=count: len(hosts.a.core.journal.snapshots) > count, "a snapshot")
        assert hosts.a.core.journal.kept > 0
        await hosts.join(1, 4)
        await hosts.a.call(sink, 30, session)
        assert hosts.b.core.replica.digest() == hosts.a.core.replica.digest()
        assert hosts.b.core.journal.kept > 0
        assert {note.kind for note in hosts.b.of(Note)} == {"snapshot received"}


async def test_a_state_that_differs_is_named_and_forgotten(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.join(1, 4)
        await hosts.a.call(sink, 1, session)
        hosts.b.service.state.value = 77
        hosts.a.primary.checkpoint()
        await wait_until(lambda: hosts.b.failed, "it is named")
        kind, text = hosts.b.failed[0]
        assert kind == "diverged"
        assert "the state of Counter here differs" in text
        assert hosts.b.core.journal.incomplete
        assert hosts.b.core.journal.last == 0


async def test_memory_acknowledges_only_what_is_written(tmp_path: Path) -> None:
    async with pair(tmp_path, "memory") as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.join(1, 4)
        hosts.b.core.journal.pause()
        hosts.a.primary.calls.call(sink, Call(session, 1, 0, "add", b"\x80"))
        await wait_until(lambda: hosts.b.core.replica.sequence == 2, "b has applied it")
        assert hosts.a.primary.machine.acknowledged_upto == 1
        hosts.b.core.journal.resume()
        hosts.b.core.syncer.request()
        await wait_until(lambda: hosts.a.primary.machine.acknowledged_upto == 2, "it is acknowledged")


async def test_what_a_stream_that_has_ended_had_brought_while_the_state_was_loaded_counts_for_nothing(
    tmp_path: Path,
) -> None:
    """Each stream answers the `Join` that was sent on it, and no other one."""
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        for number in range(1, 30):
            await hosts.a.call(sink, number, session)
        hosts.a.primary.checkpoint()
        await wait_until(lambda: hosts.a.core.journal.snapshots, "a snapshot")
        log = hosts.a.core.journal.read(0)
        for batch in log[:20]:
            hosts.b.core.journal.write(batch)
        hosts.b.core.syncer.request()
        page = LeasePage(lease_page.create())
        page.ack_term = 1
        vice = SecondaryServer(hosts.b.core, Assign(1, "secondary", 4, hosts.a.peer), page)
        hosts.b.server._secondary = vice  # it hears what is synced
        entry = hosts.a.core.journal.snapshots[-1]
        data = (hosts.a.core.journal.directory / entry.file).read_bytes()
        snapshot = [SnapshotBegin(1, 4, entry.sequence, entry.runs, len(data)), SnapshotChunk(1, 4, data)]
        first, second = Wire(), Wire()
        vice.connected(first)
        vice.heard(first, [Follow(1, 4, 20), *snapshot])
        vice.connected(second)
        rest = [Append(1, 4, each.term, each.first, each.last, each.payload) for each in log[20:]]
        vice.heard(second, [Follow(1, 4, 20), *rest])
        last = log[-1].last
        await wait_until(lambda: second.sent[-1] == Acknowledged(1, 4, last), "everything is acknowledged")
        assert hosts.b.core.replica.digest() == hosts.a.core.replica.digest()
        assert hosts.b.of(Note) == []  # no snapshot was taken
        assert hosts.b.failed == []


async def test_an_acknowledgement_that_the_page_withheld_leaves_when_it_may(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.a.call(sink, 1, session)
        log = hosts.a.core.journal.read(0)
        page = LeasePage(lease_page.create())
        vice = SecondaryServer(hosts.b.core, Assign(1, "secondary", 4, hosts.a.peer), page)
        hosts.b.server._secondary = vice  # it hears what is synced
        wire, last = Wire(), log[-1].last
        vice.connected(wire)
        appended = [Append(1, 4, each.term, each.first, each.last, each.payload) for each in log]
        vice.heard(wire, [Follow(1, 4, 0), *appended])
        await wait_until(lambda: hosts.b.core.syncer.synced_upto == last, "it is on disk")
        vice.tick()
        assert not any(isinstance(each, Acknowledged) for each in wire.sent)  # sealed: nothing may leave
        page.ack_term = 1
        vice.tick()
        assert wire.sent[-1] == Acknowledged(1, 4, last)
