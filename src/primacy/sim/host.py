"""A simulated host of a centralized service: the driver of the mirror's machines, the replica and the clients' words.

It does what the real host does, in the same order: a turn takes what clients have sent, executes or evaluates
it, journals and ships one batch; what is to be answered waits for `Release`, and the lease page is read last
of all, right before an answer leaves. Between the turn and the leaving other things may happen, a freeze for
example.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from primacy.machines import entries, host_wire, mirror_effects
from primacy.machines.call_wire import HostRole, Reply, ToClient, ToHost
from primacy.machines.entries import Checkpoint, Entry
from primacy.machines.history import Batch, last_of
from primacy.machines.ids import MS, SECOND, Member
from primacy.machines.mirror import Primary, Secondary
from primacy.machines.replica import Replica
from primacy.service import Service, ServiceModel
from primacy.sim.callbacks import OwnCall, TimerContext, Timers
from primacy.sim.disk import Journal, Writer
from primacy.sim.host_calls import Waiting, take
from primacy.sim.host_disk import load, may_lead, open_journal
from primacy.sim.host_health import Check
from primacy.sim.host_mirror import Mirroring, TakeSnapshot, primary_of, secondary_of
from primacy.sim.host_process import Around, HostProcess
from primacy.sim.host_ticks import Ticking
from primacy.sim.host_watches import Pushing
from primacy.sim.network import Stream
from primacy.sim.page import Page
from primacy.sim.scheduler import Clock, Scheduler
from primacy.sim.settings import Row

TURN_NS = 60_000
LEAVE_NS = 40_000
POLL_NS = 5 * MS
HELD_MAX = 1_000


class Host(HostProcess):
    """One process of the service on one node."""

    def __init__(
        self,
        row: Row,
        member: Member,
        scheduler: Scheduler,
        clock: Clock,
        journal: Journal,
        source: random.Random,
        around: Around,
    ) -> None:
        super().__init__(row, member, scheduler, clock, source, around)
        assert isinstance(self.object, Service)
        self.durability, self.snapshot_every = row.durability, around.snapshot_every
        self.writer = Writer(journal, self, source, self.progressed)
        self.model = ServiceModel(self.object)
        self.replica = Replica(row.id, self.model)
        self.role = "available"
        self.term = 0
        self.page = Page(0)
        self.machine: Primary | Secondary | None = None
        self.mirroring = Mirroring(self)
        self.pushing = Pushing(self)
        self.ticking = Ticking(self)
        self.serving = False
        self.quiesced = False
        self.clients: list[Stream] = []
        self.heard: dict[int, int] = {}  # when each session gave a sign of life in this term
        self._began_ns = 0  # when this term began here
        self._arrivals: deque[tuple[Stream | OwnCall, ToHost, int]] = deque()
        self._waiting: deque[Waiting] = deque()
        self._turn_due = self._leave_due = self._interrupted = False
        self._drained: mirror_effects.Quiesced | None = None  # to be told when every answer has left
        self._timers: tuple[Timers, TimerContext] | None = None
        self._checks: list[Check] = []
        self._uptime_ns = 0  # the service's, when this term began here
        self._confirming: dict[int, Waiting] = {}
        self._confirms = 0

    def open(self) -> None:
        """Open the journal, and say what there is."""
        open_journal(self)
        super().open()

    def position(self) -> tuple[int, int]:
        """The journal's last (term, sequence)."""
        return self.writer.journal.position

    @property
    def incomplete(self) -> bool:
        """Whether the journal may lack what was acknowledged."""
        return self.writer.journal.incomplete

    def hear(self, message: host_wire.ToHost, page: Page | None) -> None:
        """Obey one message of the agent."""
        match message:
            case host_wire.Assign():
                assert page is not None, "an assignment without a lease page"
                self._assign(message, page)
            case host_wire.Confirmed(id=id, valid=valid):
                self._confirmed(id, valid)
            case host_wire.Members(nodes=nodes):
                if self._timers is not None:
                    self._timers[1].nodes = nodes
            case host_wire.Run() | host_wire.Cancel() | host_wire.Stop():
                super().hear(message, page)
            case _:
                self._for_primary(message)

    def _for_primary(self, message: Any) -> None:
        machine = self.machine
        if not isinstance(machine, Primary) or message.term != self.term:
            return  # of a term that has ended here
        match message:
            case host_wire.Appoint(appointment=appointment):
                self.obey(machine.appoint(appointment))
                self.mirroring.offer_join()
            case host_wire.Ready(appointment=appointment):
                self.obey(machine.ready(appointment))
            case host_wire.Alone():
                self.obey(machine.alone())
                self.ticking.want_progress()
            case host_wire.Serve():
                self._serve()
            case host_wire.Quiesce():
                self.turn()
                self.quiesced = True
                self.obey(machine.quiesce(message.handing_over))
            case host_wire.Resume():
                self.quiesced = False
                self._drained = None
                self.obey(machine.resume())
                self._want_turn()

    def _assign(self, assign: host_wire.Assign, page: Page) -> None:
        machine = self.machine
        if isinstance(machine, Primary) and assign.role == "primary" and assign.term == machine.term:
            return
        self._end_role()
        self.term, self.role, self.page = assign.term, assign.role, page
        if assign.role == "primary":
            self._become_primary(assign)
        else:
            assert assign.peer is not None
            self.machine = secondary_of(self, assign)
            self.mirroring.begin_secondary(assign.peer.member)
        self.tell_clients()
        self.ticking.want_progress()

    def _become_primary(self, assign: host_wire.Assign) -> None:
        if not may_lead(self, assign.term):
            return
        self.load()
        self._began_ns, self.heard = self.clock.now_ns, {}
        self._uptime_ns = self.replica.uptime_ns
        self.machine = primary_of(self, assign)
        self.pushing.begin()
        self.mirroring.begin_primary()

    def _end_role(self) -> None:
        self.serving = self.quiesced = False
        self._waiting.clear()
        self._confirming.clear()
        self.pushing.end()
        self._drained = None
        if self._timers is not None:
            self._timers[0].close()
            self._timers = None
        for check in self._checks:
            check.close()

    def _serve(self) -> None:
        if self.serving:
            return
        self.serving = True
        context = TimerContext(self)
        self._timers = Timers(self, self.description.timers, context), context
        self._checks = [Check(self, what) for what in self.description.health]
        self.observer.served(self)
        self.tell_clients()
        self._want_turn()

    def stop(self) -> None:
        """End in order: everything is on disk."""
        self._end_role()
        self.writer.flush()
        super().stop()

    # ---- clients ----

    def client_came(self, stream: Stream) -> None:
        """A client has connected."""
        self.clients.append(stream)
        self._tell_client(stream)

    def client_gone(self, stream: Stream) -> None:
        """A client's connection ended."""
        if stream in self.clients:
            self.clients.remove(stream)
            self.pushing.forget(stream)

    def client_sent(self, stream: Stream | OwnCall, message: ToHost, sent_ns: int) -> None:
        """A client's message is here."""
        if self.role != "primary" or len(self._arrivals) >= HELD_MAX:
            return
        self._arrivals.append((stream, message, sent_ns))
        self._want_turn()

    def silent(self, seconds: float) -> list[int]:
        """Return the sessions without a sign of life for so long, counted from this term's beginning here."""
        now_ns, silence_ns = self.clock.now_ns, int(seconds * SECOND)
        heard, began_ns = self.heard, self._began_ns
        return [id for id in self.replica.sessions.sessions if now_ns - heard.get(id, began_ns) >= silence_ns]

    def tell_clients(self) -> None:
        """Push this host's role to all clients."""
        if self.role != "primary":
            self._arrivals.clear()
        for stream in self.clients:
            self._tell_client(stream)

    def _tell_client(self, stream: Stream) -> None:
        self.send(stream, HostRole(self.service, self.member.node, self.term, self.serving, ""))

    def send(self, stream: Stream | OwnCall, message: ToClient) -> None:
        """Let a client have a message."""
        if isinstance(stream, OwnCall):
            assert isinstance(message, Reply)
            stream.answered(message)
            return
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
        uptime_ns = self._uptime_ns + (self.clock.now_ns - self._began_ns) * self.around.uptime_times
        batch: list[Entry] = []
        arrivals, self._arrivals = self._arrivals, deque()
        times = (self.clock.wall_ns, uptime_ns)
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
        appended = Batch(self.term, first, self.replica.sequence, payload)
        self.pushing.collect()
        self.observer.applied(self, appended)
        self.obey(machine.append(appended))

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

    def confirm(self, waiting: Waiting) -> None:
        """Let an answer wait for an echo of the vice that was sent after now, then leave when it may."""
        self._confirms += 1
        self._confirming[self._confirms] = waiting
        self.tell(host_wire.Confirm(self._confirms))

    def _confirmed(self, id: int, valid: bool) -> None:
        waiting = self._confirming.pop(id, None)
        if valid and waiting is not None:
            self.wait(waiting)
            self._want_leave()
        self._tell_drained()

    def drained_to(self, effect: mirror_effects.Quiesced) -> None:
        """Every call that was accepted is committed: that is told when every answer has left."""
        self._drained = effect
        self._tell_drained()

    def _tell_drained(self) -> None:
        effect = self._drained
        waits = self._waiting or self._confirming
        if effect is not None and not waits and isinstance(self.machine, Primary):
            self._drained = None
            entry_term, _ = last_of(self.machine.runs)
            self.tell(host_wire.Quiesced(effect.term, effect.sequence, entry_term, effect.handing_over))

    def _want_leave(self, after_ns: int = LEAVE_NS) -> None:
        if not self._leave_due and (self._waiting or not self.pushing.idle):
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
            self.send(waiting.stream, waiting.message)
        self._tell_drained()
        if not self.pushing.idle:
            if self.answers():
                self.pushing.push(machine.committed)
            else:
                self._want_leave(POLL_NS)

    def answers(self) -> bool:
        """Whether the lease page of this primary's term allows an answer at this instant."""
        return self.clock.now_ns < self.page.valid_until_ns

    def holds(self) -> bool:
        """Whether this process may answer now as primary: what S1 counts."""
        return self.alive and self.role == "primary" and self.serving and self.answers()

    # ---- the mirror ----

    def load(self, upto: int | None = None) -> None:
        """Bring the state to `upto` (the end) of this process's own log, unless it is there already."""
        load(self, upto)

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
        machine = self.machine
        if isinstance(machine, Primary):
            self.pushing.release(machine.committed)
            self.ticking.look(machine)

    def resumed(self) -> None:
        """Finish the step that a freeze has interrupted."""
        self.mirroring.obey([])

    def drained(self) -> None:
        """Go on with the turn that a freeze has interrupted, with all that has come meanwhile."""
        if self._interrupted:
            self._interrupted = False
            self.turn()
