"""Snapshots of a replica: taken without stopping it, kept in files, checked when they are read.

A small state is encoded in the loop, which takes a millisecond at most. A larger one is encoded by a forked
child: it has the state of this instant for the cost of copying page tables, writes the file at its leisure,
and ends. What the file is called, and that the journal knows it, is decided by the parent alone once the
child has ended well.

Invariants: a file has its final name only when its content is whole and synced; the child touches nothing but
its own new file and a pipe (it has closed every other descriptor), and never returns into the host's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from primacy.errors import DamagedJournal, DiskError, JournalError
from primacy.host.journal import SnapshotEntry
from primacy.host.syncing import Worker
from primacy.machines.history import Run
from primacy.machines.replica import Replica

MAGIC = b"primacy snapshot 1\n"
DIGEST_BYTES = 16
HEADER_BYTES = len(MAGIC) + DIGEST_BYTES
INLINE_BYTES = 128 << 10
"""A state that was larger than this is left to a child the next time."""

Taken = Callable[[SnapshotEntry, bytes], None]
"""Called with a snapshot's entry and the digest of its state."""


class Snapshots:
    """Takes snapshots of one replica, one at a time."""

    def __init__(
        self, directory: Path, replica: Replica, worker: Worker, on_failed: Callable[[JournalError], None]
    ) -> None:
        self._directory = directory
        self._replica = replica
        self._worker = worker
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._fork = True  # until the first one has shown how large the state is
        self.busy = False
        self.stopped_s = 0.0
        """For how long the last snapshot stopped the loop."""
        for leftover in directory.glob("snapshot-*.new"):
            leftover.unlink(missing_ok=True)

    def take(self, runs: list[Run], on_taken: Taken) -> bool:
        """Take a snapshot of this instant; False: one is being taken already."""
        if self.busy:
            return False
        self.busy = True
        began = time.perf_counter()
        sequence, history = self._replica.sequence, list(runs)
        file = f"snapshot-{sequence}"
        new = self._directory / f"{file}-{os.getpid()}-{time.monotonic_ns()}.new"
        entry = SnapshotEntry(sequence, file, history)
        if self._fork:
            self._take_in_child(new, entry, on_taken)
        else:
            body, digest = self._replica.snapshot(), self._replica.digest()
            self._fork = len(body) > INLINE_BYTES
            job = lambda: write_file(new, body)  # noqa: E731 (a job is a function without arguments)
            self._worker.do(job, lambda error: self._finish(new, entry, digest, error, on_taken))
        self.stopped_s = time.perf_counter() - began
        return True

    def _take_in_child(self, new: Path, entry: SnapshotEntry, on_taken: Taken) -> None:
        readable, writable = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            _be_child(self._replica, new, writable)
        os.close(writable)
        ended = os.pidfd_open(child)

        def reap() -> None:
            self._loop.remove_reader(ended)
            os.close(ended)
            _, status = os.waitpid(child, 0)
            with os.fdopen(readable, "rb") as pipe:
                said = pipe.read()
            error: object = None
            if status != 0 or len(said) != DIGEST_BYTES + 1:
                text = said.decode(errors="replace") or f"wait status {status}"
                error = JournalError(f"the snapshot's process ended early: {text}")
            else:
                self._fork = said[DIGEST_BYTES] == 1
            self._finish(new, entry, said[:DIGEST_BYTES], error, on_taken)

        self._loop.add_reader(ended, reap)

    def _finish(self, new: Path, entry: SnapshotEntry, digest: bytes, error: object, on_taken: Taken) -> None:
        self.busy = False
        if isinstance(error, Exception):
            new.unlink(missing_ok=True)
            self._on_failed(JournalError(f"snapshot {entry.file} of {self._replica.service}: {error}"))
            return
        new.rename(self._directory / entry.file)
        on_taken(entry, digest)


def _be_child(replica: Replica, new: Path, pipe: int) -> None:
    """Write the snapshot, report digest and whether it is large, and end: this never returns."""
    status = 1
    try:
        gc.disable()
        os.closerange(0, pipe)
        os.closerange(pipe + 1, 65_536)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.nice(5)
        body, digest = replica.snapshot(), replica.digest()
        write_file(new, body)
        os.write(pipe, digest + bytes([len(body) > INLINE_BYTES]))
        status = 0
    except BaseException as error:  # whatever it is, this process must not go on as a second host
        os.write(pipe, f"{type(error).__name__}: {error}".encode()[:1000])
    finally:
        os._exit(status)


def write_file(path: Path, body: bytes) -> None:
    """Write a snapshot file, synced."""
    write_raw(path, MAGIC + hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest() + body)


def write_raw(path: Path, data: bytes) -> None:
    """Write the whole content of a snapshot file, synced."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path) -> bytes:
    """Return what `write_file` was given; DamagedJournal when it is not whole, DiskError when it cannot be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedJournal(f"snapshot {path}: {error.strerror}") from error
    except OSError as error:
        raise DiskError(f"snapshot {path}: {error.strerror}") from error
    return check(data, str(path))


class Content:
    """The content of a snapshot's file, piece by piece; the first piece holds the whole header."""

    def __init__(self) -> None:
        self._header = b""
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._header:
            self._digest.update(piece)
        else:
            self._header = piece[:HEADER_BYTES]
            self._digest.update(memoryview(piece)[HEADER_BYTES:])

    @property
    def whole(self) -> bool:
        """Whether the pieces so far are a whole snapshot."""
        return self._header == MAGIC + self._digest.digest()


def check(data: bytes, name: str) -> bytes:
    """Return the snapshot in the content of a file; DamagedJournal when it is not whole."""
    content = Content()
    content.add(data)
    if not content.whole:
        raise DamagedJournal(f"snapshot {name} is corrupt or not a snapshot")
    return data[HEADER_BYTES:]
