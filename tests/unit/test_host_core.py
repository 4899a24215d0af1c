"""What a server keeps on its disk: what is damaged is set aside, what is whole is used, whatever the disk does."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from primacy.errors import DamagedJournal, DiskError, JournalError
from primacy.host.core import Core, Policy
from primacy.host.journal import Journal, SnapshotEntry
from primacy.host.snapshots import write_file
from primacy.machines import host_wire
from primacy.machines.call_wire import Call
from primacy.machines.entries import Entries, encode
from primacy.machines.history import Batch
from tests.unit.hosting import Counter

OPEN = host_wire.Open("test", "a", "a" * 32, "counter", "", "", "", "disk", [], "", "", "")


class Rig:
    """A core in a directory; notes: the kinds of what the agent was told."""

    def __init__(self, directory: Path) -> None:
        self.notes: list[str] = []
        open = msgspec.structs.replace(OPEN, directory=str(directory))
        self.core = Core(open, Counter(), self._told, self._fail, None, Policy())

    def _told(self, message: object) -> None:
        assert isinstance(message, host_wire.Note)
        self.notes.append(message.kind)

    def _fail(self, kind: str, text: str) -> None:
        raise AssertionError(f"{kind}: {text}")

    def open(self) -> Journal:
        self.core.open_journal(lambda upto: None, self._failed)
        return self.core.journal

    def _failed(self, error: JournalError) -> None:
        raise error

    async def load(self) -> int:
        """Load the state; return what was counted."""
        self.open()
        try:
            await self.core.load()
            count: int = self.core.service.state.value
            return count
        finally:
            self.close()

    def close(self) -> None:
        self.core.worker.stop()
        self.core.journal.close()


def counted(rig: Rig, number: int) -> None:
    """Write entry `number`, which adds 1."""
    core = rig.core
    call = Call(0, 0, 0, "add", msgspec.msgpack.encode({"by": 1}))
    batch = Batch(1, number, number, encode(Entries(number, number, [call])))
    core.replica.apply(batch.term, batch.first, batch.last, batch.payload)
    core.journal.write(batch)


def snapshot(rig: Rig) -> Path:
    """Take a snapshot here; return its file."""
    core = rig.core
    entry = SnapshotEntry(core.replica.sequence, f"snapshot-{core.replica.sequence}", list(core.journal.runs))
    path = core.journal.directory / entry.file
    write_file(path, core.replica.snapshot())
    core.journal.add_snapshot(entry)
    return path


def filled(directory: Path, *, snapshots_at: tuple[int, ...] = (), entries: int = 9) -> list[Path]:
    """Leave a journal of 9 entries; return the files of its snapshots."""
    rig = Rig(directory)
    rig.open()
    files = []
    for number in range(1, entries + 1):
        counted(rig, number)
        if number in snapshots_at:
            files.append(snapshot(rig))
    rig.core.journal.sync()
    rig.close()
    return files


@contextmanager
def no_room() -> Iterator[None]:
    """No file can grow: what a full disk is for a process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_damages_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "counter"
    filled(directory)
    with no_room(), pytest.raises(DiskError, match="cannot be opened"):
        Rig(directory).open()
    assert not list(directory.glob("aside-*"))
    rig = Rig(directory)
    assert await rig.load() == 9
    assert rig.notes == []
    assert not rig.core.journal.incomplete


async def test_a_journal_that_is_damaged_is_set_aside_and_the_next_one_only_joins(tmp_path: Path) -> None:
    directory = tmp_path / "counter"
    filled(directory)
    (directory / "journal.db").write_bytes(b"this is no database" * 1_000)
    rig = Rig(directory)
    assert rig.open().incomplete
    rig.close()
    assert rig.notes == ["journal set aside"]
    assert len(list(directory.glob("aside-1/journal.db"))) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
@pytest.mark.parametrize("snapshots_at", [(4,), (2, 4), (2, 4, 7)])
async def test_the_log_behind_the_last_snapshot_but_one_makes_a_damaged_one_good(
    tmp_path: Path, damage: str, snapshots_at: tuple[int, ...]
) -> None:
    directory = tmp_path / "counter"
    damaged(filled(directory, snapshots_at=snapshots_at)[-1], damage)
    rig = Rig(directory)
    assert await rig.load() == 9
    assert rig.notes == ["snapshot damaged"]
    again = Rig(directory)
    assert await again.load() == 9
    assert again.notes == []


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if how == "cut" else content[:-1] + bytes([content[-1] ^ 1]))


async def test_when_no_snapshot_is_whole_the_journal_is_set_aside_whole(tmp_path: Path) -> None:
    directory = tmp_path / "counter"
    for path in filled(directory, snapshots_at=(2, 4))[-2:]:
        damaged(path, "flipped")
    rig = Rig(directory)
    with pytest.raises(DamagedJournal, match="corrupt or not a snapshot"):
        await rig.load()
    assert rig.notes == ["journal set aside"]
    assert {path.name for path in directory.glob("aside-1/*")} >= {"journal.db", "snapshot-2", "snapshot-4"}
    following = Rig(directory)
    assert following.open().incomplete
    following.close()
    assert following.notes == ["journal missing"]


async def test_a_whole_directory_that_is_gone_is_noticed(tmp_path: Path) -> None:
    directory = tmp_path / "counter"
    filled(directory)
    shutil.rmtree(directory)
    rig = Rig(directory)
    assert rig.open().incomplete
    rig.close()
    assert rig.notes == ["journal missing"]
