"""Catching up: log in chunks, snapshots in pieces, and nothing after the joiner has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from primacy.host.catch_up import PIECE_BYTES, PIECES_UNDER_WAY, CatchUp
from primacy.host.journal import Journal
from primacy.host.snapshots import Snapshots, check
from primacy.host.syncing import Worker
from primacy.machines import mirror_wire
from primacy.machines.history import Batch
from primacy.machines.mirror_effects import SendLog, SendSnapshot
from primacy.machines.mirror_wire import Append, Follow, SnapshotBegin, SnapshotChunk
from primacy.machines.replica import Replica
from primacy.service import ServiceModel
from tests.unit.hosting import Counter
from tests.unit.waiting import wait_until


class Sending:
    def __init__(self, directory: Path) -> None:
        self.journal = Journal.open(directory, "counter")
        self.worker = Worker(asyncio.get_running_loop(), "disk")
        self.replica = Replica("counter", ServiceModel(Counter()))
        self.frames: list[Any] = []
        self.sent: list[tuple[int, int]] = []
        self.notes: list[str] = []
        self.catch_up = CatchUp(
            self.journal,
            Snapshots(directory, self.replica, self.worker, self.notes.append),  # type: ignore[arg-type]
            lambda frame: self.frames.append(mirror_wire.decode(frame)),
            lambda appointment, upto: self.sent.append((appointment, upto)),
            lambda kind, text: self.notes.append(kind),
            self.spawn,
        )

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.task = asyncio.get_running_loop().create_task(coroutine)
        return self.task


@pytest.fixture
async def sending(tmp_path: Path) -> AsyncIterator[Sending]:
    made = Sending(tmp_path)
    for first in range(1, 11):
        made.journal.write(Batch(1, first, first, b"x" * 100_000))
    yield made
    made.catch_up.close()
    made.worker.stop()
    made.journal.close()


async def test_a_chunk_of_log(sending: Sending) -> None:
    sending.catch_up.send_log(SendLog(2, 7, 3, opening=True, whole=False), last=10)
    assert sending.frames[0] == Follow(2, 7, 3)
    appends = sending.frames[1:]
    assert [each.first for each in appends if isinstance(each, Append)] == [4, 5, 6, 7, 8, 9]
    assert sending.sent == [], "never from within"
    await wait_until(lambda: sending.sent, "it is told")
    assert sending.sent == [(7, 9)]


async def test_the_whole_rest(sending: Sending) -> None:
    sending.catch_up.send_log(SendLog(2, 7, 3, opening=False, whole=True), last=10)
    assert [each.first for each in sending.frames] == list(range(4, 11))
    await asyncio.sleep(0)
    assert sending.sent == []


async def test_a_snapshot_is_made_when_there_is_none(sending: Sending) -> None:
    sending.replica.sequence = 10
    sending.catch_up.send_snapshot(SendSnapshot(2, 7))
    await wait_until(lambda: sending.sent, "it is sent")
    assert sending.sent == [(7, 10)]
    assert sending.frames[0] == SnapshotBegin(2, 7, 10, [(1, 1, 10)], sending.frames[0].size)
    assert sum(len(each.data) for each in sending.frames[1:]) == sending.frames[0].size
    assert sending.notes == ["snapshot sent"]


async def test_only_a_few_pieces_are_under_way(sending: Sending) -> None:
    sending.replica.sequence = 10
    sending.replica.model.service.state.value = 1  # type: ignore[attr-defined]
    for _ in range(9):
        sending.replica.publish("x", b"y" * PIECE_BYTES)
    sending.catch_up.send_snapshot(SendSnapshot(2, 7))
    await wait_until(lambda: len(sending.frames) > PIECES_UNDER_WAY, "pieces are under way")
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(sending.frames) == 1 + PIECES_UNDER_WAY + 1
    while not sending.sent:
        sending.catch_up.taken(sum(len(e.data) for e in sending.frames if isinstance(e, SnapshotChunk)))
        await asyncio.sleep(0)
    assert len(sending.frames) > 9


async def test_nothing_is_told_after_the_joiner_has_gone(sending: Sending) -> None:
    sending.catch_up.send_log(SendLog(2, 7, 3, opening=False, whole=False), last=10)
    sending.catch_up.send_snapshot(SendSnapshot(2, 7))
    sending.catch_up.close()
    await wait_until(lambda: sending.journal.snapshots, "the snapshot is kept all the same")
    assert sending.sent == []


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_damaged_snapshot_is_never_sent_to_its_end_and_a_new_one_takes_its_place(
    sending: Sending, goes_on: bool
) -> None:
    sending.replica.sequence = 10
    sending.catch_up.send_snapshot(SendSnapshot(2, 7))
    await wait_until(lambda: sending.sent, "it is sent")
    (entry,) = sending.journal.snapshots
    path = sending.journal.directory / entry.file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    if goes_on:
        sending.journal.write(Batch(1, 11, 11, b"more"))
        sending.replica.sequence = 11
    sending.frames.clear()
    sending.sent.clear()
    sending.catch_up.send_snapshot(SendSnapshot(2, 8))
    await wait_until(lambda: sending.sent, "a new one is sent")
    last = 11 if goes_on else 10
    assert sending.sent == [(8, last)]
    assert [type(frame) for frame in sending.frames] == [SnapshotBegin, SnapshotBegin, SnapshotChunk]
    assert check(sending.frames[-1].data, "the new one")
    assert [each.sequence for each in sending.journal.snapshots] == [last]
    assert [path.name for path in sending.journal.directory.glob("snapshot-*")] == [f"snapshot-{last}"]
    assert sending.notes == ["snapshot sent", "snapshot damaged", "snapshot sent"]
