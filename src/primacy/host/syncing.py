"""Making a journal durable: who waits for the disk, the loop or a thread.

While the disk answers within a millisecond the loop waits for it itself: a hand-over to a thread and back
costs as much as the sync, twice, and everything that arrives meanwhile makes the next batch anyway (group
commit). A slower disk is waited for by the worker thread, and the loop goes on. Which of the two is decided
by measuring each sync.

The WAL is carried over into the database by the worker too. That never stops the writing; but a log that is
written without a pause never lets the WAL begin anew, so when it has grown long the journal keeps its batches
back for the few milliseconds in which the worker reaches its end.

Invariants: `on_synced(upto)` is called in the loop's thread with ascending numbers, only for what was written
before its sync began. After a failure nothing more is synced: `on_failed` ends the process.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable

from primacy.errors import JournalError
from primacy.host.journal import Journal

SLOW_S = 0.001
FAST_S = 0.0005
CHECKPOINT_BYTES = 16 << 20
WAL_BYTES_MAX = 64 << 20


class Worker:
    """One thread that runs one job after another and tells the loop of each."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Callable[[], object], Callable[[object], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], object], done: Callable[[object], None]) -> None:
        """Run `job` in the thread, then `done` in the loop with its result or the error that it raised."""
        self._jobs.put((job, done))

    def stop(self) -> None:
        """End the thread after the jobs that were given to it."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            result: object
            try:
                result = job()
            except (JournalError, OSError, sqlite3.Error) as error:
                result = error
            try:
                self._loop.call_soon_threadsafe(done, result)
            except RuntimeError:  # the loop has ended, and with it whoever waited
                return


class Syncer:
    """Syncs one journal."""

    def __init__(
        self,
        journal: Journal,
        worker: Worker,
        on_synced: Callable[[int], None],
        on_failed: Callable[[JournalError], None],
        *,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        wal_bytes_max: int = WAL_BYTES_MAX,
    ) -> None:
        self._checkpoint_bytes, self._wal_bytes_max = checkpoint_bytes, wal_bytes_max
        self._journal = journal
        self._worker = worker
        self._on_synced = on_synced
        self._on_failed = on_failed
        self.synced_upto = journal.last
        self._average_s = 0.0
        self._in_thread = False
        self._syncing = False
        self._again = False
        self._written_bytes = 0  # since the last checkpoint began
        self._wal_bytes = 0  # since the WAL last began anew
        self._checkpointing = False
        self._failed = False

    def request(self) -> None:
        """Have all that was written synced; `on_synced` follows, perhaps before this returns."""
        journal = self._journal
        if self._syncing or journal.paused:
            self._again = True
            return
        upto = journal.last
        if upto <= self.synced_upto or self._failed:
            return
        if self._in_thread:
            self._in_worker(upto)
            return
        try:
            self._measure(self._timed_sync())
        except JournalError as error:
            self._fail(error)
            return
        self.synced_upto = upto
        self._on_synced(upto)

    def later(self) -> None:
        """Have all that was written synced by the thread; nobody waits for it."""
        if not self._syncing and not self._journal.paused and self._journal.last > self.synced_upto:
            self._in_worker(self._journal.last)

    def now(self) -> None:
        """Sync and wait for it, whatever it takes."""
        if self._journal.paused:
            self._journal.resume()
        upto = self._journal.last
        self._journal.sync()
        if upto > self.synced_upto:
            self.synced_upto = upto
            self._on_synced(upto)

    def restart(self) -> None:
        """The journal was cut or replaced, and synced: what was said before is void."""
        self.synced_upto = self._journal.last

    def wrote(self, size: int) -> None:
        """So many bytes were written: carry the WAL over when there are enough of them."""
        self._written_bytes += size
        self._wal_bytes += size
        if self._written_bytes >= self._checkpoint_bytes and not self._checkpointing and not self._failed:
            self._checkpointing = True
            self._written_bytes = 0
            self._worker.do(self._checkpoint, self._checkpointed)

    def _in_worker(self, upto: int) -> None:
        self._syncing = True
        self._worker.do(self._timed_sync, lambda result: self._synced(upto, result))

    def _timed_sync(self) -> float:
        began = time.perf_counter()
        self._journal.sync()
        return time.perf_counter() - began

    def _measure(self, seconds: float) -> None:
        self._average_s += (min(seconds, 0.02) - self._average_s) / 16
        self._in_thread = self._average_s > (FAST_S if self._in_thread else SLOW_S)

    def _synced(self, upto: int, result: object) -> None:
        self._syncing = False
        if isinstance(result, JournalError):
            self._fail(result)
            return
        assert isinstance(result, float), result
        self._measure(result)
        if upto > self.synced_upto and upto <= self._journal.last:
            self.synced_upto = upto
            self._on_synced(upto)
        if self._again:
            self._again = False
            self.request()

    def _checkpoint(self) -> None:
        """Carry the WAL over, on a connection of this thread."""
        database = sqlite3.connect(self._journal.path, isolation_level=None, timeout=5.0)
        try:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            database.close()

    def _checkpointed(self, result: object) -> None:
        self._checkpointing = False
        journal, paused = self._journal, self._journal.paused
        if isinstance(result, sqlite3.Error | OSError):
            self._fail(JournalError(f"journal {journal.path}: checkpoint: {result}"))
            return
        if self._written_bytes == 0 or paused:
            self._wal_bytes = self._written_bytes  # its end was reached: the next write begins it anew
        elif self._wal_bytes >= self._wal_bytes_max:
            self._checkpointing = True
            journal.pause()
            self._worker.do(self._checkpoint, self._checkpointed)
            return
        try:
            if paused:
                journal.resume()
        except JournalError as error:
            self._fail(error)
            return
        if self._again:
            self._again = False
            self.request()

    def _fail(self, error: JournalError) -> None:
        if not self._failed:
            self._failed = True
            self._on_failed(error)
