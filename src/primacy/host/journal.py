"""The journal of one service on one node: its log since the snapshot before last, in one SQLite file.

One row is one batch, one transaction writes it. The file is in WAL mode with `synchronous=NORMAL`: an insert
only writes (some 15 us, so it is done in the loop), and `sync` makes all that was written durable with one
`fdatasync` of the WAL, which is what `synchronous=FULL` does at each commit; but so that many batches share
it, that it can run in a thread, and that `memory` durability can do without. The WAL's checkpoints are made
by `primacy.host.syncing`.

Invariants: batches are consecutive from `kept` + 1 to `last`; `runs` describes the whole history, pruned
entries included. Two processes never have the journal open (`host.lock`). A file that is foreign, corrupt or
newer is never
altered: `Journal.open` raises DamagedJournal, `directory.set_aside` renames it. A disk that is full, or that answers
with an error, has damaged nothing: that is a DiskError, and final for the process; what the file then holds is
decided by the next one that opens it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import msgspec

from primacy.errors import ConfigError, DamagedJournal, DiskError, JournalError
from primacy.host.directory import lock, sync_directory
from primacy.machines.history import Batch, Run, cut, extend, last_of

APPLICATION_ID = 0x50524D4A  # "PRMJ"
FORMAT = 1
READ_BYTES = 512 << 10
DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What SQLite answers when a file is no journal (any more); every other error is one of the disk, or of its load."""
WAL_FILL_BYTES = 2 << 20

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, term INTEGER NOT NULL, payload BLOB
NOT NULL); CREATE TABLE snapshots (sequence INTEGER PRIMARY KEY, file TEXT NOT NULL, runs BLOB NOT NULL);
"""
_INSERT = "INSERT INTO batches VALUES (?, ?, ?, ?)"

_encode = msgspec.msgpack.Encoder().encode
_runs: msgspec.msgpack.Decoder[list[Run]] = msgspec.msgpack.Decoder(list[Run])


def _damaged(error: Exception) -> bool:
    """Whether an error at the opening is one of the content: what SQLite or a decoder makes of bytes that are wrong."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) in DAMAGED
    return not isinstance(error, OSError)


def missing(directory: Path) -> bool:
    """Is there no journal in this directory?"""
    path = directory / "journal.db"
    return not path.exists() or not path.stat().st_size


class SnapshotEntry(msgspec.Struct, frozen=True):
    """A snapshot that the journal knows: the state after entry `sequence`, in a file beside the journal."""

    sequence: int
    file: str
    runs: list[Run]


