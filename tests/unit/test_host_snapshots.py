"""Snapshots: by the loop or by a child, the same file; the state goes on meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.errors import JournalError
from primacy.host.journal import SnapshotEntry
from primacy.host.snapshots import Snapshots, check, read_file, write_file, write_raw
from primacy.host.syncing import Worker
from primacy.machines.replica import Replica
from primacy.service import Service, ServiceModel
from tests.unit.waiting import wait_until


class Numbers(msgspec.Struct):
    of: dict[str, int] = {}


class Keeper(Service[Numbers]):
    """Keeps numbers."""

    def snapshot(self) -> bytes:
        if "poison" in self.state.of:
            raise RuntimeError("poisoned")
        return super().snapshot()

    def digest(self) -> bytes:
        return msgspec.msgpack.encode(sorted(self.state.of.items()))


class Taking:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.service = Keeper()
        self.replica = Replica("keeper", ServiceModel(self.service))
        self.replica.sequence = 5
        self.worker = Worker(asyncio.get_running_loop(), "disk")
        self.failed: list[JournalError] = []
        self.snapshots = Snapshots(directory, self.replica, self.worker, self.fail)
        self.taken: asyncio.Future[tuple[SnapshotEntry, bytes]]

    def fail(self, error: JournalError) -> None:
        self.failed.append(error)
        self.taken.cancel()

    def begin(self) -> bool:
        self.taken = asyncio.get_running_loop().create_future()
        taken = self.taken
        return self.snapshots.take([(1, 1, 5)], lambda entry, digest: taken.set_result((entry, digest)))

    async def take(self) -> tuple[SnapshotEntry, bytes]:
        assert self.begin()
        async with asyncio.timeout(10):
            return await self.taken


@pytest.fixture
async def taking(tmp_path: Path) -> AsyncIterator[Taking]:
    made = Taking(tmp_path)
    yield made
    made.worker.stop()


def restored(path: Path) -> dict[str, int]:
    service = Keeper()
    replica = Replica("keeper", ServiceModel(service))
    replica.restore(read_file(path))
    return service.state.of


async def test_a_child_writes_the_state_of_the_instant(taking: Taking) -> None:
    taking.service.state.of = {"a": 1}
    digest = taking.replica.digest()
    assert taking.begin()
    taking.service.state.of["b"] = 2
    await wait_until(taking.taken.done, "the snapshot is taken")
    assert restored(taking.directory / "snapshot-5") == {"a": 1}
    assert taking.replica.digest() != digest


async def test_a_small_state_is_written_without_a_child_and_comes_out_the_same(taking: Taking) -> None:
    taking.service.state.of = {"a": 1}
    by_child = await taking.take()
    assert not taking.snapshots._fork
    by_loop = await taking.take()
    assert by_loop == by_child == (SnapshotEntry(5, "snapshot-5", [(1, 1, 5)]), taking.replica.digest())
    assert sorted(os.listdir(taking.directory)) == ["snapshot-5"]


async def test_a_large_state_goes_to_a_child(taking: Taking) -> None:
    taking.service.state.of = {f"number-{number}": number for number in range(200_000)}
    entry, _ = await taking.take()
    assert taking.snapshots._fork
    assert len(restored(taking.directory / entry.file)) == 200_000


async def test_one_at_a_time(taking: Taking) -> None:
    assert taking.begin()
    first = taking.taken
    assert not taking.begin()
    await wait_until(first.done, "the first is taken")
    assert taking.begin()
    await wait_until(taking.taken.done, "the next is taken")


async def test_a_child_that_fails_is_told(taking: Taking) -> None:
    taking.service.state.of = {"poison": 1}
    with pytest.raises(asyncio.CancelledError):
        await taking.take()
    assert "RuntimeError: poisoned" in str(taking.failed[0])
    assert os.listdir(taking.directory) == []
    assert not taking.snapshots.busy


async def test_leftovers_of_an_earlier_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "snapshot-7-1-2.new").write_bytes(b"half")
    made = Taking(tmp_path)
    assert os.listdir(tmp_path) == []
    made.worker.stop()


def test_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "snapshot-1"
    write_file(path, b"state" * 100)
    data = path.read_bytes()
    assert check(data, "x") == read_file(path) == b"state" * 100
    for broken in (data[:-1], data + b"x", data[:30] + b"?" + data[31:], b"", b"other"):
        write_raw(path, broken)
        with pytest.raises(JournalError, match="corrupt or not a snapshot"):
            read_file(path)
    with pytest.raises(JournalError, match="No such file"):
        read_file(tmp_path / "nothing")


def test_an_empty_state_is_a_state(tmp_path: Path) -> None:
    write_file(tmp_path / "snapshot-0", b"")
    empty: Any = read_file(tmp_path / "snapshot-0")
    assert empty == b""
