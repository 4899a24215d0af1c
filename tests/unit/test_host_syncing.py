"""Syncing: what is told as synced was written before its sync began; the WAL does not grow for ever."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from primacy.errors import JournalError
from primacy.host.journal import Journal
from primacy.host.syncing import Syncer, Worker
from primacy.machines.history import Batch
from tests.unit.waiting import wait_until


class Disk:
    """A journal with its syncer, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.journal = Journal.open(directory, "inventory")
        self.worker = Worker(asyncio.get_running_loop(), "disk")
        self.synced: list[int] = []
        self.failed: list[JournalError] = []
        self.syncer = Syncer(
            self.journal,
            self.worker,
            self.synced.append,
            self.failed.append,
            checkpoint_bytes=1 << 20,
            wal_bytes_max=4 << 20,
        )

    def write(self, size: int = 10) -> None:
        last = self.journal.last
        self.journal.write(Batch(1, last + 1, last + 1, os.urandom(size)))
        self.syncer.wrote(size)

    async def until(self, count: int) -> None:
        await wait_until(lambda: self.synced and self.synced[-1] >= count, f"{count} are synced")


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.worker.stop()
    made.journal.close()


async def test_a_fast_disk_is_waited_for_in_the_loop(disk: Disk) -> None:
    disk.write()
    disk.syncer.request()
    assert disk.synced == [1]
    disk.syncer.request()
    assert disk.synced == [1], "nothing new"


async def test_a_slow_disk_is_waited_for_by_the_thread(disk: Disk) -> None:
    for _ in range(100):
        disk.syncer._measure(0.01)
    disk.write()
    disk.syncer.request()
    disk.write()
    disk.syncer.request()
    assert disk.synced == []
    await disk.until(2)
    assert disk.synced == [1, 2], "what was written meanwhile makes the next sync"
    for _ in range(100):
        disk.syncer._measure(0.0001)
    disk.write()
    disk.syncer.request()
    assert disk.synced[-1] == 3


async def test_later_asks_the_thread(disk: Disk) -> None:
    disk.write()
    disk.syncer.later()
    disk.syncer.later()
    assert disk.synced == []
    await disk.until(1)
    assert disk.synced == [1]


async def test_now_waits_whatever_it_takes(disk: Disk) -> None:
    disk.write()
    disk.journal.pause()
    disk.write()
    disk.syncer.now()
    assert disk.synced == [2]


async def test_the_wal_begins_anew_under_constant_writing(disk: Disk) -> None:
    wal = disk.journal.path.with_name("journal.db-wal")
    largest = 0
    for _ in range(400):
        disk.write(size=1 << 16)
        if disk.journal.last % 8 == 0:
            disk.syncer.request()
            await asyncio.sleep(0.001)  # a turn of the loop takes its time
            await disk.until(disk.journal.last)  # as the mirror's flow control would
            largest = max(largest, wal.stat().st_size)
    disk.syncer.request()
    await disk.until(400)
    assert largest < 12 << 20
    assert sum(each.last - each.first + 1 for each in disk.journal.read(0, 1 << 40)) == 400


async def test_a_failure_is_told_once_and_final(disk: Disk) -> None:
    disk.write()
    readable, writable = os.pipe()  # which cannot be synced
    descriptor, disk.journal.wal_fd = disk.journal.wal_fd, readable
    disk.syncer.request()
    disk.syncer.request()
    disk.syncer.later()
    assert [str(error).split(":")[0].split("/")[-1] for error in disk.failed] == [
        "journal.db cannot be synced"
    ]
    assert disk.synced == []
    disk.journal.wal_fd = descriptor
    os.close(readable)
    os.close(writable)


async def test_the_worker_tells_of_errors_as_results() -> None:
    worker = Worker(asyncio.get_running_loop(), "disk")
    told: asyncio.Queue[object] = asyncio.Queue()

    def fail() -> None:
        raise OSError(5, "gone")

    worker.do(fail, told.put_nowait)
    worker.do(lambda: 7, told.put_nowait)
    assert isinstance(await told.get(), OSError)
    assert await told.get() == 7
    worker.stop()