class Journal:
    """An open journal. Not thread-safe: the loop's thread owns it, but for `wal_fd`."""

    def __init__(self, directory: Path, service: str) -> None:
        self.directory = directory
        self.service = service
        self.path = directory / "journal.db"
        self.runs: list[Run] = []
        self.kept = 0
        self.last = 0
        self.snapshots: list[SnapshotEntry] = []
        self.incomplete = False
        self._waiting: list[Batch] | None = None
        self._lock = lock(directory / "host.lock", service)
        self.wal_fd = -1

    @classmethod
    def open(cls, directory: Path, service: str, *, incomplete: bool = False) -> Journal:
        """Open or make the journal in `directory`. incomplete: a new one takes the place of one that is lost.

        DamagedJournal when what is there can never be used, DiskError when it cannot be opened now; ConfigError
        when it is newer than this code, or in use.
        """
        directory.mkdir(parents=True, exist_ok=True)
        journal = cls(directory, service)
        try:
            journal._connect(incomplete)
        except (sqlite3.Error, ValueError, TypeError, OSError) as error:
            journal.close()
            if _damaged(error):
                raise DamagedJournal(f"journal {journal.path}: {error}") from error
            raise journal._broken("cannot be opened", error) from error
        except (JournalError, ConfigError):
            journal.close()
            raise
        return journal

    def _connect(self, incomplete: bool) -> None:
        fresh = missing(self.directory)
        self._database = database = sqlite3.connect(
            self.path, isolation_level=None, timeout=5.0, check_same_thread=False, cached_statements=32
        )
        if fresh:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            header = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT};"
            database.executescript(f"BEGIN; {header} {_SCHEMA}")
            self._set("service", _encode(self.service))
            self._set("base", _encode([]))
            if incomplete:
                self._set("incomplete", b"\xc3")
            database.execute("COMMIT")
        else:
            self._check_header()
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        self._recover()
        self._fill_wal()
        self._set("opened", _encode(time.time()))  # a write, so that the WAL is there to be synced
        self.wal_fd = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)
        self.sync()
        sync_directory(self.directory)

    def _fill_wal(self) -> None:
        """Let the WAL have its size from the start: to overwrite is synced in half the time that growing takes."""
        database = self._database
        database.execute("BEGIN")
        database.execute("DROP TABLE IF EXISTS fill")  # of a life that was killed right here
        database.execute("CREATE TABLE fill (content BLOB)")
        database.execute("INSERT INTO fill VALUES (zeroblob(?))", (WAL_FILL_BYTES,))
        database.execute("COMMIT")
        database.execute("DROP TABLE fill")
        database.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def _check_header(self) -> None:
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise DamagedJournal(f"{self.path} is a file of something else (application id {application:#x})")
        if version > FORMAT:
            want = f"at most {FORMAT}: it is newer than this code; upgrade this node, nothing was changed"
            raise ConfigError(str(self.path), f"format {version}", want)
        for (finding,) in self._database.execute("PRAGMA quick_check(1)"):
            if finding != "ok":
                raise DamagedJournal(f"{self.path} is corrupt: {finding}")

    def _recover(self) -> None:
        """Read the description of the log; what does not fit together is corrupt."""
        service = self._get("service")
        if service is None or msgspec.msgpack.decode(service) != self.service:
            raise DamagedJournal(f"{self.path} is not a journal of service {self.service}")
        self.incomplete = self._get("incomplete") is not None
        self.runs = _runs.decode(self._get("base") or b"\x90")
        self.kept = last_of(self.runs)[1]
        self.last = self.kept
        query = "SELECT term, first, last FROM batches WHERE last > ? ORDER BY first"
        for term, first, last in self._database.execute(query, (self.kept,)):
            if first != self.last + 1 or last < first or term < last_of(self.runs)[0]:
                raise DamagedJournal(
                    f"{self.path} is corrupt: entry {first} of term {term} follows {self.last}"
                )
            extend(self.runs, term, first, last)
            self.last = last
        query = "SELECT sequence, file, runs FROM snapshots ORDER BY sequence"
        self.snapshots = [
            SnapshotEntry(s, file, _runs.decode(runs)) for s, file, runs in self._database.execute(query)
        ]
        if self.kept and not (self.snapshots and self.snapshots[0].sequence >= self.kept):
            raise DamagedJournal(
                f"{self.path}: entries up to {self.kept} are gone and no snapshot holds them"
            )

    @property
    def term(self) -> int:
        """The term of the last entry."""
        return last_of(self.runs)[0]

    @property
    def floor(self) -> int:
        """The position below which this journal cannot be cut: its state could not be made again."""
        return self.snapshots[0].sequence if self.kept else 0

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._lock < 0

    def holds(self, entry: SnapshotEntry) -> bool:
        """Say whether the snapshot is of this history (which may have been cut or replaced meanwhile)."""
        return self.kept <= entry.sequence <= self.last and cut(self.runs, entry.sequence) == entry.runs

    # ---- the data path ----

    def write(self, batch: Batch) -> None:
        """Write a batch (not yet synced)."""
        assert batch.first == self.last + 1, (batch.first, self.last)
        if self._waiting is None:
            self._insert(batch)
        else:
            self._waiting.append(batch)
        extend(self.runs, batch.term, batch.first, batch.last)
        self.last = batch.last

    def pause(self) -> None:
        """Keep batches back for a moment, so that a checkpoint can reach the end of the WAL."""
        assert self._waiting is None
        self._waiting = []

    def resume(self) -> None:
        """Write what was kept back."""
        waiting, self._waiting = self._waiting or [], None
        for batch in waiting:
            self._insert(batch)

    @property
    def paused(self) -> bool:
        """Batches are kept back: nothing can be synced."""
        return self._waiting is not None

    def sync(self) -> None:
        """Make all that was written durable."""
        try:
            os.fdatasync(self.wal_fd)
        except OSError as error:
            raise self._broken("cannot be synced", error) from error

    def read(self, after: int, bytes_max: int = READ_BYTES) -> list[Batch]:
        """Return the batches behind entry `after`, until they have about `bytes_max` bytes (at least one)."""
        found: list[Batch] = []
        size = 0
        query = "SELECT term, first, last, payload FROM batches WHERE first > ? ORDER BY first"
        try:
            cursor = self._database.execute(query, (after,))
            for term, first, last, payload in cursor:
                found.append(Batch(term, first, last, payload))
                size += len(payload)
                if size >= bytes_max:
                    break
            else:
                found.extend(batch for batch in self._waiting or [] if batch.first > after)
            cursor.close()
        except sqlite3.Error as error:
            raise self._broken("cannot be read", error) from error
        return found

    # ---- rarely ----

    def cut(self, to: int) -> None:
        """Delete the entries behind `to`, durably, and the snapshots that hold them."""
        assert self.floor <= to <= self.last, (self.floor, to, self.last)
        with self._transaction() as database:
            database.execute("DELETE FROM batches WHERE first > ?", (to,))
            database.execute("DELETE FROM snapshots WHERE sequence > ?", (to,))
        self.runs = cut(self.runs, to)
        self.last = to
        self._forget([entry for entry in self.snapshots if entry.sequence > to])

    def add_snapshot(self, entry: SnapshotEntry) -> None:
        """Note a new snapshot, durably; the log before the last but one, and older snapshots, are pruned."""
        older = [old for old in self.snapshots if old.sequence < entry.sequence]
        keep = [*older, entry][-2:]
        kept = max(self.kept, keep[0].sequence if len(keep) > 1 else 0)
        with self._transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)",
                (entry.sequence, entry.file, _encode(entry.runs)),
            )
            if len(keep) > 1:
                database.execute("DELETE FROM snapshots WHERE sequence < ?", (keep[0].sequence,))
                self._set("base", _encode(cut(self.runs, kept)))
        gone = [old for old in self.snapshots if old not in keep and old.file != entry.file]
        self.snapshots = [*older, entry]
        self.kept = kept
        self._forget(gone)

    def drop_snapshot(self, entry: SnapshotEntry) -> None:
        """Forget a snapshot whose file is damaged, durably: the one before it and the log stand for it."""
        with self._transaction() as database:
            database.execute("DELETE FROM snapshots WHERE sequence = ?", (entry.sequence,))
        self._forget([entry])

    def prune(self, rows: int = 64) -> bool:
        """Delete a few of the rows that are no longer needed; True: there may be more."""
        try:
            cursor = self._database.execute(
                "DELETE FROM batches WHERE first IN (SELECT first FROM batches WHERE last <= ? LIMIT ?)",
                (self.kept, rows),
            )
        except sqlite3.Error as error:
            raise self._broken("cannot be written", error) from error
        return cursor.rowcount == rows

    def replace(self, entry: SnapshotEntry) -> None:
        """Replace everything by a snapshot that came from the primary, durably."""
        with self._transaction() as database:
            database.execute("DELETE FROM batches")
            database.execute("DELETE FROM snapshots")
            values = (entry.sequence, entry.file, _encode(entry.runs))
            database.execute("INSERT INTO snapshots VALUES (?, ?, ?)", values)
            database.execute("DELETE FROM meta WHERE key = 'incomplete'")
            self._set("base", _encode(entry.runs))
        gone = self.snapshots
        self.runs, self.snapshots, self.incomplete = list(entry.runs), [entry], False
        self.kept = self.last = entry.sequence
        self._forget([old for old in gone if old.file != entry.file])

    def forget_all(self) -> None:
        """Delete everything, durably: only a snapshot of the primary can fill this journal again."""
        with self._transaction() as database:
            for table in ("batches", "snapshots"):
                database.execute(f"DELETE FROM {table}")
            self._set("base", _encode([]))
            self._set("incomplete", b"\xc3")
        self.runs, self.kept, self.last, self.incomplete = [], 0, 0, True
        self._forget(self.snapshots)

    def close(self) -> None:
        """Close the file; the next opening finds everything that was written."""
        if self.wal_fd >= 0:
            os.close(self.wal_fd)
            self.wal_fd = -1
        database = getattr(self, "_database", None)
        if database is not None:
            database.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ---- inside ----

    def _insert(self, batch: Batch) -> None:
        try:
            self._database.execute(_INSERT, (batch.first, batch.last, batch.term, batch.payload))
        except sqlite3.Error as error:
            raise self._broken("cannot be written", error) from error

    def _transaction(self) -> _Transaction:
        return _Transaction(self)

    def _get(self, key: str) -> bytes | None:
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _set(self, key: str, value: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _forget(self, entries: list[SnapshotEntry]) -> None:
        """Delete the files of snapshots that the journal no longer knows."""
        self.snapshots = [entry for entry in self.snapshots if entry not in entries]
        for entry in entries:
            (self.directory / entry.file).unlink(missing_ok=True)

    def _broken(self, what: str, error: Exception) -> DiskError:
        full = "full" in str(error) or getattr(error, "errno", 0) == 28
        advice = "free space on this disk" if full else "look at the disk and the kernel's log"
        return DiskError(f"journal {self.path} {what}: {error}; {advice}, then start the service again here")


class _Transaction:
    """A durable transaction on a journal's file."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> sqlite3.Connection:
        if self._journal.paused:
            self._journal.resume()
        database = self._journal._database
        database.execute("BEGIN IMMEDIATE")
        return database

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        database = self._journal._database
        if kind is not None:
            database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._journal._broken("cannot be written", error) from error
            return
        try:
            database.execute("COMMIT")
        except sqlite3.Error as problem:
            raise self._journal._broken("cannot be written", problem) from problem
        self._journal.sync()
