"""A host as secondary of one appointment: it journals, applies and acknowledges what its primary ships.

Acknowledgements are the only thing here that others rely on. One leaves when the machine says so (journaled
as the service's durability asks, and applied), and only if the lease page, read right before the sending,
still names this
term: the agent seals by writing the page, and never waits for a host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.errors import JournalError
from primacy.host.journal import SnapshotEntry
from primacy.host.snapshots import check, write_raw
from primacy.lease_page import LeasePage
from primacy.machines import mirror_wire
from primacy.machines.history import Batch, Run
from primacy.machines.host_wire import Assign, Peer
from primacy.machines.mirror import DISK, Secondary
from primacy.machines.mirror_effects import (
    Acknowledge,
    Apply,
    Cut,
    Fail,
    Join,
    Journal,
    Load,
    Restore,
    SecondaryEffect,
)  # fmt: skip
from primacy.machines.mirror_wire import (
    Acknowledged,
    Append,
    Follow,
    JoinMirror,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotTaken,
    ToSecondary,
)  # fmt: skip

if TYPE_CHECKING:
    from primacy.host.core import Core
    from primacy.host.streams import MirrorStream

DIGESTS_KEPT = 8
AGAIN_TICKS = 10


class SecondaryServer:
    """The secondary of one appointment on this node."""

    def __init__(self, core: Core, assign: Assign, page: LeasePage) -> None:
        """Begin; `connected` follows when there is a stream to the primary."""
        assert assign.peer is not None
        self._core = core
        self.term = assign.term
        self.peer: Peer = assign.peer
        self.machine = Secondary(
            assign.term,
            assign.appointment,
            core.journal.runs,
            kept=1 if core.journal.incomplete else core.journal.floor,
            loaded=core.loaded,
            journaled=core.syncer.synced_upto if core.open.durability == DISK else None,
        )
        self._disk = core.open.durability == DISK
        self._page = page
        self.stream: MirrorStream | None = None
        self._closed = False
        self._busy = False
        """The state is being loaded: what arrives meanwhile waits."""
        self._waiting: list[ToSecondary] = []
        self._incoming: tuple[SnapshotBegin, bytearray] | None = None
        self._digests: dict[int, bytes] = {}
        self._their_digests: dict[int, bytes] = {}
        self._written = False
        self._ticks = 0
        self._withheld = False
        """The last acknowledgement was not allowed to leave."""
        self._obeying = {
            Join: self._join,
            Cut: self._cut,
            Restore: self._restore,
            Journal: self._journal,
            Apply: self._apply,
            Acknowledge: self._acknowledge,
            Fail: self._fail,
        }

    def connected(self, stream: MirrorStream) -> None:
        """There is a stream to the primary: show it the log. What the one before has brought counts no more."""
        self.stream = stream
        self._incoming = None
        self._waiting.clear()
        self._obey(self.machine.join())

    def close(self) -> None:
        """This appointment has ended here."""
        self.stream = None
        self._closed = True

    # ---- what the primary sends ----

    def heard(self, stream: MirrorStream, messages: list[ToSecondary]) -> None:
        """Take the messages of one arrival."""
        if stream is not self.stream:
            return
        for number, message in enumerate(messages):
            if self._busy:  # this message made it so
                self._waiting += messages[number:]
                return
            self._take(message)
        self._written_all()

    def _take(self, message: ToSecondary) -> None:
        if isinstance(message, Append):
            batch = Batch(message.batch_term, message.first, message.last, message.payload)
            self._obey(self.machine.append(message.term, message.appointment, batch))
        elif isinstance(message, Follow):
            self._obey(self.machine.follow(message.term, message.appointment, message.after))
        elif isinstance(message, SnapshotBegin):
            self._incoming = (message, bytearray())
        elif isinstance(message, SnapshotChunk):
            self._piece(message)
        else:
            self._compare(self._their_digests, message.sequence, message.digest)

    def synced(self, upto: int) -> None:
        """The journal is on disk up to here."""
        self._obey(self.machine.journaled(upto))

    def tick(self) -> None:
        """A few times a second: what was acknowledged from memory goes to the disk; now and then it is said again."""
        self._core.syncer.later()
        self._ticks += 1
        if (self._withheld or self._ticks % AGAIN_TICKS == 0) and not self._busy:
            self._obey(self.machine.again())

    def _written_all(self) -> None:
        """All batches of an arrival are written: sync them, or acknowledge them as they are."""
        if not self._written:
            return
        self._written = False
        core = self._core
        if self._disk or core.journal.paused:
            core.syncer.request()
        else:
            self._obey(self.machine.journaled(core.journal.last))

    # ---- effects ----

    def _obey(self, effects: list[SecondaryEffect]) -> None:
        for number, effect in enumerate(effects):
            if isinstance(effect, Load):
                self._busy = True
                self._core.spawn(self._load(effect, effects[number + 1 :]))
                return
            self._obeying[type(effect)](effect)  # type: ignore[operator]

    def _join(self, effect: Join) -> None:
        core = self._core
        message = JoinMirror(effect.term, effect.appointment, core.member, effect.runs, effect.kept)
        self._send(mirror_wire.encode(message))

    def _cut(self, effect: Cut) -> None:
        core = self._core
        core.syncer.now()
        gone = core.journal.last - effect.to
        core.journal.cut(effect.to)
        core.syncer.restart()
        core.note("log cut", f"{gone} entries behind {effect.to} were acknowledged to nobody; they are gone")

    async def _load(self, effect: Load, then: list[SecondaryEffect]) -> None:
        """Bring the state to the end of the log, then go on with what waited."""
        await self._core.load()
        if self._closed:
            return
        assert self._core.replica.sequence == effect.upto, (self._core.replica.sequence, effect.upto)
        self._busy = False
        self._obey(then)
        waiting, self._waiting = self._waiting, []
        if self.stream:
            self.heard(self.stream, waiting)

    def _journal(self, effect: Journal) -> None:
        core = self._core
        core.journal.write(effect.batch)
        core.syncer.wrote(len(effect.batch.payload))
        self._written = True

    def _apply(self, effect: Apply) -> None:
        batch, core = effect.batch, self._core
        if core.replica.apply(batch.term, batch.first, batch.last, batch.payload):
            core.snapshots.take(core.journal.runs, self._taken)

    def _acknowledge(self, effect: Acknowledge) -> None:
        message = mirror_wire.encode(Acknowledged(effect.term, effect.appointment, effect.upto))
        self._withheld = self._page.ack_term != effect.term
        if not self._withheld:
            self._send(message)

    def _fail(self, effect: Fail) -> None:
        self._core.fail("diverged", effect.reason)

    def _send(self, frame: bytes) -> None:
        if self.stream:
            self.stream.send(frame)
            self.stream.flush()

    # ---- snapshots ----

    def _piece(self, message: SnapshotChunk) -> None:
        if self._incoming is None:
            return
        begin, data = self._incoming
        if (message.term, message.appointment) != (begin.term, begin.appointment):
            return
        data += message.data
        self._send(mirror_wire.encode(SnapshotTaken(begin.term, begin.appointment, len(data))))
        if len(data) >= begin.size:
            self._incoming = None
            self._received = bytes(data)
            self._obey(self.machine.restore(begin.term, begin.appointment, begin.sequence, begin.runs))

    def _restore(self, effect: Restore) -> None:
        core, data = self._core, self._received
        runs: list[Run] = effect.runs
        entry = SnapshotEntry(effect.sequence, f"snapshot-{effect.sequence}-received", runs)
        body = check(data, entry.file)
        self._received = b""
        core.replica.restore(body)
        if core.replica.sequence != effect.sequence:
            raise JournalError(f"{entry.file} is the state after entry {core.replica.sequence}")
        core.syncer.now()
        write_raw(core.journal.directory / entry.file, data)
        core.journal.replace(entry)
        core.syncer.restart()
        core.loaded = True
        core.note("snapshot received", f"{len(data)} bytes, the state after entry {effect.sequence}")

    def _taken(self, entry: SnapshotEntry, digest: bytes) -> None:
        self._core.keep_snapshot(entry)
        self.machine.pruned(self._core.journal.floor)
        self._compare(self._digests, entry.sequence, digest)

    def _compare(self, mine: dict[int, bytes], sequence: int, digest: bytes) -> None:
        """Note one side's digest; when both are here, compare them."""
        mine[sequence] = digest
        while len(mine) > DIGESTS_KEPT:
            del mine[next(iter(mine))]
        ours, theirs = self._digests.get(sequence), self._their_digests.get(sequence)
        if ours is not None and theirs is not None and ours != theirs:
            name = type(self._core.service).__name__
            text = (
                f"after entry {sequence} the state of {name} here differs from the primary's, though both "
                "applied the same entries: an operation is not deterministic (it reads a clock, a random source, "
                "the environment, or iterates over a set); take such values from ctx. This server starts anew "
                "from the primary's snapshot"
            )
            self._core.journal.forget_all()
            self._core.note("diverged", text)
            self._core.fail("diverged", text)
