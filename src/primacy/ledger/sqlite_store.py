"""One SQLite file as a ledger: the synchronous store, called from one thread, that may block.

It must never follow a file that is not the one it opened, and never serve an older history than it has seen:
either would make a second truth out of a copy. So, around every transaction:

- device and inode of the path, and of the `-wal` and `-shm` files beside it, must equal those of the open
  files. Before a swap a difference means that nothing is written; after it, that the swap is uncertain.
- inside the transaction, with the page cache emptied before it (so that a file written over *in place* is
  seen): the cluster id, and the `mark` (random, of each change) of the newest change seen, must be what they
  were.

Idle, it copies the write-ahead log into the file (`checkpoint`), so that a plain copy of the file is nearly
current, and an older copy put in its place is seen at once, not shadowed by pages in the log. At opening it
checks the whole file, and that no log or index was taken away from somebody who has the file open.

What stays undetected: a file written over in place between a swap and its checkpoint; another file put in the
place of the file or its log, and a process started that knows nothing else.

Nothing else in a process may open and close the file: closing any descriptor of it drops the POSIX locks that
SQLite holds (sqlite.org/howtocorrupt.html, 2.2; deleted and renamed files: 2.4 there).

To look at a ledger: `sqlite3 ledger.db 'select * from entries'`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

from primacy.errors import Compacted, ConfigError, Conflict, Unavailable, Uncertain
from primacy.ledger.api import Change, Entry
from primacy.ledger.sqlite_format import APPLICATION_ID, FORMAT, contradiction

CHANGES_READ_MAX: Final = 1000
BUSY_PAUSE_S: Final = 0.002

_HISTORY: Final = """
SELECT (SELECT cluster FROM ledger), (SELECT coalesce(max(revision), 1) FROM changes),
       (SELECT coalesce(min(revision), 2) FROM changes), (SELECT mark FROM changes WHERE revision = ?)
