"""What primary and secondary of one host share: the state and where it is kept, and the words to the agent.

A journal that is damaged for good, or was deleted, is replaced by one that can only join a primary; a disk that does
not answer now (it is full, for example) has damaged nothing: the process ends, and a later one finds what is there.
Never in here: a role, or a decision about one.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from primacy.errors import ConfigError, DamagedJournal
from primacy.host.directory import had_journal, remember_journal, set_aside
from primacy.host.journal import Journal, SnapshotEntry, missing
from primacy.host.snapshots import Snapshots, read_file
from primacy.host.syncing import Syncer, Worker
from primacy.machines import host_wire
from primacy.machines.host_wire import REFUSED, Open
from primacy.machines.ids import Member
from primacy.machines.replica import Replica
from primacy.service import Service, ServiceModel

LOAD_ENTRIES = 2_000
"""After so many entries a long replay lets the loop answer the agent."""

Tell = Any


class Policy(msgspec.Struct, frozen=True):
    """When a checkpoint is due: after so many entries, or bytes of log."""

    snapshot_entries: int = 100_000
    snapshot_bytes: int = 64 << 20


class Core:
    """What primary and secondary share: the state and where it is kept, and the words to the agent."""

    def __init__(
        self, open: Open, service: Service[Any], tell: Tell, fail: Any, spawn: Any, policy: Policy
    ) -> None:
        self.open = open
        self.spawn = spawn
        self.service = service
        self.tell = tell
        self.fail = fail
        self.policy = policy
        self.member = Member(open.node, open.incarnation)
        self.members: list[str] = []
        self.model = ServiceModel(service)
        self.replica = Replica(open.service, self.model)
        self._one_loads = asyncio.Lock()
        self.loaded = False
        """The state is applied up to the journal's end."""
        self.journal: Journal
        self.syncer: Syncer
        self.snapshots: Snapshots
        self.worker: Worker

    def note(self, kind: str, text: str) -> None:
        """Tell the agent something that an operator may care about."""
        self.tell(host_wire.Note(kind, text[:8_000]))

    def open_journal(self, on_synced: Any, on_failed: Any) -> None:
        """Open the journal; in the place of one that is damaged, or was deleted, a new one can only join.

        One that cannot be opened now (the disk is full) is not damaged: the process ends, and a later one tries again.
        One that is newer than this code, or another process's, is left as it is: the node must not start with it.
        """
        directory, service = Path(self.open.directory), self.open.service
        lost = had_journal(directory) and missing(directory)
        if lost:
            self.note("journal missing", f"{directory} has lost its journal; this server joins from its peer")
        try:
            self.journal = Journal.open(directory, service, incomplete=lost)
        except ConfigError as error:
            self.fail(REFUSED, str(error))
        except DamagedJournal as error:
            if not (directory / "journal.db").exists():
                raise
            place = set_aside(directory)
            self.journal = Journal.open(directory, service, incomplete=True)
            self.note("journal set aside", f"{error}; it is kept in {place}; this server joins from its peer")
        remember_journal(directory)
        loop = asyncio.get_running_loop()
        self.worker = Worker(loop, f"disk of {self.open.service}")
        self.syncer = Syncer(self.journal, self.worker, on_synced, on_failed)
        self.snapshots = Snapshots(directory, self.replica, self.worker, on_failed)

    async def load(self) -> None:
        """Apply the newest snapshot and the log behind it; two that ask at a time wait for one loading."""
        async with self._one_loads:
            if not self.loaded:
                try:
                    await self._load()
                except DamagedJournal as error:
                    self.journal.close()
                    place = set_aside(self.journal.directory)
                    text = f"{error}; it is kept in {place}; the next server here joins from its peer"
                    self.note("journal set aside", text)
                    raise

    async def _load(self) -> None:
        replica, journal = self.replica, self.journal
        body = self._newest_snapshot()
        if body is not None:
            replica.restore(body)
        applied = 0
        while replica.sequence < journal.last:
            for batch in journal.read(replica.sequence):
                replica.apply(batch.term, batch.first, batch.last, batch.payload)
                applied += batch.last - batch.first + 1
                if applied >= LOAD_ENTRIES:
                    applied = 0
                    await asyncio.sleep(0)
        self.loaded = True

    def _newest_snapshot(self) -> bytes | None:
        """Return the newest snapshot that is whole; None: the whole log is there.

        The log begins behind the last snapshot but one, so the last one may be damaged, and nothing is lost.
        """
        journal = self.journal
        damaged: list[tuple[SnapshotEntry, DamagedJournal]] = []
        body: bytes | None = None
        for entry in reversed(journal.snapshots):
            try:
                body = read_file(journal.directory / entry.file)
                break
            except DamagedJournal as problem:
                damaged.append((entry, problem))
        if body is None and journal.kept:
            raise damaged[-1][1]
        for entry, error in damaged:
            journal.drop_snapshot(entry)
            self.note("snapshot damaged", f"{error}; the state is made from the log behind the one before")
        return body

    def keep_snapshot(self, entry: SnapshotEntry) -> None:
        """A snapshot is on disk: the journal relies on it from now on, and drops what it no longer needs."""
        if not self.journal.holds(entry):
            (self.journal.directory / entry.file).unlink(missing_ok=True)
            return
        self.journal.add_snapshot(entry)
        self._prune()

    def _prune(self) -> None:
        if not self.journal.closed and self.journal.prune():
            asyncio.get_running_loop().call_later(0.005, self._prune)
