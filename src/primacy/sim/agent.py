"""A simulated agent: the dull driver of the membership monitor. It obeys effects in order.

What it does decide is what the real agent decides too: which role the host of the service gets, when the
operator's switchover quiesces and resumes, and what the death of a host means (mastership is handed over
without drain; when nobody can take over it goes on here in a new term, since a term has one primary process).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from primacy.machines import membership as cmm
from primacy.machines.ids import MS, Member
from primacy.machines.mastership import Monitor
from primacy.machines.messages import Message
from primacy.machines.records import Mastership
from primacy.machines.swap import Outcome, Purpose
from primacy.sim.host import SERVICE, Host
from primacy.sim.line import Ledger
from primacy.sim.page import Page
from primacy.sim.process import Pipe, Process
from primacy.sim.scheduler import Clock, Scheduler

LEVELS_NS = (0, 8 * MS)
QUIESCE_NS = 2_000 * MS
RETRY_NS = 50 * MS
LOST = "the primary's process died"


class Place(Protocol):
    """What an agent asks of its node: its guardian, its network, and who looks on."""

    def spawn_host(self, agent: Agent) -> None:
        """Start a host; `agent.host_opened` follows."""

    def kill_host(self, agent: Agent, host: Host) -> None:
        """End a host; `agent.host_died` follows."""

    def send(self, agent: Agent, node: str, message: Message) -> None:
        """Send a datagram to the present life of a node."""

    def greet(self, agent: Agent, node: str, message: Message) -> None:
        """Send a hello to a node."""

    def give_up(self, agent: Agent) -> None:
        """End this life of the node."""

    def agent_broken(self, agent: Agent, error: Exception) -> None:
        """The agent has found a bug in its own code."""

    def swapping(self, agent: Agent, effect: cmm.SwapRecord) -> None:
        """The agent sends a swap."""

    def granted(self, agent: Agent, effect: cmm.Grant) -> None:
        """The agent has written a lease page."""

    def acknowledging(self, agent: Agent, effect: cmm.Acknowledge) -> None:
        """The agent lets its secondaries acknowledge."""

    def published(self, agent: Agent, sentence: str) -> None:
        """An event for operators."""


class Agent(Process):
    """One life of a node's agent."""

    def __init__(
        self,
        member: Member,
        place: Place,
        monitor: Monitor,
        scheduler: Scheduler,
        clock: Clock,
        ledger: Ledger,
        source: random.Random,
    ) -> None:
        super().__init__(f"agent of {member.node}", scheduler)
        self.member, self.place, self.monitor = member, place, monitor
        self.clock, self.ledger, self.random = clock, ledger, source
        self.pages: dict[int, Page] = {}
        self.host: Host | None = None
        self._pipe: Pipe | None = None
        self._primary_term = 0  # the last term that had a primary process here
        self._broken = 0  # the appointment whose secondary has died
        self._appointment = 0
        self._quiescing = 0  # number of the switchover that is under way, 0 = none
        self._switchovers = 0
        self._lost_term = 0  # the term whose primary process has died
        self._inputs: deque[cmm.Input] = deque()
        self._effects: deque[Any] = deque()
        self._obeying = False
        self._wake_ns = -1
        self._tick_ns = -1
        self.last_effect = ""

    def start(self) -> None:
        """Begin: the first tick, the watch and the first host."""
        self.ledger.line(self.member.node)
        self.ledger.watchers[self.member.node] = self._watched
        self.place.spawn_host(self)
        self.feed(cmm.Tick(now_ns=self.clock.now_ns))

    # ---- inputs ----

    def feed(self, event: cmm.Input) -> None:
        """Give the machine an input, and obey what it says, unless that is being done already."""
        self._inputs.append(event)
        self._go_on()

    def received(self, sender: Member, message: Message) -> None:
        """A datagram is here."""
        self.feed(cmm.Received(now_ns=self.clock.now_ns, sender=sender, message=message))

    def _watched(self, revision: int, record: Mastership) -> None:
        self.deliver(self._learned, revision, record, None)

    def _learned(self, revision: int, record: Mastership | None, asked_ns: int | None) -> None:
        now_ns = self.clock.now_ns
        self.feed(cmm.Learned(now_ns=now_ns, revision=revision, record=record, asked_ns=asked_ns))

    def _read_failed(self) -> None:
        self.feed(cmm.ReadFailed(now_ns=self.clock.now_ns))

    def _swapped(self, token: int, answer: cmm.SwapAnswer, revision: int) -> None:
        self.feed(cmm.Swapped(now_ns=self.clock.now_ns, token=token, answer=answer, revision=revision))

    # ---- the loop ----

    def _go_on(self) -> None:
        if self._obeying:
            return
        self._obeying = True
        while self.alive and not self.frozen:
            if self._effects:
                if self.stopped_before(type(self._effects[0]).__name__):
                    break
                self._obey(self._effects.popleft())
            elif self._inputs:
                self._effects.extend(self.monitor.step(self._inputs.popleft()))
            else:
                break
        self._obeying = False

    def broken(self, error: Exception) -> None:
        """A bug was found in this process: it ends, and with it this life of the node."""
        self.place.agent_broken(self, error)

    def resumed(self) -> None:
        """After a freeze: go on where it was. Mostly the gap is noticed before the sockets are drained."""
        self._go_on()
        if self.random.random() < 0.75:
            self.feed(cmm.Gap(now_ns=self.clock.now_ns))
        self.feed(cmm.Tick(now_ns=self.clock.now_ns))

    def _obey(self, effect: cmm.Effect) -> None:
        match effect:
            case cmm.Wake(at_ns=at_ns):
                self._wake(at_ns)
            case cmm.Send(node=node, message=message):
                self.place.send(self, node, message)
            case cmm.Greet(nodes=nodes, message=message):
                for node in nodes:
                    self.place.greet(self, node, message)
            case cmm.Grant(term=term, until_ns=until_ns):
                self.page(term).valid_until_ns = until_ns
                self.place.granted(self, effect)
            case cmm.Acknowledge(term=term):
                self.page(term).ack_term = term
                self.place.acknowledging(self, effect)
            case cmm.Seal():
                for page in self.pages.values():
                    page.ack_term = 0
            case cmm.Read():
                asked_ns = self.clock.now_ns
                self.ledger.read(self.member.node, self._answered(asked_ns), self._failed)
            case cmm.SwapRecord(expect=expect, record=record, token=token):
                self.place.swapping(self, effect)
                self.ledger.swap(self.member.node, expect, record, self._answer(token))
            case cmm.Publish(event=event):
                self.place.published(self, event.sentence())
            case _:
                self._host_effect(effect)

    def _answered(self, asked_ns: int) -> Callable[[int, Mastership | None], None]:
        return lambda revision, record: self.deliver(self._learned, revision, record, asked_ns)

    def _failed(self) -> None:
        self.deliver(self._read_failed)

    def _answer(self, token: int) -> Callable[[cmm.SwapAnswer, int], None]:
        return lambda answer, revision: self.deliver(self._swapped, token, answer, revision)

    def _wake(self, at_ns: int) -> None:
        """Ask for a tick. An earlier timer that is set already looks again when it fires."""
        self._wake_ns = at_ns
        if self._tick_ns < 0 or at_ns < self._tick_ns:
            self._tick_ns = at_ns
            self.timer(self.clock.true_ns(at_ns), self._tick, at_ns)

    def _tick(self, at_ns: int) -> None:
        if at_ns != self._tick_ns:
            return
        self._tick_ns = -1
        if self.clock.now_ns < self._wake_ns:
            self._wake(self._wake_ns)
        else:
            self.feed(cmm.Tick(now_ns=self.clock.now_ns))

    # ---- the host ----

    def page(self, term: int) -> Page:
        """The lease page of a term."""
        return self.pages.setdefault(term, Page(term))

    def _host_effect(self, effect: cmm.Effect) -> None:
        match effect:
            case cmm.Became(role=role, clean=clean):
                self._became(role, clean)
            case cmm.Appointed(term=term, appointment=appointment):
                self._tell(Host.appoint, term, appointment)
            case cmm.ViceReady(term=term, appointment=appointment):
                self._tell(Host.vice_ready, term, appointment)
            case cmm.Alone(term=term):
                self._tell(Host.alone, term)
            case cmm.Closed(purpose=purpose, outcome=outcome):
                if outcome is not Outcome.DONE:
                    self._closed(purpose)

    def _tell(self, action: Callable[..., None], *arguments: Any) -> None:
        if self.host is not None and self._pipe is not None:
            self._pipe.put(action, self.host, *arguments)

    def _became(self, role: str, clean: bool) -> None:
        self._quiescing = 0
        host = self.host
        if role == "member" or host is None:
            self._replace()
        elif role == "master":
            if host.assigned == "primary":
                self._replace()
            else:
                self._assign()
        elif not host.assigned or (clean and host.assigned == "primary"):
            self._assign()
        else:
            self._replace()

    def _replace(self) -> None:
        """Let the host's role go on in a new process, unless this one has none."""
        if self.host is not None and self.host.assigned:
            host, self.host = self.host, None
            self.place.kill_host(self, host)
            self._tell_health()

    def _assign(self) -> None:
        """Give the host the role that the record gives this node now."""
        record, host, role = self.monitor.record, self.host, self.monitor.role
        assert record is not None and host is not None
        page = self.page(record.term)
        if role == "master" and record.term != self._primary_term:
            self._primary_term = record.term
            host.assigned = "primary"
            self._tell(
                Host.assign, record.term, "primary", page, record.appointment, record.ready_vice, False
            )
            if record.vice is not None and not record.vice.ready:
                self._tell(Host.appoint, record.term, record.appointment)
            levels_ns = int(self.random.uniform(*LEVELS_NS))
            self.timer(self.scheduler.now_ns + levels_ns, self._serve, record.term)
        elif role == "vice":
            in_step = host.assigned == "primary"
            host.assigned = "secondary"
            self._appointment = record.appointment
            self._tell(
                Host.assign, record.term, "secondary", page, record.appointment, record.master, in_step
            )
            self._tell_health()

    def _serve(self, term: int) -> None:
        """The last level is complete."""
        if self.monitor.role == "master" and self.monitor.term == term and self.host is not None:
            self._tell(Host.serve, term)
            self.feed(cmm.Serving(now_ns=self.clock.now_ns, term=term))

    def _tell_health(self) -> None:
        host = self.host
        positions = {SERVICE: host.writer.journal.position} if host is not None else None
        healthy = not self._broken or self._broken != self._appointment
        self.feed(
            cmm.Health(
                now_ns=self.clock.now_ns,
                able=host is not None,
                healthy=healthy,
                appointment=self._appointment,
                positions=positions,
            )
        )

    def host_opened(self, host: Host) -> None:
        """A new host is ready for a role."""
        self.host = host
        self._pipe = Pipe(host, self.random)
        self._tell_health()
        if self.monitor.role != "member" and self.host is host:
            self._assign()

    def host_died(self, host: Host) -> None:
        """A host has ended: by this agent's will, or by itself."""
        if host is self.host:
            self.host = None
            if host.assigned == "secondary":
                self._broken = self._appointment
            self._tell_health()
            if self.monitor.role == "master" and self._primary_term == self.monitor.term:
                self._lost_term = self._primary_term
                self._rescue(self._lost_term)
        self.place.spawn_host(self)

    def _rescue(self, term: int) -> None:
        """The primary's process is lost: hand over at once; if nobody can take over, go on here in a new term."""
        if self.monitor.role == "master" and self.monitor.term == term == self._lost_term:
            self.feed(cmm.HandOver(now_ns=self.clock.now_ns, term=term, in_step=False, cause=LOST))

    def _closed(self, purpose: Purpose) -> None:
        """A swap of this master's own did not come to anything."""
        term = self.monitor.term
        if self._lost_term == term and self.monitor.role == "master":
            if self.monitor.volatile:
                self.place.give_up(self)  # what this node has on disk may lack what was acknowledged
            elif purpose is Purpose.HANDOVER:
                self.feed(cmm.Renew(now_ns=self.clock.now_ns, term=term, cause=LOST))
            elif purpose is Purpose.RENEW:
                self.timer(self.scheduler.now_ns + RETRY_NS, self._rescue, term)
        elif purpose is Purpose.HANDOVER and self._quiescing:
            self._quiescing = 0
            self._tell(Host.resume, term)

    # ---- what the host says ----

    def joined(self, term: int, appointment: int) -> None:
        """The vice has caught up, and every reply waits for it."""
        self.feed(cmm.Joined(now_ns=self.clock.now_ns, term=term, appointment=appointment))

    def stalled(self, term: int, appointment: int) -> None:
        """A reply has waited too long."""
        now_ns = self.clock.now_ns
        self.feed(cmm.Stalled(now_ns=now_ns, term=term, appointment=appointment, service=SERVICE))

    def quiesced(self, term: int) -> None:
        """Everything accepted is acknowledged."""
        if self._quiescing and term == self.monitor.term:
            cause = "an operator's switchover"
            self.feed(cmm.HandOver(now_ns=self.clock.now_ns, term=term, in_step=True, cause=cause))

    # ---- the operator ----

    def switch_over(self) -> None:
        """Hand mastership to the vice, in order, if that is possible now."""
        record = self.monitor.record
        if self._quiescing or self.monitor.role != "master" or record is None or record.ready_vice is None:
            return
        self._switchovers += 1
        self._quiescing = self._switchovers
        self._tell(Host.quiesce, record.term)
        self.timer(self.scheduler.now_ns + QUIESCE_NS, self._quiesced_too_long, self._quiescing)

    def _quiesced_too_long(self, number: int) -> None:
        if self._quiescing == number and self.monitor.swap is None:
            self._quiescing = 0
            self._tell(Host.resume, self.monitor.term)
