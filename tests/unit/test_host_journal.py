"""The journal: what was written is found again, whole; what cannot be used is refused and kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from primacy.errors import ConfigError, JournalError
from primacy.host.directory import set_aside
from primacy.host.journal import Journal, SnapshotEntry
from primacy.machines.history import Batch


def batch(term: int, first: int, last: int | None = None, size: int = 8) -> Batch:
    return Batch(term, first, last or first, b"%08d" % first * (size // 8))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.open(tmp_path / "service", "inventory")
    yield made
    made.close()


def reopened(journal: Journal) -> Journal:
    journal.close()
    return Journal.open(journal.directory, "inventory")


def test_what_was_written_is_found_again(journal: Journal) -> None:
    for each in (batch(1, 1, 3), batch(1, 4), batch(2, 5, 9)):
        journal.write(each)
    journal.sync()
    again = reopened(journal)
    assert (again.term, again.last, again.kept, again.floor) == (2, 9, 0, 0)
    assert again.runs == [(1, 1, 4), (2, 5, 9)]
    assert again.read(0) == [batch(1, 1, 3), batch(1, 4), batch(2, 5, 9)]
    assert again.read(3) == [batch(1, 4), batch(2, 5, 9)]
    again.close()


def test_a_host_that_died_while_it_opened_its_journal_has_damaged_nothing(journal: Journal) -> None:
    """Killed between the two halves of making the log file large."""
    journal.write(batch(1, 1, 3))
    journal.sync()
    journal.close()
    with sqlite3.connect(journal.path) as database:
        database.execute("CREATE TABLE fill (content BLOB)")
        database.execute("INSERT INTO fill VALUES (zeroblob(100))")
    database.close()
    again = Journal.open(journal.directory, "inventory")
    assert again.read(0) == [batch(1, 1, 3)]
    again.close()


def test_reading_goes_in_pieces(journal: Journal) -> None:
    for first in range(1, 6):
        journal.write(batch(1, first, size=1_000))
    assert [each.first for each in journal.read(0, bytes_max=2_500)] == [1, 2, 3]
    assert [each.first for each in journal.read(3, bytes_max=1)] == [4]
    assert journal.read(5) == []


def test_a_gap_is_a_bug(journal: Journal) -> None:
    with pytest.raises(AssertionError):
        journal.write(batch(1, 2))


def test_a_cut_is_durable(journal: Journal) -> None:
    for each in (batch(1, 1, 3), batch(1, 4), batch(2, 5)):
        journal.write(each)
    journal.cut(3)
    assert (journal.runs, journal.last) == ([(1, 1, 3)], 3)
    journal.write(batch(3, 4))
    again = reopened(journal)
    assert again.runs == [(1, 1, 3), (3, 4, 4)]
    again.close()


def snapshot(journal: Journal, sequence: int) -> SnapshotEntry:
    (journal.directory / f"snapshot-{sequence}").write_bytes(b"state")
    return SnapshotEntry(sequence, f"snapshot-{sequence}", [(1, 1, sequence)])


def test_snapshots_prune_the_log_before_the_last_but_one(journal: Journal) -> None:
    for first in range(1, 10):
        journal.write(batch(1, first))
    journal.add_snapshot(snapshot(journal, 3))
    assert (journal.kept, journal.floor) == (0, 0)
    journal.add_snapshot(snapshot(journal, 6))
    assert (journal.kept, journal.floor) == (3, 3)
    journal.add_snapshot(snapshot(journal, 8))
    assert (journal.kept, journal.floor) == (6, 6)
    assert sorted(path.name for path in journal.directory.glob("snapshot-*")) == ["snapshot-6", "snapshot-8"]
    assert [each.first for each in journal.read(6)] == [7, 8, 9]
    assert journal.prune(rows=4)
    again = reopened(journal)
    assert (again.runs, again.kept, again.last) == ([(1, 1, 9)], 6, 9)
    assert not again.prune(rows=4)
    assert [entry.sequence for entry in again.snapshots] == [6, 8]
    again.cut(7)
    assert [entry.sequence for entry in again.snapshots] == [6]
    again.close()


def test_a_snapshot_of_another_history_is_not_held(journal: Journal) -> None:
    journal.write(batch(2, 1, 5))
    assert journal.holds(SnapshotEntry(4, "x", [(2, 1, 4)]))
    assert not journal.holds(SnapshotEntry(4, "x", [(1, 1, 4)]))
    assert not journal.holds(SnapshotEntry(6, "x", [(2, 1, 6)]))


def test_a_received_snapshot_replaces_everything(journal: Journal) -> None:
    journal.forget_all()
    journal.write(batch(1, 1, 5))
    journal.add_snapshot(snapshot(journal, 5))
    entry = SnapshotEntry(20, "snapshot-20", [(1, 1, 3), (4, 4, 20)])
    journal.replace(entry)
    journal.write(batch(4, 21))
    again = reopened(journal)
    assert (again.runs, again.kept, again.floor, again.incomplete) == ([(1, 1, 3), (4, 4, 21)], 20, 20, False)
    assert again.snapshots == [entry]
    again.close()


def test_the_mark_of_incompleteness_stays(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "inventory", incomplete=True)
    assert journal.incomplete
    again = reopened(journal)
    assert again.incomplete
    again.close()


def test_forgetting_all_leaves_an_incomplete_journal(journal: Journal) -> None:
    journal.write(batch(1, 1, 5))
    journal.add_snapshot(snapshot(journal, 5))
    journal.forget_all()
    again = reopened(journal)
    assert (again.runs, again.last, again.snapshots, again.incomplete) == ([], 0, [], True)
    again.close()


def test_what_is_kept_back_during_a_checkpoint_is_read_and_written_all_the_same(journal: Journal) -> None:
    journal.write(batch(1, 1))
    journal.pause()
    journal.write(batch(1, 2))
    assert journal.paused
    assert [each.first for each in journal.read(0)] == [1, 2]
    journal.resume()
    again = reopened(journal)
    assert again.last == 2
    again.close()


def test_a_crash_loses_nothing_that_was_written(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        made = Journal.open(tmp_path, "inventory")
        made.write(batch(1, 1, 7))
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    again = Journal.open(tmp_path, "inventory")
    assert again.last == 7
    again.close()


def damaged(path: Path, damage: str) -> None:
    if damage == "garbage":
        path.write_bytes(b"not a database at all" * 500)
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:5_000])
    elif damage == "gap":
        with sqlite3.connect(path) as database:
            database.execute("DELETE FROM batches WHERE first = 2")
        database.close()
    elif damage == "no snapshot":
        with sqlite3.connect(path) as database:
            database.execute("UPDATE meta SET value = ? WHERE key = 'base'", (b"\x91\x93\x01\x01\x02",))
            database.execute("DELETE FROM batches WHERE first <= 2")
        database.close()
    else:
        pragma = {"foreign": "application_id=7", "newer": "user_version=99"}[damage]
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA {pragma}")
        database.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("garbage", "not a database"),
        ("torn", "malformed|corrupt|no such table"),
        ("gap", "entry 3 of term 1 follows 1"),
        ("no snapshot", "no snapshot holds them"),
        ("foreign", "a file of something else"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_kept(journal: Journal, damage: str, words: str) -> None:
    for first in (1, 2, 3):
        journal.write(batch(1, first))
    journal.close()
    damaged(journal.path, damage)
    content = journal.path.read_bytes()
    with pytest.raises(JournalError, match=words):
        Journal.open(journal.directory, "inventory")
    assert journal.path.read_bytes() == content
    place = set_aside(journal.directory)
    assert (place / "journal.db").read_bytes() == content
    fresh = Journal.open(journal.directory, "inventory")
    assert fresh.last == 0
    fresh.close()
    assert set_aside(journal.directory).name == "aside-2"


def test_a_newer_file_is_refused_as_configuration_and_kept(journal: Journal) -> None:
    journal.close()
    damaged(journal.path, "newer")
    content = journal.path.read_bytes()
    with pytest.raises(ConfigError, match="format 99; at most 1: it is newer"):
        Journal.open(journal.directory, "inventory")
    assert journal.path.read_bytes() == content


def test_a_journal_of_another_service_is_refused(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalError, match="not a journal of service naming"):
        Journal.open(journal.directory, "naming")


def write_much(journal: Journal) -> None:
    for first in range(1, 1_000):
        journal.write(batch(1, first, size=4_000))


def test_a_full_disk_is_told_plainly(journal: Journal) -> None:
    (pages,) = journal._database.execute("PRAGMA page_count").fetchone()
    journal._database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalError, match=r"full; free space on this disk, then start the service again"):
        write_much(journal)
