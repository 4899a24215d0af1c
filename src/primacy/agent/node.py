"""One agent: the two machines of a node, the membership monitor and the services coordinator, and their driver.

Inputs of both machines go through one queue, so that each is taken whole before the next: an input, its effects in
order, and what those give rise to afterwards.  Nothing here decides anything; the machines do.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from primacy import config_beginning
from primacy.agent import build, failure_file, moving, recording
from primacy.agent.clock import Clock
from primacy.agent.eventlog import EventLog
from primacy.agent.guardian_link import GuardianLink
from primacy.agent.hosts import Hosts
from primacy.agent.last_words import LastWords
from primacy.agent.ledger_line import LedgerLine
from primacy.agent.maintenance import Keeper
from primacy.agent.peers import PeerStreams
from primacy.agent.records import Records
from primacy.boot import Boot
from primacy.cgtp.datagram import DatagramPort
from primacy.config import Table
from primacy.errors import WireError
from primacy.lease_page import now_ns
from primacy.ledger.api import Ledger
from primacy.machines import coordination, host_wire, membership, messages, peer_wire
from primacy.machines.confirming import Confirming
from primacy.machines.events import Event
from primacy.machines.events_node import LedgerChanged, NodeStarted, SchedulingGap
from primacy.machines.ids import MS, Member
from primacy.machines.link_watch import LinkWatch
from primacy.machines.membership import NodeEntry
from primacy.machines.records import Mastership

HEALTH_S = 1.0
EXIT_ABANDONED = 71
LAST_EVENTS_S = 0.1  # how long a life that ends waits for its disk, that its last events can be read
Outcome = tuple[str, Any, list[str]]  # (kind, result, reasons)


class Node:
    """The agent of one node. `ended` is set at its end: in order, or `refused`, as a host must not start here."""

    def __init__(
        self,
        boot: Boot,
        table: Table,
        cluster: str,
        entries: tuple[NodeEntry, ...],
        ledger: Ledger,
        guardian: GuardianLink,
        tls_client: Any,
        cluster_key: bytes,
    ) -> None:
        self.boot, self.table, self.cluster = boot, table, cluster
        self.me = Member(boot.node, os.urandom(16).hex())
        self.started_ns = now_ns()
        self.ended = asyncio.Event()
        self.reason = self.then = ""
        self.refused = self.renewing = False
        self.opened: set[str] = set()
        self.events = EventLog(self.me, Path(boot.directory) / "events.jsonl")
        self.guardian = guardian
        self.hosts = Hosts(guardian, cluster, boot.directory, self._host_said, self._host_exited)
        self.ledger = LedgerLine(ledger, self._ledger_changed)
        self.records = Records(table, entries, self.ledger, self.post)
        failures = failure_file.take(Path(boot.directory))
        beginning = config_beginning.beginning(self.me, cluster, table, entries, self.started_ns, failures)
        self.recorder = recording.begin(boot, beginning, self.publish)
        self.monitor, self.coordinator = beginning.monitor(), beginning.coordinator()
        self.confirming = Confirming(
            self.monitor, self.ledger.read, lambda service, answer: self.hosts.tell(service, answer, None)
        )
        addresses = {n: table.agent_addresses(n) for n in table.nodes}
        self.port = DatagramPort(
            node=self.me.node,
            incarnation=self.me.incarnation,
            links=addresses[self.me.node],
            cluster_key=cluster_key,
            on_datagram=self._datagram,
            on_hello=self._hello,
            on_arrival=self._arrival,
        )
        self.last_words = LastWords(self.me, addresses[self.me.node], guardian, self.port)
        self.links = LinkWatch(self.me.node, table.times.silence_ns, self.publish, self._members_changed)
        self.links_down: set[int] = set()
        own = self.own_addresses = addresses[self.me.node]
        self.peers = PeerStreams(self.me, tls_client, self._keys, self._peer_said, self._answer_peer, own)
        self.records.on_nodes = self.meet
        self.meet(entries)
        self.answer_peer: Callable[[str, str, dict[str, Any]], Any] = _nobody
        self.on_answer: Callable[[coordination.Answer], None] = lambda answer: None
        self.on_forced: Callable[[membership.ForceAnswered], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None
        self.on_link: Callable[[int, bool], None] = lambda index, up: None
        self.refused_connections: Callable[[], int] = lambda: 0
        self.garbage_frames = 0
        self._queue: deque[membership.Input | coordination.Input] = deque()
        self._running = False
        self._health_timer: asyncio.TimerHandle | None = None
        self.progress: dict[str, host_wire.Progress] = {}  # the last of each host
        self._loop = asyncio.get_running_loop()
        self.clock = Clock(
            table.times.beat_ns,
            self._timer_fired,
            lambda: self.post(coordination.Tick(now_ns=now_ns())),
        )
        directory = Path(boot.directory)
        in_term = lambda event: self.publish(msgspec.structs.replace(event, term=self.monitor.term))  # noqa: E731
        self.maintenance = Keeper(self.me.node, directory, self.ledger.swap_key, self.post, in_term)
        self.records.on_other.append(self.maintenance.given)

    def start(self) -> None:
        """Begin: everything is connected."""
        self.publish(NodeStarted(node=self.me.node, incarnation=self.me.incarnation))
        self.maintenance.start()
        self.records.start()
        self.post(coordination.Started(now_ns=now_ns()))
        self.post(membership.Tick(now_ns=now_ns()))
        self._health_timer = self._loop.call_later(HEALTH_S, self._check_health)

    # ---- the queue ----

    def post(self, event: membership.Input | coordination.Input) -> None:
        """Give an input to its machine, after those given before."""
        self._queue.append(event)
        if self._running:
            return
        self._running = True
        self._notice_gap()
        try:
            while self._queue:
                item = self._queue.popleft()
                if isinstance(item, membership.Input):
                    for order in self.recorder.kept(item, self.monitor.step(item)):
                        self._obey_monitor(order)
                else:
                    for effect in self.recorder.kept(item, self.coordinator.step(item)):
                        self._obey_coordinator(effect)
        except Exception as error:  # a machine that broke off is in no state to go on: the agent ends
            self.recorder.broke_off(item, error, LAST_EVENTS_S)
            self._loop.call_exception_handler({"message": "a step broke off", "exception": error})
            raise
        finally:
            self._running = False

    def publish(self, event: Event) -> None:
        """Keep, write and push an event; changes are told to those who watch the topology."""
        self.events.publish(event)
        self.on_change()

    # ---- effects of the monitor ----

    def _obey_monitor(self, effect: membership.Effect) -> None:
        match effect:
            case membership.Send(node=node, message=message):
                self.port.send(node, messages.encode(message))
            case membership.Wake(at_ns=at_ns):
                self.clock.wake_monitor(at_ns)
            case membership.Grant(term=term, until_ns=until_ns):
                self.hosts.pages.grant(term, until_ns)
            case membership.Acknowledge(term=term):
                self.hosts.pages.acknowledge(term)
            case membership.Seal():
                self.hosts.pages.seal()
            case membership.Greet(nodes=nodes, message=message):
                self._greet(nodes, message)
            case membership.Read():
                self.records.read()
            case membership.SwapRecord(expect=expect, record=record, token=token):
                self.records.swap(expect, record, token)
            case membership.Publish(event=event):
                self.publish(event)
            case membership.Adopted(record=record):
                self._adopted(record)
                self.post(coordination.Membership(now_ns=now_ns(), effect=effect))
                self.watch_links()  # a former master hears fewer nodes: it knows first that it is none
            case membership.ForceAnswered():
                self.on_forced(effect)
            case _:
                self.post(coordination.Membership(now_ns=now_ns(), effect=effect))

    def _adopted(self, record: Mastership) -> None:
        """Pages of older terms are over; as vice, ask for those of the next term in advance."""
        self.hosts.pages.forget_before(record.term)
        if record.is_vice(self.me) or record.is_master(self.me):
            for server in self.coordinator.servers.centralized:
                self.hosts.pages.want(server.service, record.term)
                self.hosts.pages.want(server.service, record.term + 1)
        self.on_change()

    def _greet(self, nodes: tuple[str, ...], hello: messages.Hello) -> None:
        payload = messages.encode(hello)
        self.port.hello(moving.hello_addresses(self, nodes), payload)

    def _timer_fired(self) -> None:
        self.post(membership.Tick(now_ns=now_ns()))
        self.links.judge(now_ns())
        self.confirming.answer()

    def _notice_gap(self) -> None:
        """Before any input: was this agent late itself? Then it hears first what has waited, and judges afterwards."""
        late_ns = self.clock.gap_ns()
        if late_ns:
            self._queue.appendleft(membership.Gap(now_ns=self._queue[0].now_ns))
            self.port.drain()
            self.publish(SchedulingGap(term=self.monitor.term, node=self.me.node, gap_ms=late_ns / MS))

    # ---- effects of the coordinator ----

    def _obey_coordinator(self, effect: coordination.Effect) -> None:
        match effect:
            case coordination.ToHost(service=service, message=message, page_term=page_term):
                self.hosts.tell(service, message, page_term)
            case coordination.Feed(input=event):
                self.post(event)
            case coordination.Publish(event=event):
                self.publish(event)
            case coordination.Spawn(service=service):
                opening = build.opening(self.me, self.cluster, self.boot, self.table, service)
                self.hosts.spawn(opening, now_ns())
            case coordination.KillHost(service=service):
                self.hosts.kill(service)
            case coordination.TellNode(node=node, message=message):
                self.peers.tell(node, message)
            case coordination.SwapKey():
                self.records.swap_key(effect)
            case coordination.EditTable():
                self.records.edit(effect)
            case coordination.Answer():
                self.on_answer(effect)
            case coordination.Wake(at_ns=at_ns):
                self.clock.wake_coordinator(at_ns)
            case coordination.Abandon(reason=reason):
                sys.stderr.write(f"agent: this life of the node ends: {reason}\n")
                failure_file.keep(Path(self.boot.directory), self.coordinator.recovery.counts())
                self.recorder.close(f"this life ended: {reason}", LAST_EVENTS_S)
                self.events.close(LAST_EVENTS_S)
                os._exit(EXIT_ABANDONED)
            case coordination.End(reason=reason, then=then):
                self.reason, self.then = reason, then
                self.ended.set()

    # ---- what comes in ----

    def _host_said(self, service: str, message: host_wire.ToAgent) -> None:
        if isinstance(message, host_wire.Confirm):
            self.confirming.asked(service, message.id, now_ns())
            self.post(membership.EchoWanted(now_ns=now_ns()))
            self.confirming.answer()
        else:
            if isinstance(message, host_wire.Progress):
                self.progress[service] = message
            elif isinstance(message, host_wire.Failed):
                sys.stderr.write(f"agent: the host of {service}: {message.text}\n")
                if message.kind == host_wire.REFUSED and service not in self.opened:
                    self.refused = True
                    self.ended.set()
            elif isinstance(message, host_wire.Opened):
                self.opened.add(service)
            self.post(coordination.HostSaid(now_ns=now_ns(), service=service, message=message))

    def _host_exited(self, service: str, how: str) -> None:
        self.progress.pop(service, None)
        self.post(coordination.HostExited(now_ns=now_ns(), service=service, reason=how))

    def _datagram(self, node: str, incarnation: str, payload: bytes, _: int) -> None:
        try:
            message = messages.decode(payload)
        except WireError:
            return
        sender = Member(node, incarnation)
        self.post(membership.Received(now_ns=now_ns(), sender=sender, message=message))
        if isinstance(message, messages.Echo):
            self.confirming.answer()
        if isinstance(message, messages.Obituary) and message.member == sender:
            self.links.buried(node, now_ns())

    def _hello(self, payload: bytes, _: int) -> None:
        try:
            message = messages.decode(payload)
        except WireError:
            return
        if isinstance(message, messages.Hello):
            self.post(membership.Received(now_ns=now_ns(), sender=message.member, message=message))

    def _arrival(self, node: str, incarnation: str, link: int) -> None:
        if incarnation not in self.monitor.dead:  # the other copies of an obituary are no signs of life
            self.links.arrived(node, link, now_ns())

    def _keys(
        self, member: Member, addresses: list[tuple[str, int]], send_key: bytes, receive_key: bytes
    ) -> None:
        moving.settled(self, member.node)
        to = moving.counterparts(self, member.node, addresses)
        self.port.set_peer(member.node, member.incarnation, to, send_key, receive_key)
        self.last_words.seal_for(member.node)
        self.post(membership.Tick(now_ns=now_ns()))

    def _peer_said(self, member: Member, message: peer_wire.ToCoordinator) -> None:
        now, (node, life) = now_ns(), (member.node, member.incarnation)
        self.post(coordination.PeerSaid(now_ns=now, node=node, incarnation=life, message=message))

    async def _answer_peer(self, node: str, verb: str, arguments: dict[str, Any]) -> Outcome:
        result: Outcome = await self.answer_peer(node, verb, arguments)
        return result

    def _ledger_changed(self, available: bool, reason: str) -> None:
        self.publish(
            LedgerChanged(term=self.monitor.term, node=self.me.node, available=available, reason=reason)
        )

    # ---- links and members ----

    def watch_links(self) -> None:
        """A master hears every node, any other node its master."""
        monitor = self.monitor
        if monitor.role == "master":
            expected = frozenset(self.table.nodes) - {self.me.node}
        else:
            expected = frozenset({monitor.record.master.node} if monitor.record is not None else ())
        self.links.watch(expected - {self.me.node}, monitor.term, now_ns())

    def meet(self, entries: tuple[NodeEntry, ...]) -> None:
        """Keep a stream with every node that may be master, or with all of them if this one may."""
        in_force = self.records.table
        addresses = {n: in_force.agent_addresses(n) for n in in_force.nodes}
        self.peers.start(addresses, {entry.id for entry in entries if entry.eligible})

    def _members_changed(self) -> None:
        self.post(coordination.MembersChanged(now_ns=now_ns(), nodes=self.links.members))
        self.on_change()

    @property
    def members(self) -> tuple[str, ...]:
        """The nodes that this node can reach now, itself included: all of them at the master."""
        return self.links.members

    def eligible(self, node: str) -> bool:
        """Whether a node may have a role, by its record."""
        return any(e.id == node and e.eligible for e in self.records.entries)

    def set_link(self, index: int, up: bool) -> None:
        """An operator takes a link of this node down (all its traffic is dropped, both ways) or up."""
        (self.links_down.discard if up else self.links_down.add)(index)
        self.port.set_link(index, up)
        self.peers.set_link(index, up)
        self.on_link(index, up)
        self.hosts.tell_all(host_wire.LinkState(index, up))
        self.last_words.set_link(index, up)
        if not up:
            self.links.taken_down(index, now_ns())
        linked = len(self.links_down) < len(self.table.nodes[self.me.node].links)
        self.post(membership.Linked(now_ns=now_ns(), up=linked))

    def _check_health(self) -> None:
        self.hosts.check_health(now_ns())
        self._health_timer = self._loop.call_later(HEALTH_S, self._check_health)

    # ---- the end ----

    def renew(self, reason: str) -> None:
        """Leave in order, and begin a new life with the table that stands then."""
        self.renewing = True
        self.depart(reason)

    def depart(self, reason: str) -> None:
        """Leave in order, on the system's word."""
        self.post(coordination.Terminate(now_ns=now_ns(), reason=reason, facts=self.facts()))

    def facts(self) -> coordination.Facts:
        """What the monitor knows now: the inputs of all preconditions."""
        return build.facts(self.monitor, self.members, self.records.entries, now_ns())

    async def close(self) -> None:
        """Close everything; hosts have ended before."""
        self.clock.stop()
        self.maintenance.close()
        if self._health_timer is not None:
            self._health_timer.cancel()
        self.port.close()
        self.hosts.close()
        await self.peers.close()
        await self.ledger.close()
        self.recorder.close("the agent ended in order")
        self.events.close()


async def _nobody(node: str, verb: str, arguments: dict[str, Any]) -> Outcome:
    return "failed", None, [f"{verb}: the agent is not ready yet"]
