"""A simulated agent: the two machines of a node, the membership monitor and the services coordinator, and their driver.

Inputs of both machines go through one queue, so that each is taken whole before the next: an input, its effects in
order, and what those give rise to afterwards.  Nothing here decides anything; the machines do.  An agent may be stopped
between any two effects; what was left of them is done after the thaw, or never.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from primacy.machines import coordination as ssc
from primacy.machines import host_wire, membership, peer_wire
from primacy.machines.confirming import Confirming
from primacy.machines.coordination import Answer, Facts, facts_from
from primacy.machines.coordinator import Coordinator
from primacy.machines.events import Event
from primacy.machines.ids import Member
from primacy.machines.link_watch import LinkWatch
from primacy.machines.mastership import Monitor
from primacy.machines.membership import SwapAnswer
from primacy.machines.messages import Message, Obituary
from primacy.machines.records import CONFIG, MASTERSHIP, Mastership, decode_mastership
from primacy.sim.following import Following
from primacy.sim.host_process import HostProcess
from primacy.sim.line import Ledger
from primacy.sim.network import Stream
from primacy.sim.page import Page
from primacy.sim.place import Place
from primacy.sim.process import Pipe, Process
from primacy.sim.records import Keeper, Records
from primacy.sim.scheduler import Clock, Scheduler

_OF_COORDINATOR = frozenset(get_args(ssc.Effect))


class Agent(Process):
    """One life of a node's agent."""

    def __init__(
        self,
        member: Member,
        place: Place,
        monitor: Monitor,
        coordinator: Coordinator,
        scheduler: Scheduler,
        clock: Clock,
        ledger: Ledger,
        source: random.Random,
    ) -> None:
        super().__init__(f"agent of {member.node}", scheduler)
        self.member, self.place = member, place
        self.monitor, self.coordinator = monitor, coordinator
        self.clock, self.ledger, self.random = clock, ledger, source
        self.pages: dict[int, Page] = {}
        self.hosts: dict[str, tuple[HostProcess, Pipe]] = {}
        self.peers: dict[str, Stream] = {}
        self.records: Records
        self.keeper: Keeper
        self.following: Following
        silence_ns = monitor.timing.silence_ns
        self.links = LinkWatch(member.node, silence_ns, self.publish, self._members_changed)
        self.confirming = Confirming(
            monitor, self._read, lambda service, answer: self._tell_host(service, answer, None)
        )
        self._progress: peer_wire.Progress | None = None
        self._asked: dict[int, Callable[[Answer], None]] = {}
        self._asks = 0
        self._inputs: deque[membership.Input | ssc.Input] = deque()
        self._effects: deque[Any] = deque()
        self._obeying = False
        self._wake_ns = -1
        self._tick_ns = -1
        self._ssc_wake_ns = -1

    def start(self) -> None:
        """Begin: what is in maintenance, the watch, the first inputs."""
        self.keeper.start()
        self.ledger.watch(self.member.node, self._watched)
        self.feed(ssc.Started(now_ns=self.clock.now_ns))
        self.feed(membership.Tick(now_ns=self.clock.now_ns))

    # ---- the queue ----

    def feed(self, event: membership.Input | ssc.Input) -> None:
        """Give an input to its machine, after those given before."""
        self._inputs.append(event)
        self._go_on()

    def _go_on(self) -> None:
        if self._obeying:
            return
        self._obeying = True
        effects, inputs = self._effects, self._inputs
        while self.alive and not self.frozen:
            if effects:
                if self.stops and self.stopped_before(type(effects[0]).__name__):
                    break
                effect = effects.popleft()
                if type(effect) in _OF_COORDINATOR:
                    self._obey_coordinator(effect)
                else:
                    self._obey_monitor(effect)
            elif inputs:
                event = inputs.popleft()
                if isinstance(event, membership.Input):
                    effects.extend(self.monitor.step(event))
                else:
                    effects.extend(self.coordinator.step(event))
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
            self.feed(membership.Gap(now_ns=self.clock.now_ns))
        self.feed(membership.Tick(now_ns=self.clock.now_ns))

    # ---- effects of the monitor ----

    def _obey_monitor(self, effect: membership.Effect) -> None:
        match effect:
            case membership.Wake(at_ns=at_ns):
                self._wake(at_ns)
            case membership.Send(node=node, message=message):
                self.place.send(self, node, message)
            case membership.Greet(nodes=nodes, message=message):
                for node in nodes:
                    self.place.greet(self, node, message)
            case membership.Grant(term=term, until_ns=until_ns):
                self.page(term).valid_until_ns = until_ns
                self.place.granted(self, effect)
            case membership.Acknowledge(term=term):
                self.page(term).ack_term = term
                self.place.acknowledging(self, effect)
            case membership.Seal():
                for page in self.pages.values():
                    page.ack_term = 0
            case membership.Read():
                self._read(partial(self._learned, asked_ns=self.clock.now_ns), self._read_failed)
            case membership.SwapRecord(expect=expect, record=record, token=token):
                self.place.swapping(self, effect)
                self.ledger.swap(self.member.node, expect, record, self._answer(membership.Swapped, token))
            case membership.Publish(event=event):
                self.publish(event)
            case membership.ForceAnswered():
                pass  # the operator sees what came of it in the record
            case _:
                self.feed(ssc.Membership(now_ns=self.clock.now_ns, effect=effect))
                if isinstance(effect, membership.Adopted):
                    self._adopted(effect.record)

    def _adopted(self, record: Mastership) -> None:
        for term in [term for term in self.pages if term < record.term]:
            self.pages.pop(term).revoke()
        self._watch_links()

    def _watch_links(self) -> None:
        """A master hears every node, any other node its master."""
        monitor = self.monitor
        if monitor.role == "master":
            expected = frozenset(entry.id for entry in self.records.entries)
        else:
            expected = frozenset({monitor.record.master.node} if monitor.record is not None else ())
        self.links.watch(expected - {self.member.node}, monitor.term, self.clock.now_ns)

    def retimed(self, silence_ns: int) -> None:
        """The table has other times: so a node is silent after another while, and other nodes are heard."""
        self.links.retime(silence_ns)
        self._watch_links()

    def linked(self, up: bool) -> None:
        """An operator has taken all links of the node down, or up again."""
        now_ns = self.clock.now_ns
        if not up:
            self.links.taken_down(0, now_ns)
        self.feed(membership.Linked(now_ns=now_ns, up=up))

    def _members_changed(self) -> None:
        self.feed(ssc.MembersChanged(now_ns=self.clock.now_ns, nodes=self.links.members))

    def publish(self, event: Event) -> None:
        """Tell operators of an event."""
        self.place.published(self, event)

    def page(self, term: int) -> Page:
        """The lease page of a term, for all services."""
        return self.pages.setdefault(term, Page(term))

    # ---- effects of the coordinator ----

    def _obey_coordinator(self, effect: ssc.Effect) -> None:
        match effect:
            case ssc.ToHost(service=service, message=message, page_term=page_term):
                self._tell_host(service, message, self.page(page_term) if page_term is not None else None)
            case ssc.Feed(input=event):
                self.feed(event)
            case ssc.Publish(event=event):
                self.publish(event)
            case ssc.Spawn(service=service):
                self.place.spawn_host(self, service)
            case ssc.KillHost(service=service):
                self.place.kill_host(self, service)
            case ssc.TellNode(node=node, message=message):
                self._tell_node(node, message)
            case ssc.SwapKey(token=token, key=key, expect=expect, value=value):
                answer = self._answer(ssc.KeySwapped, token)
                self.ledger.swap_key(self.member.node, key, expect, value, answer)
            case ssc.EditTable(remove=node):
                self._edit_table(node)
            case ssc.Answer(id=number):
                self._asked.pop(number, _unheard)(effect)
            case ssc.Wake(at_ns=at_ns):
                self._ssc_wake_ns = at_ns
                self.timer(self.clock.true_ns(at_ns), self._ssc_tick, at_ns)
            case ssc.Abandon(reason=reason):
                self.place.give_up(self, reason)
            case ssc.End(reason=reason):
                self.place.ended(self, reason)

    def _edit_table(self, gone: str) -> None:
        """Take a node out of the table; the watch tells what came of it."""
        value, expect = self.records.without(gone), self.records.table_revision
        if value is not None and expect:
            self.ledger.swap_key(self.member.node, CONFIG, expect, value, lambda answer, revision: None)

    def _tell_host(self, service: str, message: host_wire.ToHost, page: Page | None) -> None:
        if service in self.hosts:
            host, pipe = self.hosts[service]
            self.place.ordered(host, message)
            pipe.put(host.hear, message, page)

    def _tell_node(self, node: str | None, message: peer_wire.ToCoordinator) -> None:
        if node is None and isinstance(message, peer_wire.Progress):
            self._progress = message
        for id, stream in self.peers.items():
            if node in (None, id):
                self._send(stream, message)

    def _send(self, stream: Stream, message: peer_wire.ToCoordinator) -> None:
        stream.send(self, self.peer(stream).peer_said, self.member, message)

    def peer(self, stream: Stream) -> Agent:
        """The agent at the other end of a stream."""
        other = stream.other(self)
        assert isinstance(other, Agent)
        return other

    # ---- what comes in ----

    def received(self, sender: Member, message: Message) -> None:
        """A datagram is here."""
        now_ns = self.clock.now_ns
        if sender.incarnation not in self.monitor.dead and not isinstance(message, Obituary):
            self.links.arrived(sender.node, 0, now_ns)
        self.feed(membership.Received(now_ns=now_ns, sender=sender, message=message))
        self.confirming.answer()
        if isinstance(message, Obituary) and message.member == sender:
            self.links.buried(sender.node, now_ns)

    def connected(self, node: str, stream: Stream) -> None:
        """There is a stream to the present life of another node's agent: it hears how far this one is."""
        self.peers[node] = stream
        if self._progress is not None:
            self._send(stream, self._progress)

    def stream_closed(self, stream: Stream) -> None:
        """The other end of a stream is gone."""
        for node in [node for node, known in self.peers.items() if known is stream]:
            del self.peers[node]

    def peer_said(self, member: Member, message: peer_wire.ToCoordinator) -> None:
        """Another agent's message is here."""
        now_ns, (node, life) = self.clock.now_ns, (member.node, member.incarnation)
        self.feed(ssc.PeerSaid(now_ns=now_ns, node=node, incarnation=life, message=message))

    def host_started(self, host: HostProcess, pipe: Pipe) -> None:
        """A host process runs: from now on it can be told something."""
        self.hosts[host.service] = (host, pipe)

    def host_said(self, host: HostProcess, message: host_wire.ToAgent) -> None:
        """A host's message is here."""
        if host.service in self.hosts and self.hosts[host.service][0] is host:
            self.place.heard(host, message)
            now_ns = self.clock.now_ns
            if isinstance(message, host_wire.Confirm):
                self.confirming.asked(host.service, message.id, now_ns)
                self.feed(membership.EchoWanted(now_ns=now_ns))
                self.confirming.answer()
                return
            self.feed(ssc.HostSaid(now_ns=now_ns, service=host.service, message=message))

    def host_exited(self, host: HostProcess, how: str) -> None:
        """A host has ended; everything that it had said came before."""
        if host.service in self.hosts and self.hosts[host.service][0] is host:
            del self.hosts[host.service]
            self.place.exited(host)
            self.feed(ssc.HostExited(now_ns=self.clock.now_ns, service=host.service, reason=how))

    # ---- the ledger ----

    def _watched(self, key: str, revision: int, value: bytes | None) -> None:
        self.deliver(self._told, key, revision, value)

    def _told(self, key: str, revision: int, value: bytes | None) -> None:
        if key == MASTERSHIP:
            assert value is not None
            self._learned(revision, decode_mastership(value), asked_ns=None)
            return
        self.keeper.given(key, revision, value)
        self.following.told(key, revision, value)
        before = self.records.entries
        self.records.told(key, revision, value)
        if self.records.entries != before:
            self._watch_links()

    def _learned(self, revision: int, record: Mastership | None, *, asked_ns: int | None) -> None:
        now_ns = self.clock.now_ns
        self.feed(membership.Learned(now_ns=now_ns, revision=revision, record=record, asked_ns=asked_ns))

    def _read(self, answer: Callable[[int, Mastership | None], None], failed: Callable[[], None]) -> None:
        """Ask the ledger for the mastership."""
        self.ledger.read(self.member.node, partial(self.deliver, answer), partial(self.deliver, failed))

    def _read_failed(self) -> None:
        self.feed(membership.ReadFailed(now_ns=self.clock.now_ns))

    def _answer(self, kind: Callable[..., Any], token: int) -> Callable[[SwapAnswer, int], None]:
        return lambda answer, revision: self.deliver(self._swapped, kind, token, answer, revision)

    def _swapped(self, kind: Callable[..., Any], token: int, answer: SwapAnswer, revision: int) -> None:
        self.feed(kind(now_ns=self.clock.now_ns, token=token, answer=answer, revision=revision))

    # ---- time ----

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
        now_ns = self.clock.now_ns
        if now_ns < self._wake_ns:
            self._wake(self._wake_ns)
        else:
            self.feed(membership.Tick(now_ns=now_ns))
            self.links.judge(now_ns)
            self.confirming.answer()

    def _ssc_tick(self, at_ns: int) -> None:
        if at_ns == self._ssc_wake_ns:
            self._ssc_wake_ns = -1
            self.feed(ssc.Tick(now_ns=self.clock.now_ns))

    # ---- operators ----

    def facts(self) -> Facts:
        """What the monitor knows now: the inputs of all preconditions."""
        monitor = self.monitor
        return facts_from(
            monitor.record,
            monitor.role,
            self.links.members,
            self.records.entries,
            lease_held=monitor.master.lease.held(self.clock.now_ns),
            swap_open=monitor.swap is not None,
        )

    def ask(self, verb: str, arguments: dict[str, Any], answered: Callable[[Answer], None]) -> None:
        """Ask this node's own coordinator for a function."""
        self._asks += 1
        self._asked[self._asks] = answered
        now_ns, facts = self.clock.now_ns, self.facts()
        self.feed(ssc.Asked(now_ns=now_ns, id=self._asks, verb=verb, arguments=arguments, facts=facts))

    def depart(self, reason: str) -> None:
        """Leave in order, on the system's word."""
        self.feed(ssc.Terminate(now_ns=self.clock.now_ns, reason=reason, facts=self.facts()))


def _unheard(answer: Answer) -> None:
    """Nobody waits for it any more."""
