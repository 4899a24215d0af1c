"""A node's disk: what is written survives the process, what is synced survives the power.

A journal holds batches, whole and in order, and at most one snapshot that stands for all entries up to its
position. Writes go in groups: one commit at a time, what comes meanwhile waits for the next. A commit is
*written* (survives the process) some time before it is *synced* (survives the power). Cutting and replacing
are atomic and durable at once.

A disk may be *full*: what would be written raises DiskError, which ends the process; nothing that is there is
damaged. The first batch that was not synced may be *torn* by a loss of power: the next opening cuts it off by its
checksum, with all behind it. A journal may be *damaged* at rest, or *deleted*: the next opening sets it aside and
begins a new one, which is *incomplete* until a primary has filled it; a damaged snapshot is noticed when the state is
loaded.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from primacy.errors import DamagedJournal, DiskError
from primacy.machines.history import Batch, Run, cut, extend, last_of
from primacy.machines.ids import MS
from primacy.sim.process import Process

WRITE_NS = (10_000, 150_000)
SYNC_NS = (200_000, 3 * MS)
OPENS_FULL = 0.5
"""A full disk has room for the opening of a journal that often: its log has the size that it will ever have."""
DAMAGES = ("journal", "snapshot", "deleted")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole state after entry `sequence`; `runs` is the history up to there."""

    sequence: int
    runs: list[Run]
    data: bytes


class Disk:
    """What the journals of one node share. slow: how many times slower than usual; full: faults that fill it."""

    def __init__(self) -> None:
        self.slow = 1
        self.full = 0

    def demand_room(self) -> None:
        """DiskError when nothing can be written."""
        if self.full:
            raise DiskError("the journal cannot be written: no space is left; free space on this disk")


