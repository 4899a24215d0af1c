"""A service's directory on one node: one process at a time, and what cannot be used is kept aside.

A file beside the directory remembers that it had a journal. So a journal that somebody deleted, alone or with its
directory, is not taken for one that never was: what it held may be the only copy of acknowledged operations.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from primacy.errors import ConfigError

LOCK_S = 5.0
"""So long a predecessor that is just ending is waited for."""


def set_aside(directory: Path) -> Path:
    """Rename the journal in `directory`, with all that belongs to it, and return its new place."""
    number = 1
    while (place := directory / f"aside-{number}").exists():
        number += 1
    place.mkdir()
    for path in sorted(directory.glob("journal.db*")) + sorted(directory.glob("snapshot-*")):
        path.rename(place / path.name)
    sync_directory(directory)
    return place


def had_journal(directory: Path) -> bool:
    """Was there ever a journal in this directory?"""
    return _mark(directory).exists()


def remember_journal(directory: Path) -> None:
    """Note durably that there is a journal in this directory."""
    if not had_journal(directory):
        _mark(directory).touch()
        sync_directory(directory.parent)


def _mark(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.had-journal")


def lock(path: Path, service: str) -> int:
    """Return a descriptor that holds the lock; waits a little for a predecessor that is just ending."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                got = f"another process that serves {service} from this directory"
                raise ConfigError(str(path), got, "wanted: a directory for each node alone") from None
            time.sleep(0.01)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
