"""A simulated host: the driver of the mirror's machines, the replica and the client's messages for one service.

It does what the real host does, in the same order: a turn takes what clients have sent, executes or evaluates
it, journals and ships one batch; what is to be answered waits for `Release`, and the lease page is read last
of all, right before an answer leaves. Between the turn and the leaving other things may happen, a freeze for
example.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from primacy.machines import entries
from primacy.machines.call_wire import (
    HostRole,
    ToClient,
    ToHost,
)
from primacy.machines.entries import Checkpoint, Entry
from primacy.machines.history import Batch
from primacy.machines.ids import MS, Member
from primacy.machines.mirror import Primary, Secondary
from primacy.machines.replica import Replica
from primacy.sim.disk import Journal, Writer
from primacy.sim.host_calls import Waiting, take
from primacy.sim.host_mirror import Mirroring, TakeSnapshot
from primacy.sim.logbook import Logbook
from primacy.sim.network import Network, Stream
from primacy.sim.page import Page
from primacy.sim.process import Process
from primacy.sim.scheduler import Clock, Scheduler

SERVICE = "logbook"
TURN_NS = 60_000
LEAVE_NS = 40_000
POLL_NS = 5 * MS
TICK_NS = 200 * MS
HELD_MAX = 1_000


class Observer(Protocol):
    """Who looks at what hosts do: the checkers."""

    def answered(self, host: Host, sent_ns: int, message: ToClient, names: tuple[str, ...]) -> None:
        """An answer leaves; `sent_ns`: when its call was sent; `names`: what it says was appended."""

    def served(self, host: Host) -> None:
        """A primary begins to serve."""

    def bug(self, process: str, error: Exception) -> None:
        """A process has found a bug in its own code, and ends."""

    def acknowledged(self, host: Host, term: int) -> None:
        """A secondary acknowledges entries of this term."""

    def checkpointed(self, host: Host, term: int, sequence: int, digest: bytes) -> None:
        """A replica came to a checkpoint."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a host knows of the world. find: the host of a member, if it runs; tell: the way to its agent."""

    observer: Observer
    network: Network
    durability: str
    snapshot_every: int
    find: Callable[[Member], Process | None]
    tell: Callable[..., None]


