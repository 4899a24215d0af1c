"""A node's disk: what is written survives the process, what is synced survives the power.

A journal holds batches, whole and in order, and at most one snapshot that stands for all entries up to its
position. Writes go in groups: one commit at a time, what comes meanwhile waits for the next. A commit is
*written* (survives the process) some time before it is *synced* (survives the power). Cutting and replacing
are atomic and durable at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from primacy.machines.history import Batch, Run, cut, extend, last_of
from primacy.machines.ids import MS
from primacy.sim.process import Process

WRITE_NS = (10_000, 150_000)
SYNC_NS = (200_000, 3 * MS)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole state after entry `sequence`; `runs` is the history up to there."""

    sequence: int
    runs: list[Run]
    data: bytes


class Journal:
    """One service's journal on one node. It outlives processes; `Writer` is a process's way to it."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self.snapshot = Snapshot(0, [], b"")
        self.batches: list[Batch] = []  # written
        self.synced_upto = 0

    @property
    def written_upto(self) -> int:
        """The last sequence that survives the process."""
        return self.batches[-1].last if self.batches else self.snapshot.sequence

    @property
    def runs(self) -> list[Run]:
        """The history of what is written."""
        runs = list(self.snapshot.runs)
        for batch in self.batches:
            extend(runs, batch.term, batch.first, batch.last)
        return runs

    @property
    def position(self) -> tuple[int, int]:
        """(term, sequence) of the last entry that is written."""
        return last_of(self.runs)

    def cut(self, to: int) -> None:
        """Delete everything after `to`, durably."""
        assert to >= self.snapshot.sequence, "a snapshot cannot be cut"
        self.batches = [batch for batch in self.batches if batch.last <= to]
        assert self.written_upto == to, "a batch is never split"
        self.synced_upto = min(self.synced_upto, to)

    def replace(self, snapshot: Snapshot) -> None:
        """Put a snapshot in the place of everything, durably."""
        self.snapshot, self.batches, self.synced_upto = snapshot, [], snapshot.sequence

    def prune(self, snapshot: Snapshot) -> None:
        """Let a snapshot of this log's own stand for the entries up to its position."""
        self.snapshot = snapshot
        self.batches = [batch for batch in self.batches if batch.last > snapshot.sequence]
        self.synced_upto = max(self.synced_upto, snapshot.sequence)

    def power_lost(self) -> None:
        """Lose what was not synced: all of it, or all after some batch (a disk writes when it likes)."""
        unsynced = [batch for batch in self.batches if batch.last > self.synced_upto]
        if unsynced:
            keep = self._random.randrange(len(unsynced) + 1)
            self.batches = self.batches[: len(self.batches) - len(unsynced) + keep]
            self.synced_upto = self.written_upto


class Writer:
    """A host process's writes: `progress` is called in the process when something was written or synced."""

    def __init__(
        self, journal: Journal, process: Process, source: random.Random, progress: Callable[[], None]
    ) -> None:
        self.journal = journal
        self.slow = 1
        self._process, self._random, self._progress = process, source, progress
        self._queue: list[Batch] = []
        self._commit: list[Batch] = []
        self._number = 0  # of the commit that is under way; flushing makes its events stale
        self.flush()  # what the process before has written is synced when the journal is opened

    @property
    def batches(self) -> list[Batch]:
        """The whole log after the snapshot: written, on the way, and waiting."""
        written = self.journal.written_upto
        return [*self.journal.batches, *(b for b in self._commit if b.last > written), *self._queue]

    @property
    def runs(self) -> list[Run]:
        """The history of that whole log."""
        runs = self.journal.runs
        for batch in self.batches[len(self.journal.batches) :]:
            extend(runs, batch.term, batch.first, batch.last)
        return runs

    def submit(self, batch: Batch) -> None:
        """Write the batch after all before it."""
        self._queue.append(batch)
        if not self._commit:
            self._begin()

    def flush(self) -> None:
        """Finish all writes now, durably."""
        self.journal.batches = self.batches
        self._queue, self._commit = [], []
        self._number += 1
        self.journal.synced_upto = self.journal.written_upto

    def prune(self, sequence: int, data: bytes) -> None:
        """Finish all writes, then let a snapshot stand for the entries up to `sequence`."""
        self.flush()
        self.journal.prune(Snapshot(sequence, cut(self.journal.runs, sequence), data))

    def _begin(self) -> None:
        self._commit, self._queue = self._queue, []
        self._number += 1
        after_ns = int(self._random.uniform(*WRITE_NS)) * self.slow
        self._process.scheduler.after(after_ns, self._written, self._number)

    def _written(self, number: int) -> None:
        if not self._process.alive or number != self._number:
            return
        self.journal.batches.extend(self._commit)
        after_ns = int(self._random.uniform(*SYNC_NS)) * self.slow
        self._process.scheduler.after(after_ns, self._synced, number, self._commit[-1].last)
        self._process.deliver(self._progress)

    def _synced(self, number: int, upto: int) -> None:
        if not self._process.alive or number != self._number:
            return
        self.journal.synced_upto = upto
        self._commit = []
        if self._queue:
            self._begin()
        self._process.deliver(self._progress)
