"""The ledger as a SQLite file: its tables, how it comes into being, and what it must not contradict.

`entries` holds what is, `changes` the newest swaps: row id = revision, without gaps, each with a random
`mark` that tells it from another change of the same number in another life of the store. Values are JSON
text.

Nothing but `create` makes a ledger, and never one that is half made: it appears under its name when it is
whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from typing import Final

from primacy.errors import ConfigError

APPLICATION_ID: Final = 0x5072694C  # "PriL"
FORMAT: Final = 1

SCHEMA: Final = f"""
CREATE TABLE ledger (cluster TEXT NOT NULL);
CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value TEXT,
                      mark TEXT NOT NULL DEFAULT (lower(hex(randomblob(8)))));
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""

_GAPS: Final = "SELECT coalesce(max(revision) - min(revision) + 1, 0) - count(*) FROM changes"

_STRAY_ENTRIES: Final = """
SELECT (SELECT count(*)
        FROM (SELECT key, max(revision) AS revision, value FROM changes GROUP BY key) AS newest
        LEFT JOIN entries USING (key)
        WHERE (entries.revision, entries.value)
              IS NOT (iif(newest.value IS NULL, NULL, newest.revision), newest.value))
     + (SELECT count(*) FROM entries
        WHERE revision >= (SELECT min(revision) FROM changes)
              AND key IS NOT (SELECT key FROM changes WHERE changes.revision = entries.revision))
"""


def create(path: str, cluster: str) -> None:
    """Create the ledger file of `cluster`, whole or not at all; leave an existing one as it is.

    Only its owner can read it.

    Raises `ConfigError` where that cannot be done.
    """
    real = os.path.realpath(path)
    if os.path.exists(real):
        return
    for name in (f"{real}-wal", f"{real}-shm"):
        if os.path.lexists(name):  # SQLite would play an old log into the new file
            raise ConfigError(
                f"ledger {path}", f"{name}, left over from a ledger that is gone", "move it away"
            )
    draft = f"{real}.{secrets.token_hex(4)}.new"
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            connection.execute("INSERT INTO ledger VALUES (?)", (cluster,))
        with contextlib.suppress(FileExistsError):  # somebody else was faster
            os.link(draft, real)
        directory = os.open(os.path.dirname(real), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"ledger {path}", str(error), "a directory on a local disk that can be written"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)


def contradiction(connection: sqlite3.Connection) -> str | None:
    """Check the whole file within the open transaction; return what is wrong with it, or None.

    Takes about 30 ms for 10,000 changes.
    """
    sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if sound != "ok":
        return str(sound)
    gaps, strays = (connection.execute(query).fetchone()[0] for query in (_GAPS, _STRAY_ENTRIES))
    return f"{gaps} changes are missing, {strays} entries differ from them" if gaps or strays else None