"""


class SqliteStore:
    """The open file. Every method may block, up to `busy_s` for locks and without limit for the disk."""

    def __init__(self, path: str, busy_s: float, keep: int) -> None:
        """Open the existing ledger at `path`. Raises `ConfigError` (not ours, or newer), `Unavailable`."""
        assert keep > 0, keep
        self.path = path
        self._busy_s = busy_s
        self._keep = keep
        self._files: dict[str, tuple[int, int]] = {}
        self._seen: tuple[int, str | None] = (1, None)  # the newest change seen: revision, mark
        self._data_version = -1
        self._own = False
        self._unsaved = True  # whoever wrote last may have been killed
        before = self._identity(path, "`primacy up` and `primacy init` create a ledger, nothing else does")
        # The real path: SQLite names the two files beside it after the target of a symbolic link.
        log, index = (os.path.realpath(path) + suffix for suffix in ("-wal", "-shm"))
        uri = f"file:{quote(os.path.abspath(path))}?mode=rw"
        with self._as_unavailable("opening it"):
            self._check_company(uri, log, index)
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
        try:
            with self._as_unavailable("opening it"):
                self.cluster = self._accept()
            beside = {name: self._identity(name, "it was deleted just now") for name in (log, index)}
            self._files = {path: before} | beside
            self.read("")
        except BaseException:
            self._connection.close()
            raise

    @property
    def log_path(self) -> str:
        """The file that every process writes when it swaps."""
        return os.path.realpath(self.path) + "-wal"

    def read(self, prefix: str) -> tuple[int, list[Entry]]:
        """Return the store's revision and the entries below `prefix`, sorted by key. Raises `Unavailable`."""
        with self._transaction("BEGIN", "read") as (revision, _):
            rows = self._connection.execute(
                "SELECT key, value, revision FROM entries WHERE key >= ? AND key < ? ORDER BY key",
                _range(prefix),
            ).fetchall()
        self._check_files("Nothing was read")
        return revision, [Entry(key, value.encode(), written) for key, value, written in rows]

    def changes_since(self, prefix: str, after: int) -> tuple[int, list[Change]]:
        """Return the first changes below `prefix` above `after`, and the revision up to which these are all.

        Raises `Compacted`, `Unavailable`.
        """
        with self._transaction("BEGIN", "watch") as (revision, oldest):
            if max(after, 1) < oldest - 1:
                raise Compacted(f"ledger {self.path} keeps changes from revision {oldest} on; read again")
            rows = self._connection.execute(
                "SELECT key, value, revision FROM changes WHERE revision > ? AND key >= ? AND key < ?"
                " ORDER BY revision LIMIT ?",
                (after, *_range(prefix), CHANGES_READ_MAX),
            ).fetchall()
        self._check_files("Nothing was read")
        changes = [
            Change(key, None if value is None else value.encode(), number) for key, value, number in rows
        ]
        upto = changes[-1].revision if len(changes) == CHANGES_READ_MAX else max(after, revision)
        return upto, changes

    def swap(self, key: str, value: bytes | None, expect: int, commits: Callable[[], bool]) -> int:
        """Write as `Ledger.swap` says. `commits`, asked right before the commit, may still call it off.

        Raises `Conflict`, `Unavailable`, `Uncertain`.
        """
        with self._transaction("BEGIN IMMEDIATE", "swap") as (revision, _):
            held = self._connection.execute("SELECT revision FROM entries WHERE key = ?", (key,)).fetchone()
            held_revision = held[0] if held else 0
            if held_revision == expect:
                mark = self._write(key, value, revision + 1)
                if not commits():
                    raise Unavailable(
                        f"ledger {self.path}: the swap of {key} was called off; nothing was written"
                    )
                self._commit(key)
                self._seen, self._own, self._unsaved = (revision + 1, mark), True, True
        if held_revision != expect:
            self._check_files("Nothing was written")  # a foreign file's conflict would settle nothing
            raise Conflict(f"{key} has revision {held_revision}, not {expect}; nothing was written")
        if reason := self._misplaced():
            raise Uncertain(f"{reason}. The swap of {key} may be lost with the file")
        return revision + 1

    def moved(self) -> bool:
        """Has anybody changed the store since this was last asked? Never raises; takes microseconds."""
        own, self._own = self._own, False
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return own  # busy or broken: who reads next will say it
        foreign, self._data_version = version != self._data_version, version
        self._unsaved |= foreign
        return own or foreign

    @property
    def unsaved(self) -> bool:
        """May there be a swap that nobody has copied from the log to the file yet?"""
        return self._unsaved

    def checkpoint(self) -> None:
        """Copy the log into the file, without waiting for anybody, if both are still ours. Never raises."""
        self._unsaved = False
        with contextlib.suppress(Unavailable, sqlite3.Error):
            with self._transaction("BEGIN", "checkpoint"):
                pass
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Close the file, unless that would delete the log of another file that has taken its place."""
        if self._misplaced():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))  # never closed, not even at exit
        else:
            self._connection.close()

    def _check_company(self, uri: str, log: str, index: str) -> None:
        """Before opening: without a log, or an index of it, nobody else may have the file open.

        Somebody who has would go on with those that were taken away, we with new ones: two truths. Locking
        the file as a whole, without any index, succeeds only when nobody has it open; it also tidies up.
        """
        until = time.monotonic() + self._busy_s
        while not (os.path.exists(log) and os.path.exists(index) and os.path.getsize(index)):
            try:
                with contextlib.closing(
                    sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
                ) as alone:
                    alone.execute("PRAGMA locking_mode=EXCLUSIVE")
                    alone.execute("SELECT count(*) FROM sqlite_schema").fetchall()
                return
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                    return
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() >= until:
                    raise Unavailable(
                        f"ledger {self.path}: somebody has it open or locked, but {log} or {index} is gone:"
                        " put it back, or stop every node of the cluster and start again"
                    ) from None
            time.sleep(BUSY_PAUSE_S)

    def _accept(self) -> str:
        """Check that this is a sound ledger of a known format; return its cluster id."""
        try:
            application, version = self._begin(
                "BEGIN", "SELECT * FROM pragma_application_id, pragma_user_version"
            )
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
            application, version = None, 0
        self._roll_back()
        if application != APPLICATION_ID:
            raise ConfigError(
                f"ledger {self.path}", "a file that is no ledger of Primacy", "name another file"
            )
        if not 1 <= version <= FORMAT:
            wanted = f"format {FORMAT} at most: this Primacy is too old for it"
            raise ConfigError(f"ledger {self.path}", f"a ledger of format {version}", wanted)
        if self._connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            raise ConfigError(
                f"ledger {self.path}", "a file system without shared memory", "use a local disk"
            )
        self._connection.execute("PRAGMA synchronous=FULL")
        cluster = self._begin("BEGIN", "SELECT cluster FROM ledger")[0]
        fault = contradiction(self._connection)
        self._roll_back()
        if fault:
            raise Unavailable(
                f"ledger {self.path} is damaged ({fault}): was it copied back beside a later -wal file?"
                " Restore it as a whole"
            )
        return str(cluster)

    @contextlib.contextmanager
    def _transaction(self, begin: str, what: str) -> Iterator[tuple[int, int]]:
        """Give (revision, oldest change kept) of the right file, in a transaction that ends in any case."""
        self._check_files("Nothing was written")
        with self._as_unavailable(what):
            self._connection.execute("PRAGMA shrink_memory")  # read the pages anew
            try:
                yield self._check_history(*self._begin(begin, _HISTORY, self._seen[0]))
            finally:
                self._roll_back()

    def _begin(self, begin: str, query: str, *parameters: object) -> tuple[Any, ...]:
        """Begin a transaction and return the first row of `query`; wait up to `busy_s` for others' locks."""
        until = time.monotonic() + self._busy_s
        while True:
            try:
                self._connection.execute(begin)
                row: tuple[Any, ...] = self._connection.execute(query, parameters).fetchall()[0]
                return row
            except sqlite3.OperationalError as error:
                self._roll_back()
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            time.sleep(BUSY_PAUSE_S)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _check_history(self, cluster: str, revision: int, oldest: int, mark: str | None) -> tuple[int, int]:
        seen, seen_mark = self._seen
        reason = None
        if cluster != self.cluster:
            reason = f"it belongs to cluster {cluster!r} now, no more to {self.cluster!r}"
        elif revision < seen:
            reason = f"it went back from revision {seen} to {revision}"
        elif oldest <= seen and mark != seen_mark:
            reason = f"its revision {seen} is another change than it was"
        if reason:
            raise Unavailable(
                f"ledger {self.path}: {reason}: another copy was written over it. Nothing was written; put"
                " the right content back, or stop every node of the cluster and start it again to accept this"
            )
        if revision > seen:
            newest = self._connection.execute(
                "SELECT mark FROM changes WHERE revision = ?", (revision,)
            ).fetchone()
            self._seen = (revision, newest[0])
        return revision, oldest

    def _write(self, key: str, value: bytes | None, revision: int) -> str:
        """Put the change into the open transaction; return its mark."""
        text = None if value is None else value.decode()
        mark: str = self._connection.execute(
            "INSERT INTO changes (revision, key, value) VALUES (?, ?, ?) RETURNING mark",
            (revision, key, text),
        ).fetchall()[0][0]
        if text is None:
            self._connection.execute("DELETE FROM entries WHERE key = ?", (key,))
        else:
            self._connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (key, text, revision))
        self._connection.execute("DELETE FROM changes WHERE revision <= ?", (revision - self._keep,))
        return mark

    def _commit(self, key: str) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:  # the log may hold the commit all the same, for whoever reads it anew
            raise Uncertain(f"ledger {self.path}: committing the swap of {key}: {_text(error)}") from error

    def _identity(self, path: str, advice: str) -> tuple[int, int]:
        try:
            found = os.stat(path)
        except OSError as error:
            raise Unavailable(f"ledger {self.path}: no file {path} ({error.strerror}): {advice}") from None
        return found.st_dev, found.st_ino

    def _misplaced(self) -> str | None:
        """What is wrong with the files at our paths, or None when they are the open ones."""
        for path, identity in self._files.items():
            try:
                found = os.stat(path)
            except OSError as error:
                how = f"is gone ({error.strerror})"
            else:
                if (found.st_dev, found.st_ino) == identity:
                    continue
                how = f"is another file than the one that is open (inode {found.st_ino}, not {identity[1]})"
            return f"ledger {self.path}: {path} {how}"
        return None

    def _check_files(self, consequence: str) -> None:
        if reason := self._misplaced():
            raise Unavailable(
                f"{reason}. {consequence}; put the very same file back, or stop every node of"
                " the cluster, restore the ledger and start again"
            )

    @contextlib.contextmanager
    def _as_unavailable(self, what: str) -> Iterator[None]:
        """Only around what has not reached a commit."""
        try:
            yield
        except sqlite3.Error as error:
            raise Unavailable(f"ledger {self.path}: {what}: {_text(error)}; nothing was written") from error


def _range(prefix: str) -> tuple[str, str]:
    return prefix, prefix + "\x7f"  # keys are printable ASCII


def _text(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
        return "another process holds its lock"
    return f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