class Journal:
    """One service's journal on one node. It outlives processes; `Writer` is a process's way to it."""

    def __init__(self, source: random.Random, disk: Disk | None = None) -> None:
        self._random = source
        self.disk = disk or Disk()
        self.snapshot = Snapshot(0, [], b"")
        self.batches: list[Batch] = []  # written
        self.synced_upto = 0
        self.incomplete = False  # it may lack what was acknowledged: only a primary's snapshot makes it whole
        self.damaged: set[str] = set()  # what of it is damaged at rest
        self._made = False  # by a first opening: what never was cannot be damaged
        self._before: tuple[Snapshot, list[Batch]] | None = None  # the snapshot before, and the log behind it
        self._checksum: tuple[int, int] | None = None  # (first, checksum) of a batch that may be torn

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
        """(term, sequence) of the last entry that is written; nothing counts of an incomplete journal."""
        return (0, 0) if self.incomplete else last_of(self.runs)

    def cut(self, to: int) -> None:
        """Delete everything after `to`, durably."""
        assert to >= self.snapshot.sequence, "a snapshot cannot be cut"
        self.disk.demand_room()
        self.batches = [batch for batch in self.batches if batch.last <= to]
        assert self.written_upto == to, "a batch is never split"
        self.synced_upto = min(self.synced_upto, to)

    def replace(self, snapshot: Snapshot) -> None:
        """Put a snapshot in the place of everything, durably."""
        self.disk.demand_room()
        self.snapshot, self.batches, self.synced_upto = snapshot, [], snapshot.sequence
        self.incomplete, self._before = False, None
        self.damaged.discard("snapshot")

    def prune(self, snapshot: Snapshot) -> None:
        """Let a snapshot of this log's own stand for the entries up to its position."""
        self.disk.demand_room()
        if "snapshot" not in self.damaged:
            self._before = self.snapshot, [batch for batch in self.batches if batch.last <= snapshot.sequence]
        self.snapshot = snapshot
        self.batches = [batch for batch in self.batches if batch.last > snapshot.sequence]
        self.synced_upto = max(self.synced_upto, snapshot.sequence)
        self.damaged.discard("snapshot")

    def power_lost(self, *, torn: bool = False) -> None:
        """Lose what was not synced: all of it, or all after some batch (a disk writes when it likes).

        torn: the first batch that is lost is half there, and all behind it whole.
        """
        unsynced = [batch for batch in self.batches if batch.last > self.synced_upto]
        if not unsynced:
            return
        keep = self._random.randrange(len(unsynced) + 1)
        if torn and keep < len(unsynced):
            number = len(self.batches) - len(unsynced) + keep
            whole = self.batches[number]
            half = whole.payload[: len(whole.payload) // 2]
            self.batches[number] = Batch(whole.term, whole.first, whole.last, half)
            self._checksum = (whole.first, zlib.crc32(whole.payload))
        else:
            self.batches = self.batches[: len(self.batches) - len(unsynced) + keep]
        self.synced_upto = self.written_upto

    # ---- openings ----

    def open(self) -> str:
        """What the opening of a journal does to it; return what an operator is told of it, or nothing.

        DiskError when the disk is full; then nothing is changed.
        """
        if self.disk.full and self._random.random() < OPENS_FULL:
            self.disk.demand_room()
        self._made = True
        self._cut_torn()
        self.synced_upto = self.written_upto  # what the process before has written is synced
        if "deleted" in self.damaged:
            return self._begin_anew("journal missing")
        return self._begin_anew("journal set aside") if "journal" in self.damaged else ""

    def _cut_torn(self) -> None:
        """Cut off what was half written, with all behind it."""
        if self._checksum is None:
            return
        first, checksum = self._checksum
        self._checksum = None
        for number, batch in enumerate(self.batches):
            if batch.first == first and zlib.crc32(batch.payload) != checksum:
                self.batches = self.batches[:number]
                break

    def state(self) -> bytes:
        """Return the state that the log begins with.

        A snapshot that is not whole is made good from the log behind the one before, if there is one; else the journal
        is set aside: DamagedJournal.
        """
        if "snapshot" in self.damaged and self.snapshot.data:
            if self._before is None:
                self._begin_anew("journal set aside")
                raise DamagedJournal("the snapshot is corrupt; the journal is set aside")
            self.snapshot, older = self._before
            self.batches, self._before = [*older, *self.batches], None
        self.damaged.discard("snapshot")
        return self.snapshot.data

    def damage(self, what: str) -> None:
        """Something happens to it at rest (`DAMAGES`); what is there now is noticed later."""
        if self._made and (what != "snapshot" or self.snapshot.data):
            self.damaged.add(what)

    def _begin_anew(self, why: str) -> str:
        self.snapshot, self.batches, self.synced_upto = Snapshot(0, [], b""), [], 0
        self.incomplete, self._before = True, None
        self.damaged.clear()
        return why


class Writer:
    """A host process's writes: `progress` is called in the process when something was written or synced.

    After an error of the disk the process ends: DiskError is raised in it, at once or some time after.
    """

    def __init__(
        self, journal: Journal, process: Process, source: random.Random, progress: Callable[[], None]
    ) -> None:
        self.journal = journal
        self._process, self._random, self._progress = process, source, progress
        self._queue: list[Batch] = []
        self._commit: list[Batch] = []
        self._number = 0  # of the commit that is under way; flushing makes its events stale

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
        self.journal.disk.demand_room()
        self._queue.append(batch)
        if not self._commit:
            self._begin()

    def flush(self) -> None:
        """Finish all writes now, durably."""
        if self._commit or self._queue:
            self.journal.disk.demand_room()
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
        after_ns = int(self._random.uniform(*WRITE_NS)) * self.journal.disk.slow
        self._process.scheduler.after(after_ns, self._written, self._number)

    def _written(self, number: int) -> None:
        if not self._process.alive or number != self._number:
            return
        self.journal.batches.extend(self._commit)
        after_ns = int(self._random.uniform(*SYNC_NS)) * self.journal.disk.slow
        self._process.scheduler.after(after_ns, self._synced, number, self._commit[-1].last)
        self._process.deliver(self._progress)

    def _not_synced(self) -> None:
        """What was written found no room after all."""
        raise DiskError("the journal cannot be synced: no space is left; free space on this disk")

    def _synced(self, number: int, upto: int) -> None:
        if not self._process.alive or number != self._number:
            return
        if self.journal.disk.full:  # room that was promised only is not there
            self._process.deliver(self._not_synced)
            return
        self.journal.synced_upto = upto
        self._commit = []
        if self._queue:
            self._begin()
        self._process.deliver(self._progress)
