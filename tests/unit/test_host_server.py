"""A whole server in this process: roles, journals, and what it refuses to become."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from primacy.host.server import Server
from primacy.machines import host_wire
from primacy.machines.call_wire import DONE, Reply
from primacy.machines.host_wire import Alone, Members, Note, Opened, Progress, Serve, Stopped
from tests.unit.hosting import Sink, pair
from tests.unit.waiting import wait_until


async def test_it_opens_serves_and_stops(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        sink = Sink()
        session = await hosts.a.session(sink)
        reply = await hosts.a.call(sink, 1, session, by=3)
        assert (reply.outcome, reply.payload, reply.term) == (DONE, b"\x03", 1)
        assert isinstance(hosts.a.server, Server)
        assert [opened.sequence for opened in hosts.a.of(Opened)] == [0]
        await wait_until(lambda: len(hosts.a.of(Progress)) > 1, "it tells of its progress")
    assert hosts.a.of(Stopped) == [Stopped(1, 2)]


async def test_messages_of_another_term_are_ignored(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        hosts.a.server.heard(host_wire.Quiesce(7), [])
        assert hosts.a.primary.calls.closed_for == 0
        hosts.b.server.heard(Serve(1), [])
        hosts.b.server.heard(Alone(1), [])
        hosts.a.server.heard(Members(["a", "b"]), [])
        assert hosts.a.core.members == ["a", "b"]


async def test_it_never_begins_a_term_that_its_journal_knows(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        await hosts.a.session(Sink())
        hosts.a.assign(0, "available")
        hosts.a.assign(1, "primary")
        assert hosts.a.failed[0][0] == "term"


async def test_an_incomplete_journal_only_joins(tmp_path: Path) -> None:
    async with pair(tmp_path) as hosts:
        hosts.b.core.journal.forget_all()
        hosts.b.assign(5, "primary")
        assert hosts.b.failed[0][0] == "incomplete"
        sink = Sink()
        session = await hosts.a.session(sink)
        await hosts.a.call(sink, 1, session)
        await hosts.join(1, 1)
        assert not hosts.b.core.journal.incomplete
        assert hosts.b.service.state == hosts.a.service.state


@pytest.mark.parametrize("whole", [False, True])
async def test_a_journal_that_was_deleted_is_not_taken_for_a_new_one(tmp_path: Path, whole: bool) -> None:
    async with pair(tmp_path) as hosts:
        assert not hosts.b.core.journal.incomplete
        directory = hosts.b.core.journal.directory
    for made_anew in ("authority", "keys"):
        shutil.rmtree(tmp_path / made_anew)
    if whole:
        shutil.rmtree(directory)
    else:
        (directory / "journal.db").unlink()
    async with pair(tmp_path) as hosts:
        assert hosts.b.core.journal.incomplete
        assert not hosts.a.core.journal.incomplete
        assert "journal missing" in [note.kind for note in hosts.b.of(Note)]


@pytest.mark.parametrize("durability", ["disk", "memory"])
async def test_roles_are_exchanged_again_and_again(tmp_path: Path, durability: str) -> None:
    async with pair(tmp_path, durability) as hosts:
        sink, old, new = Sink(), hosts.a, hosts.b
        session = await old.session(sink)
        await hosts.join(1, 1)
        assert new.secondary.stream is not None
        stream = new.secondary.stream.stream
        for term in range(1, 7):
            assert (await old.call(sink, term, session)).payload == bytes([term])
            old.server.heard(host_wire.Quiesce(term), [])
            quiesced = lambda old=old: old.of(host_wire.Quiesced)  # noqa: E731
            await wait_until(quiesced, "it is quiesced")
            old.told.clear()
            new.assign(term + 1, "primary", 10 + term, old, in_step=True)
            old.assign(term + 1, "secondary", 10 + term, new, in_step=True)
            new.server.heard(Serve(term + 1), [])
            assert stream.closed is None, "the stream is kept"
            old, new = new, old
        await old.call(sink, 7, session)
        assert [reply.payload for reply in sink.of(Reply)] == [bytes([n]) for n in range(1, 8)]
        assert new.service.state == old.service.state
