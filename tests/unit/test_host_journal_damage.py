"""What a power failure or a bad disk leaves of a journal: what was synced is there, what was torn is cut off.

The write-ahead log is damaged behind its last sync in every way that a disk that loses its power may choose: cut at
any byte, sectors missing in any order, garbage. What comes back is a beginning of what was written, never less than
what was synced, and every batch of it is whole. What is damaged at rest is refused, or the log is there to its end:
SQLite checks the structure of its pages, not the content of a batch.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from primacy.errors import ConfigError, DamagedJournal
from primacy.host.journal import Journal
from primacy.machines.history import Batch

SECTOR = 512
PAGE = 4_096
RUNS = 16


def payload(number: int) -> bytes:
    return random.Random(number).randbytes(random.Random(number).choice((20, 700, 6_000)))


def batch(number: int) -> Batch:
    return Batch(1, number, number, payload(number))


def write(journal: Journal, first: int, last: int) -> None:
    for number in range(first, last + 1):
        journal.write(batch(number))


def left_by_a_power_failure(source: random.Random, directory: Path, copy: Path) -> tuple[int, int]:
    """Write and sync, then write more, and copy what a disk has then; return what was synced and what was written."""
    journal = Journal.open(directory, "inventory")
    synced = source.randint(1, 30)
    write(journal, 1, synced)
    journal.sync()
    before = wal(directory).read_bytes()
    written = synced + source.randint(1, 20)
    write(journal, synced + 1, written)
    shutil.copytree(directory, copy)
    after = wal(directory).read_bytes()
    journal.close()
    wal(copy).write_bytes(torn(source, before, after))
    (copy / "journal.db-shm").unlink(missing_ok=True)  # it is rebuilt: it was never on the disk
    return synced, written


def torn(source: random.Random, before: bytes, after: bytes) -> bytes:
    """Of the sectors that were written since the sync some have come to the disk, and one perhaps by half.

    What a write does not touch it does not damage, in the same sector neither: SQLite counts on that, as on each sync.
    """
    sectors = bytearray(before.ljust(len(after), b"\0"))
    changed = [
        at for at in range(0, len(after), SECTOR) if sectors[at : at + SECTOR] != after[at : at + SECTOR]
    ]
    how = source.choice(("in order", "any", "garbage"))
    upto = source.randrange(len(changed) + 1)
    for at in changed[:upto] if how == "in order" else [at for at in changed if source.random() < 0.8]:
        sectors[at : at + SECTOR] = after[at : at + SECTOR]
    if upto < len(changed):
        at, half = changed[upto], source.randrange(SECTOR)
        kept = after[at : min(at + half, len(before))]
        rest = half - len(kept)
        content = kept + source.randbytes(rest) if how == "garbage" else after[at : at + half]
        sectors[at : at + len(content)] = content
    if source.random() < 0.3 and len(before) < len(after):  # the file had not grown yet
        del sectors[source.randint(len(before), len(after)) :]
    return bytes(sectors)


def wal(directory: Path) -> Path:
    return directory / "journal.db-wal"


def test_what_was_synced_survives_and_what_was_torn_is_cut_off(tmp_path: Path, seed: int) -> None:
    lengths: set[int] = set()
    for run in range(RUNS):
        source = random.Random(f"{seed} {run}")
        copy = tmp_path / f"copy {run}"
        synced, written = left_by_a_power_failure(source, tmp_path / f"first {run}", copy)
        journal = Journal.open(copy, "inventory")
        lengths.add(journal.last - synced)
        assert synced <= journal.last <= written, f"seed {seed}, run {run}"
        assert journal.read(0, 1 << 30) == [batch(n) for n in range(1, journal.last + 1)], (
            f"seed {seed}, run {run}"
        )
        again = journal.last + 1
        journal.write(batch(again))
        journal.sync()
        journal.close()
        reopened = Journal.open(copy, "inventory")
        assert reopened.last == again
        reopened.close()
    assert len(lengths) > 1  # something is lost sometimes, and not always all


@pytest.mark.parametrize("table", ["batches", "meta"])
def test_a_damaged_page_is_refused_or_the_journal_is_whole(tmp_path: Path, seed: int, table: str) -> None:
    """Bits are flipped anywhere in the database: the structure is checked, so nothing ever opens with a gap."""
    source = random.Random(f"{seed} {table}")
    journal = Journal.open(tmp_path / "first", "inventory")
    write(journal, 1, 60)
    journal.close()
    content = (tmp_path / "first" / "journal.db").read_bytes()
    refused = 0
    for run in range(RUNS):
        directory = tmp_path / f"copy {run}"
        directory.mkdir()
        damaged = bytearray(content)
        used = len(content) // 4 if table == "batches" else 8 * PAGE
        spots = [source.randrange(used) for _ in range(source.choice((1, 4, 64)))]
        for at in spots if run else range(0, len(content), PAGE):  # at first the head of every page
            damaged[at] ^= 1 << source.randrange(8)
        (directory / "journal.db").write_bytes(damaged)
        try:
            found = Journal.open(directory, "inventory")
        except (DamagedJournal, ConfigError):  # or it is taken for one that is newer than this code
            refused += 1
            continue
        assert (found.last, found.runs) == (60, [(1, 1, 60)]), f"seed {seed}, run {run}"
        found.close()
    assert refused
