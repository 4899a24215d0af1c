"""The mirror's half of a simulated host: obeys `Primary` and `Secondary`, holds the stream between.

The secondary dials the primary and shows its log; a lost stream is dialled again. The messages are those of
the real stream (mirror_wire.py), not encoded. The lease page is read right before an acknowledgement leaves.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from primacy.machines import host_wire
from primacy.machines import mirror_effects as effects
from primacy.machines import mirror_wire as wire
from primacy.machines.history import Batch
from primacy.machines.ids import MS, Member
from primacy.machines.mirror import Primary, Secondary
from primacy.sim.disk import Snapshot
from primacy.sim.host_ticks import TICK_NS
from primacy.sim.network import Stream
from primacy.sim.process import Process

if TYPE_CHECKING:
    from primacy.sim.host import Host

CHUNK = 16
REDIAL_NS = (10 * MS, 60 * MS)
AGAIN_NS = 400 * MS
SAID_AGAIN_NS = 10 * TICK_NS


class TakeSnapshot:
    """This host's own effect: the checkpoint before it was journaled and shipped; take the snapshot."""


class Mirroring:
    """State of one host's side of the mirror. All of it is of the present role; `begin_*` starts anew."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._work: deque[Any] = deque()
        self._obeying = False
        self._stream: Stream | None = None  # primary: the joiner's; secondary: the one to the primary
        self._join: tuple[Stream, wire.JoinMirror] | None = None  # shown before we knew of its appointment
        self._peer: Member | None = None
        self._heard = False
        self._snapshot = b""
        self._round = 0
        self._repeating = False  # an acknowledgement was not allowed to leave, and is said again soon

    def kept_upto(self) -> int:
        """What counts as kept here: synced with `disk` durability, written with `memory`."""
        journal = self._host.writer.journal
        return journal.synced_upto if self._host.durability == "disk" else journal.written_upto

    def close(self) -> None:
        """End the stream."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # ---- roles ----

    def begin_primary(self) -> None:
        """This host is primary now: joiners come by themselves."""
        self.close()
        self._round += 1
        self._peer = None
        self.offer_join()

    def begin_secondary(self, peer: Member) -> None:
        """This host is secondary of the primary on `peer` now: dial it."""
        self.close()
        self._round += 1
        self._peer = peer
        self._join = None
        self._repeating = False
        self._dial(self._round)
        self._say_again(self._round)

    def _dial(self, round: int) -> None:
        host, peer = self._host, self._peer
        if round != self._round or peer is None or self._stream is not None:
            return
        other = host.around.find(peer, host.service)
        if other is None or not host.network.route(host.member.node, peer.node).open:
            self._redial()
            return
        self._heard = False
        places = (host.member.node, peer.node)
        self._stream = Stream(host.network, (host, other), places, _closed)
        self._show_log(round, self._stream)

    def _show_log(self, round: int, stream: Stream) -> None:
        """Show the log, again and again until the primary has answered."""
        host = self._host
        if round != self._round or stream is not self._stream or self._heard:
            return
        assert isinstance(host.machine, Secondary)
        host.obey(host.machine.join())
        host.timer(host.scheduler.now_ns + AGAIN_NS, self._show_log, round, stream)

    def _redial(self) -> None:
        host = self._host
        after_ns = int(host.random.uniform(*REDIAL_NS))
        host.timer(host.scheduler.now_ns + after_ns, self._dial, self._round)

    def stream_closed(self, stream: Stream) -> None:
        """The other end of a stream is gone."""
        if stream is not self._stream:
            return
        self._stream = None
        if isinstance(self._host.machine, Primary):
            self._host.obey(self._host.machine.lost())
        elif self._peer is not None:
            self._redial()

    # ---- messages ----

    def receive(self, stream: Stream, message: wire.Message) -> None:
        """Take a message of the other host."""
        host, machine = self._host, self._host.machine
        if isinstance(message, wire.JoinMirror):
            self._join = (stream, message)
            self.offer_join()
        elif stream is not self._stream:
            return
        elif isinstance(machine, Primary):
            if isinstance(message, wire.Acknowledged):
                host.obey(machine.acknowledged(message.term, message.appointment, message.upto))
        elif machine is not None:
            self._heard = True
            host.obey(self._told(machine, message))

    def _told(self, machine: Secondary, message: wire.Message) -> list[effects.SecondaryEffect]:
        match message:
            case wire.Follow(term=term, appointment=appointment, after=after):
                return machine.follow(term, appointment, after)
            case wire.Append(term=term, appointment=appointment):
                batch = Batch(message.batch_term, message.first, message.last, message.payload)
                return machine.append(term, appointment, batch)
            case wire.SnapshotBegin(term=term, appointment=appointment, sequence=sequence, runs=runs):
                self._snapshot = message.data if isinstance(message, WholeSnapshot) else b""
                return machine.restore(term, appointment, sequence, runs)
        return []

    def offer_join(self) -> None:
        """Let the machine see the log that a joiner has shown, if it is of the present appointment."""
        host, machine = self._host, self._host.machine
        if self._join is None or not isinstance(machine, Primary):
            return
        stream, message = self._join
        if message.term != machine.term or message.appointment < machine.appointment:
            self._join = None
        elif message.appointment == machine.appointment:
            self._join = None
            if self._stream is not None and stream is not self._stream:
                host.obey(machine.lost())
            self._stream = stream
            host.obey(machine.join(message.term, message.appointment, message.runs, message.kept))

    # ---- effects ----

    def obey(self, more: list[Any]) -> None:
        """Obey effects in order; what a stop leaves over is done after the thaw, before anything else."""
        self._work.extend(more)
        if self._obeying:
            return
        self._obeying = True
        while self._work:
            if self._host.stopped_before(type(self._work[0]).__name__):
                break
            self._do(self._work.popleft())
        self._obeying = False

    def _do(self, effect: Any) -> None:
        host = self._host
        match effect:
            case effects.Journal(batch=batch):
                host.writer.submit(batch)
            case effects.Ship(term=term, appointment=appointment, batch=batch):
                self._send(_append(term, appointment, batch))
            case effects.Apply(batch=batch):
                checkpoint = host.replica.apply(batch.term, batch.first, batch.last, batch.payload)
                host.observer.applied(host, batch)
                if checkpoint:
                    host.checkpoint()
            case effects.Acknowledge(term=term, appointment=appointment, upto=upto):
                if host.page.ack_term == term:
                    host.observer.acknowledged(host, term)
                    self._send(wire.Acknowledged(term, appointment, upto))
                elif not self._repeating:
                    self._repeating = True
                    host.timer(host.scheduler.now_ns + TICK_NS, self._withheld, self._round)
            case effects.Join(term=term, appointment=appointment, runs=runs, kept=kept):
                self._send(wire.JoinMirror(term, appointment, host.member, runs, kept))
            case effects.SendLog():
                self._send_log(effect)
            case effects.SendSnapshot(appointment=appointment):
                self._later(self._send_snapshot, appointment)
            case effects.Cut(to=to):
                host.writer.flush()
                host.writer.journal.cut(to)
                host.progressed()
            case effects.Load(upto=upto):
                host.writer.flush()
                host.load(upto)
                host.progressed()
            case effects.Restore(sequence=sequence, runs=runs):
                host.writer.flush()
                host.replica.restore(self._snapshot)
                host.observer.applied(host, None)
                host.writer.journal.replace(Snapshot(sequence, runs, self._snapshot))
            case TakeSnapshot():
                host.checkpoint()
            case effects.Joined(term=term, appointment=appointment, sequence=sequence):
                host.tell(host_wire.Joined(term, appointment, sequence))
            case effects.Quiesced():
                host.drained_to(effect)
            case effects.Stalled(term=term, appointment=appointment):
                host.tell(host_wire.Note("mirror stalled", effect.reason))
                host.tell(host_wire.MirrorStalled(term, appointment))
            case effects.Fail(reason=reason):
                host.fail("diverged", reason)

    def _withheld(self, round: int) -> None:
        if round == self._round:
            self._repeating = False
            self._acknowledge_again()

    def _say_again(self, round: int) -> None:
        host = self._host
        if round == self._round and self._peer is not None:
            self._acknowledge_again()
            host.timer(host.scheduler.now_ns + SAID_AGAIN_NS, self._say_again, round)

    def _acknowledge_again(self) -> None:
        machine = self._host.machine
        if isinstance(machine, Secondary):
            self._host.obey(machine.again())

    def _later(self, action: Any, *arguments: Any) -> None:
        host = self._host
        after_ns = int(host.random.uniform(MS, 5 * MS))
        host.timer(host.scheduler.now_ns + after_ns, self._if_same, host.machine, action, arguments)

    def _if_same(self, machine: Primary, action: Any, arguments: tuple[Any, ...]) -> None:
        if self._host.machine is machine:
            action(*arguments)

    def _send_log(self, effect: effects.SendLog) -> None:
        if not effect.whole:
            self._later(self._send_chunk, effect)
            return
        if effect.opening:
            self._send(wire.Follow(effect.term, effect.appointment, effect.after))
        for batch in self._host.writer.batches:
            if batch.last > effect.after:
                self._send(_append(effect.term, effect.appointment, batch))

    def _send_chunk(self, effect: effects.SendLog) -> None:
        host = self._host
        assert isinstance(host.machine, Primary)
        if effect.after < host.writer.journal.snapshot.sequence:
            self._send_snapshot(effect.appointment)  # the log begins later by now
            return
        if effect.opening:
            self._send(wire.Follow(effect.term, effect.appointment, effect.after))
        upto = effect.after
        for batch in [b for b in host.writer.batches if b.last > effect.after][:CHUNK]:
            self._send(_append(effect.term, effect.appointment, batch))
            upto = batch.last
        host.obey(host.machine.sent(effect.appointment, upto))

    def _send_snapshot(self, appointment: int) -> None:
        host = self._host
        assert isinstance(host.machine, Primary)
        journal = host.writer.journal
        pruned = not journal.snapshot.sequence or "snapshot" in journal.damaged
        if pruned:
            host.writer.prune(host.replica.sequence, host.replica.snapshot())
        snapshot = host.writer.journal.snapshot
        whole = WholeSnapshot(
            host.machine.term,
            appointment,
            snapshot.sequence,
            snapshot.runs,
            len(snapshot.data),
            snapshot.data,
        )
        self._send(whole)
        host.obey(host.machine.sent(appointment, snapshot.sequence))
        if pruned:
            host.progressed()  # that has finished all writes, those whose end would have been told included

    def _send(self, message: wire.Message) -> None:
        stream, host = self._stream, self._host
        if stream is not None:
            stream.send(host, stream.other(host).mirroring.receive, stream, message)  # type: ignore[attr-defined]


class WholeSnapshot(wire.SnapshotBegin, frozen=True, tag="MS+"):
    """A snapshot with its chunks in one message."""

    data: bytes


def _append(term: int, appointment: int, batch: Batch) -> wire.Append:
    return wire.Append(term, appointment, batch.term, batch.first, batch.last, batch.payload)


def _closed(end: Process, stream: Stream) -> None:
    end.mirroring.stream_closed(stream)  # type: ignore[attr-defined]


def primary_of(host: Host, assign: host_wire.Assign) -> Primary:
    """Return the machine of a primary whose state is loaded."""
    journal = host.writer.journal
    return Primary(
        assign.term,
        host.writer.runs,
        durability=host.durability,
        synced=journal.synced_upto,
        kept=journal.snapshot.sequence,
        appointment=assign.appointment if assign.peer is not None else 0,
    )


def secondary_of(host: Host, assign: host_wire.Assign) -> Secondary:
    """Return the machine of a secondary."""
    return Secondary(
        assign.term,
        assign.appointment,
        host.writer.runs,
        kept=1 if host.incomplete else host.writer.journal.snapshot.sequence,
        loaded=assign.in_step,
        journaled=host.mirroring.kept_upto(),
    )
