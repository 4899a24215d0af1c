"""A host as primary of one term: it obeys the mirror's machine, and answers the agent.

The machine (`primacy.machines.mirror.Primary`) decides what is journaled, shipped and released; `Calls` makes
the batches and holds the replies; `CatchUp` brings a joiner to where it can follow. This class carries out
the effects in the order in which they come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.host.calls import NOT_SERVING, QUIESCED, Calls
from primacy.host.catch_up import CatchUp, encode_append
from primacy.host.health import HealthCheck
from primacy.host.timers import Context, OwnCall, Timers
from primacy.lease_page import LeasePage, now_ns
from primacy.machines import host_wire, mirror_wire
from primacy.machines.call_wire import Call
from primacy.machines.entries import Checkpoint
from primacy.machines.history import Batch, last_of
from primacy.machines.host_wire import Assign, Peer
from primacy.machines.mirror import DISK, Primary
from primacy.machines.mirror_effects import (
    Joined,
    Journal,
    PrimaryEffect,
    Quiesced,
    Release,
    SendLog,
    SendSnapshot,
    Ship,
    Stalled,
)  # fmt: skip
from primacy.machines.mirror_wire import Acknowledged, Digest, JoinMirror, SnapshotTaken
from primacy.service import HealthContext

if TYPE_CHECKING:
    from primacy.host.core import Core
    from primacy.host.journal import SnapshotEntry
    from primacy.host.streams import MirrorStream

TICKS_PER_TOUCH = 5


class PrimaryServer:
    """The primary of one term on this node."""

    def __init__(self, core: Core, assign: Assign, page: LeasePage) -> None:
        """Begin with the state as it is applied now; calls are taken from `serve` on."""
        self._core = core
        self.term = assign.term
        self.peer: Peer | None = assign.peer
        self.machine = Primary(
            assign.term,
            core.journal.runs,
            durability=core.open.durability,
            synced=core.syncer.synced_upto,
            kept=core.journal.kept,
            appointment=assign.appointment if assign.peer else 0,
            mirror_timeout_ns=int(core.open.mirror_timeout_s * 1e9),
        )
        self.calls = Calls(
            assign.term, core.replica, core.model, page, self._append, self._confirm, self._tell_quiesced
        )
        self._follower: MirrorStream | None = None
        self._catch_up: CatchUp | None = None
        self._timers: Timers | None = None
        self._health: list[HealthCheck] = []
        self._quiesced: Quiesced | None = None
        self._last_snapshot = core.replica.sequence
        self._snapshot_bytes = 0
        self._ticks = 0
        self._obeying = {
            Journal: self._journal,
            Ship: self._ship,
            SendLog: self._send_log,
            SendSnapshot: self._send_snapshot,
            Release: self._release,
            Joined: self._joined,
            Quiesced: self._on_quiesced,
            Stalled: self._stalled,
        }

    def begin(self) -> None:
        """Release what needs nobody, and have the rest synced."""
        self.calls.release(self.machine.committed)
        self._sync_if_needed()

    # ---- what the agent says ----

    @property
    def serving(self) -> bool:
        """Calls are answered here (the lease page allowing)."""
        return not self.calls.closed_for & NOT_SERVING

    def serve(self) -> None:
        """The last level is complete."""
        if self.serving:
            return
        core = self._core
        context = Context(self.term, core.open.service, core.members, self._submit, self.calls.silent)
        self._timers = Timers(core.service, core.model.description.timers, context, core.note)
        told = HealthContext(self.term, core.open.service, core.open.node)
        self._health = [
            HealthCheck(getattr(core.service, each.name), each, told, core.tell)
            for each in core.model.description.health
        ]
        self.calls.reopen(NOT_SERVING)

    def appoint(self, appointment: int, peer: Peer) -> None:
        """A vice will join."""
        if appointment > self.machine.appointment:
            self._drop_follower()
            self.peer = peer
            self._obey(self.machine.appoint(appointment))
            self._sync_if_needed()

    def ready(self, appointment: int) -> None:
        """The vice is ready (settled)."""
        self._obey(self.machine.ready(appointment))

    def alone(self) -> None:
        """No vice is named (settled)."""
        self._drop_follower()
        self.peer = None
        self._obey(self.machine.alone())
        self._sync_if_needed()

    def quiesce(self, handing_over: bool = False) -> None:
        """Hold new calls, finish all others, then say so."""
        self.calls.hold(QUIESCED)
        self._obey(self.machine.quiesce(handing_over))

    def resume(self) -> None:
        """The hand-over was undone."""
        self._quiesced = None
        self._obey(self.machine.resume())
        self.calls.reopen(QUIESCED)

    def set_members(self, nodes: list[str]) -> None:
        """The members are others now."""
        if self._timers:
            self._timers.set_nodes(nodes)

    def close(self) -> None:
        """The term has ended here."""
        self._drop_follower()
        self.calls.flush()
        self.calls.close()
        if self._timers:
            self._timers.close()
        for check in self._health:
            check.close()

    # ---- what the other side of the mirror says ----

    def join(self, stream: MirrorStream, message: JoinMirror) -> None:
        """A joiner shows its log; only the one that the assignment names is taken."""
        if self.peer is None or message.member != self.peer.member or stream.node != self.peer.member.node:
            return
        if (message.term, message.appointment) != (self.term, self.machine.appointment):
            return
        self.calls.flush()
        self._drop_follower()
        self._follower = stream
        core = self._core
        self._catch_up = CatchUp(core.journal, core.snapshots, stream.send, self._sent, core.note, core.spawn)
        self._obey(self.machine.join(message.term, message.appointment, message.runs, message.kept))

    def heard(self, stream: MirrorStream, message: Acknowledged | SnapshotTaken) -> None:
        """The follower acknowledges."""
        if stream is not self._follower:
            return
        if isinstance(message, Acknowledged):
            self._obey(self.machine.acknowledged(message.term, message.appointment, message.upto))
        elif self._catch_up:
            self._catch_up.taken(message.size)

    def lost(self, stream: MirrorStream) -> None:
        """A mirror stream has ended."""
        if stream is self._follower:
            self._drop_follower()

    # ---- time and disk ----

    def synced(self, upto: int) -> None:
        """The journal is on disk up to here."""
        self._obey(self.machine.synced(upto))

    def tick(self) -> None:
        """Every tenth of the mirror's time-out, or so."""
        self._obey(self.machine.tick(now_ns()))
        self._core.syncer.later()  # with `memory` durability nothing else asks for it
        self._ticks += 1
        if self._ticks % TICKS_PER_TOUCH == 0:
            self.calls.touch()
        if not self.calls.closed_for & QUIESCED:  # after `Quiesced` nothing is appended
            self._checkpoint_if_due()

    # ---- effects ----

    def _obey(self, effects: list[PrimaryEffect]) -> None:
        for effect in effects:
            self._obeying[type(effect)](effect)  # type: ignore[operator]

    def _append(self, batch: Batch) -> None:
        self._obey(self.machine.append(batch))
        self._core.syncer.wrote(len(batch.payload))
        self._snapshot_bytes += len(batch.payload)
        self._sync_if_needed()

    def _sync_if_needed(self) -> None:
        if self._core.open.durability == DISK or not self.machine.is_ready:
            self._core.syncer.request()

    def _journal(self, effect: Journal) -> None:
        self._core.journal.write(effect.batch)

    def _ship(self, effect: Ship) -> None:
        if self._follower:
            self._follower.send(encode_append(effect.term, effect.appointment, effect.batch))
            self._follower.flush()

    def _send_log(self, effect: SendLog) -> None:
        if self._catch_up:
            self._catch_up.send_log(effect, self.machine.sequence)

    def _send_snapshot(self, effect: SendSnapshot) -> None:
        if self._catch_up:
            self.calls.flush()
            self._catch_up.send_snapshot(effect)

    def _release(self, effect: Release) -> None:
        self.calls.release(effect.upto)

    def _joined(self, effect: Joined) -> None:
        self._core.tell(host_wire.Joined(effect.term, effect.appointment, effect.sequence))

    def _on_quiesced(self, effect: Quiesced) -> None:
        self._quiesced = effect
        self._tell_quiesced()

    def _stalled(self, effect: Stalled) -> None:
        self._core.note("mirror stalled", effect.reason)
        self._core.tell(host_wire.MirrorStalled(effect.term, effect.appointment))

    def _tell_quiesced(self) -> None:
        if self._quiesced is not None and not self.calls.waiting:
            effect, self._quiesced = self._quiesced, None
            entry_term, _ = last_of(self.machine.runs)
            told = host_wire.Quiesced(effect.term, effect.sequence, entry_term, effect.handing_over)
            self._core.tell(told)

    def _sent(self, appointment: int, upto: int) -> None:
        self._obey(self.machine.sent(appointment, upto))

    def _confirm(self, id: int) -> None:
        self._core.tell(host_wire.Confirm(id))

    def _submit(self, sink: OwnCall, call: Call) -> None:
        self.calls.call(sink, call)
        self.calls.arrived()

    def _drop_follower(self) -> None:
        self._follower = None
        if self._catch_up:
            self._catch_up.close()
            self._catch_up = None
        self._obey(self.machine.lost())

    # ---- checkpoints ----

    def _checkpoint_if_due(self) -> None:
        core, sequence = self._core, self._core.replica.sequence
        entries_due = sequence - self._last_snapshot >= core.policy.snapshot_entries
        if (entries_due or self._snapshot_bytes >= core.policy.snapshot_bytes) and not core.snapshots.busy:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Log a checkpoint, alone in its batch, and take the snapshot of that very instant."""
        core = self._core
        self.calls.flush()
        self.calls.log(Checkpoint())
        self.calls.flush()
        self._last_snapshot, self._snapshot_bytes = core.replica.sequence, 0
        core.snapshots.take(core.journal.runs, self._taken)

    def _taken(self, entry: SnapshotEntry, digest: bytes) -> None:
        self._core.keep_snapshot(entry)
        self._obey(self.machine.pruned(self._core.journal.kept))
        if self._follower:
            message = Digest(self.term, entry.sequence, digest)
            self._follower.send(mirror_wire.encode(message))