class Host(Process):
    """One process of the service on one node."""

    def __init__(
        self,
        member: Member,
        scheduler: Scheduler,
        clock: Clock,
        journal: Journal,
        source: random.Random,
        around: Around,
    ) -> None:
        super().__init__(f"host of {member.node}", scheduler)
        self.member, self.clock, self.random = member, clock, source
        self.observer, self.network = around.observer, around.network
        self.durability, self.snapshot_every = around.durability, around.snapshot_every
        self.find, self.tell = around.find, around.tell
        self.writer = Writer(journal, self, source, self.progressed)
        self.logbook = Logbook()
        self.replica = Replica(SERVICE, self.logbook)
        self.role = "available"
        self.assigned = ""  # the role that its agent has given it (the word may still be on its way)
        self.term = 0
        self.page = Page(0)
        self.machine: Primary | Secondary | None = None
        self.mirroring = Mirroring(self)
        self.serving = False
        self.quiesced = False
        self.clients: list[Stream] = []
        self._arrivals: deque[tuple[Stream, ToHost, int]] = deque()
        self._waiting: deque[Waiting] = deque()
        self._turn_due = self._leave_due = self._interrupted = False
        self._started_ns = clock.now_ns
        self._ticks()

    # ---- what the agent says ----

    def assign(
        self, term: int, role: str, page: Page, appointment: int, peer: Member | None, in_step: bool
    ) -> None:
        """Take a role; see `host_wire.Assign`."""
        self.term, self.role, self.page = term, role, page
        self.serving = self.quiesced = False
        self._waiting.clear()
        if role == "primary":
            self.load()
            self._started_ns = self.clock.now_ns - self.replica.uptime_ns
            journal = self.writer.journal
            self.machine = Primary(
                term,
                self.writer.runs,
                durability=self.durability,
                synced=journal.synced_upto,
                kept=journal.snapshot.sequence,
                appointment=appointment if peer is not None else 0,
            )
            self.mirroring.begin_primary()
        else:
            assert peer is not None
            self.machine = Secondary(
                term,
                appointment,
                self.writer.runs,
                kept=self.writer.journal.snapshot.sequence,
                loaded=in_step,
                journaled=self.mirroring.kept_upto(),
            )
            self.mirroring.begin_secondary(peer)
        self.tell_clients()

    def appoint(self, term: int, appointment: int) -> None:
        """A vice will join."""
        if isinstance(self.machine, Primary) and term == self.term:
            self.obey(self.machine.appoint(appointment))
            self.mirroring.offer_join()

    def vice_ready(self, term: int, appointment: int) -> None:
        """The vice is named as ready."""
        if isinstance(self.machine, Primary) and term == self.term:
            self.obey(self.machine.ready(appointment))

    def alone(self, term: int) -> None:
        """No vice is named."""
        if isinstance(self.machine, Primary) and term == self.term:
            self.obey(self.machine.alone())

    def serve(self, term: int) -> None:
        """Open for calls."""
        if self.role == "primary" and term == self.term and not self.serving:
            self.serving = True
            self.observer.served(self)
            self.tell_clients()
            self._want_turn()

    def quiesce(self, term: int) -> None:
        """Take no new calls."""
        if isinstance(self.machine, Primary) and term == self.term:
            self.turn()
            self.quiesced = True
            self.obey(self.machine.quiesce())

    def resume(self, term: int) -> None:
        """The hand-over was undone."""
        if isinstance(self.machine, Primary) and term == self.term:
            self.quiesced = False
            self.obey(self.machine.resume())
            self._want_turn()

    # ---- clients ----

    def client_came(self, stream: Stream) -> None:
        """A client has connected."""
        self.clients.append(stream)
        self._tell_client(stream)

    def client_gone(self, stream: Stream) -> None:
        """A client's connection ended."""
        if stream in self.clients:
            self.clients.remove(stream)

    def client_sent(self, stream: Stream, message: ToHost, sent_ns: int) -> None:
        """A client's message is here."""
        if self.role != "primary" or len(self._arrivals) >= HELD_MAX:
            return
        self._arrivals.append((stream, message, sent_ns))
        self._want_turn()

    def tell_clients(self) -> None:
        """Push this host's role to all clients."""
        if self.role != "primary":
            self._arrivals.clear()
        for stream in self.clients:
            self._tell_client(stream)

    def _tell_client(self, stream: Stream) -> None:
        self._send(stream, HostRole(SERVICE, self.member.node, self.term, self.serving, ""))

    def _send(self, stream: Stream, message: ToClient) -> None:
        received: Callable[..., None] = getattr(stream.ends[0], "received")  # noqa: B009 (the client's end)
        stream.send(self, received, self.member.node, message)

    # ---- a turn of the loop ----

    def _want_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self.timer(self.scheduler.now_ns + TURN_NS, self.turn)

    def turn(self) -> None:
        """Take what clients have sent: evaluate reads, number and apply calls, journal and ship them as one batch."""
        self._turn_due = False
        machine = self.machine
        if not isinstance(machine, Primary) or not self.serving or self.quiesced or not self._arrivals:
            return
        if self.stopped_before("Evaluate"):
            self._interrupted = True
            return
        replica, first = self.replica, self.replica.sequence + 1
        uptime_ns = self.clock.now_ns - self._started_ns
        batch: list[Entry] = []
        arrivals, self._arrivals = self._arrivals, deque()
        times = (self.clock.now_ns, uptime_ns)
        for stream, message, sent_ns in arrivals:
            entry = take(self, stream, message, sent_ns, times)
            if entry is not None:
                batch.append(entry)
        if batch:
            self._append(machine, first, batch, times)
            if replica.sequence // self.snapshot_every != (first - 1) // self.snapshot_every:
                self._checkpoint(machine, times)
        self._want_leave()

    def _append(self, machine: Primary, first: int, batch: list[Entry], times: tuple[int, int]) -> None:
        payload = entries.encode(entries.Entries(*times, batch))
        self.obey(machine.append(Batch(self.term, first, self.replica.sequence, payload)))

    def _checkpoint(self, machine: Primary, times: tuple[int, int]) -> None:
        first = self.replica.sequence + 1
        self.replica.turn(self.term, *times)
        self.replica.note(Checkpoint())
        self._append(machine, first, [Checkpoint()], times)
        self.obey([TakeSnapshot()])

    def checkpoint(self) -> None:
        """The last entry applied is a checkpoint: take a snapshot, and let the log begin behind it."""
        replica = self.replica
        self.observer.checkpointed(self, replica.term, replica.sequence, replica.digest())
        self.writer.prune(replica.sequence, replica.snapshot())
        if isinstance(self.machine, Primary):
            self.obey(self.machine.pruned(replica.sequence))
        elif self.machine is not None:
            self.machine.pruned(replica.sequence)
        self.progressed()

    # ---- leaving ----

    def wait(self, waiting: Waiting) -> None:
        """Let an answer leave when it may."""
        self._waiting.append(waiting)

    def _want_leave(self, after_ns: int = LEAVE_NS) -> None:
        if not self._leave_due and self._waiting:
            self._leave_due = True
            self.timer(self.scheduler.now_ns + after_ns, self.leave)

    def leave(self) -> None:
        """Let go what is released, if the lease page says so right now."""
        self._leave_due = False
        machine = self.machine
        if not isinstance(machine, Primary):
            return
        while self._waiting and self._waiting[0].position <= machine.committed:
            if not self.answers() or self.stopped_before("Reply"):
                self._want_leave(POLL_NS)
                return
            waiting = self._waiting.popleft()
            self.observer.answered(self, waiting.sent_ns, waiting.message, waiting.names)
            self._send(waiting.stream, waiting.message)

    def answers(self) -> bool:
        """Whether the lease page of this primary's term allows an answer at this instant."""
        return self.clock.now_ns < self.page.valid_until_ns

    def holds(self) -> bool:
        """Whether this process may answer now as primary: what S1 counts."""
        return self.alive and self.role == "primary" and self.serving and self.answers()

    # ---- the mirror ----

    def load(self, upto: int | None = None) -> None:
        """Bring the state to `upto` (the end) of this process's own log, unless it is there already."""
        journal = self.writer.journal
        if self.replica.sequence < journal.snapshot.sequence:
            self.replica.restore(journal.snapshot.data)
        for batch in self.writer.batches:
            if self.replica.sequence < batch.first and (upto is None or batch.last <= upto):
                self.replica.apply(batch.term, batch.first, batch.last, batch.payload)

    def progressed(self) -> None:
        """The journal has written or synced something."""
        machine = self.machine
        if isinstance(machine, Primary):
            self.obey(machine.synced(min(self.writer.journal.synced_upto, machine.sequence)))
        elif machine is not None:
            self.obey(machine.journaled(self.mirroring.kept_upto()))

    def obey(self, effects: list[Any]) -> None:
        """Obey the machine's effects in order."""
        self.mirroring.obey(effects)
        self._want_leave()

    def resumed(self) -> None:
        """Finish the step that a freeze has interrupted."""
        self.mirroring.obey([])

    def drained(self) -> None:
        """Go on with the turn that a freeze has interrupted, with all that has come meanwhile."""
        if self._interrupted:
            self._interrupted = False
            self.turn()

    def _ticks(self) -> None:
        if isinstance(self.machine, Primary):
            self.obey(self.machine.tick(self.clock.now_ns))
        self.timer(self.scheduler.now_ns + TICK_NS, self._ticks)

    def broken(self, error: Exception) -> None:
        """A bug was found in this process: it ends."""
        self.observer.bug(self.name, error)
        self.tell("failed", f"{type(error).__name__}: {error}")
        self.kill()
