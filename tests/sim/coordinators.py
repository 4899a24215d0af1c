"""Whole nodes but for their sockets, disks and processes: monitors and coordinators of a cluster in virtual time.

The very machines that run in production, one network with a millisecond on the way, one ledger with two, and hosts that
open, run callbacks, quiesce and mirror as told. Nodes crash (their obituary follows) and lose their power (silence).
What the data path does is not here: that is checked by `primacy.sim`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from primacy.errors import Conflict
from primacy.ledger.memory import Store
from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import membership as m
from primacy.machines import messages
from primacy.machines.coordinator import Coordinator
from primacy.machines.events import Event
from primacy.machines.ids import MS, SECOND, Member
from primacy.machines.mastership import Monitor
from primacy.machines.membership import NodeEntry
from primacy.machines.records import (
    MASTERSHIP,
    NODES,
    NodeRecord,
    Operations,
    decode_mastership,
    decode_node,
    decode_operations,
    encode,
)
from primacy.machines.timing import PROFILES
from primacy.sim.scheduler import Scheduler

WIRE_NS, LEDGER_NS, OPEN_NS, CALLBACK_NS, OBITUARY_NS = MS, 2 * MS, 20 * MS, 10 * MS, 5 * MS
TIMING = PROFILES["carrier"]
SERVICES = (c.ServiceEntry("naming"), c.ServiceEntry("stock"), c.ServiceEntry("door", local=True))
FUNCTIONS = ("qualify", "promote", "demote", "disqualify", "remove", "shutdown", "switchover", "failover")
CALLBACKS = {
    s: [h.Callback(f, level, f"{f}-{level}") for f in FUNCTIONS for level in (1, 2)]
    for s in ("naming", "stock")
}

Hook = Callable[["Node", h.Run], None]


@dataclass
class Host:
    """The process of one service: what it is, and which life of it this is."""

    life: int = 0
    term: int = 0
    primary: bool = False
    alone: bool = True
    dead: bool = False


@dataclass
class Node:
    """One node: its machines while it lives, and what it has told."""

    id: str
    alive: bool = False
    life: int = 0
    monitor: Monitor = field(init=False)
    ssc: Coordinator = field(init=False)
    hosts: dict[str, Host] = field(default_factory=dict)
    wakes: dict[str, int] = field(default_factory=dict)
    heard: tuple[str, ...] = ()
    queue: list[Any] = field(default_factory=list)
    running: bool = False

    @property
    def member(self) -> Member:
        """This life of the node."""
        return Member(self.id, f"{self.id}-{self.life}")


class World:
    """A cluster. on_run: called when a host begins a callback; the place where a test lets somebody die."""

    def __init__(self, entries: tuple[NodeEntry, ...], on_run: Hook = lambda node, run: None) -> None:
        self.scheduler = Scheduler()
        self.store = Store("c")
        self.table = {e.id: e for e in entries}
        self.nodes = {e.id: Node(e.id) for e in entries}
        self.on_run = on_run
        self.events: list[tuple[str, Event]] = []
        self.answers: dict[int, c.Answer] = {}
        self._asks = 0
        self.store.listen(self._written)
        for node in self.nodes.values():
            self.start(node)

    @property
    def now_ns(self) -> int:
        """Virtual time; all clocks show it."""
        return self.scheduler.now_ns + SECOND

    def run(self, s: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, or less when the condition holds."""
        self.scheduler.run(self.scheduler.now_ns + int(s * SECOND), until)

    # ---- lives ----

    def start(self, node: Node) -> None:
        """Begin a life of a node."""
        node.alive, node.life, node.hosts, node.wakes = True, node.life + 1, {}, {}
        node.queue, node.running = [], False
        entries = self.entries()
        self._bear(node, entries)
        self.post(node, c.Started(now_ns=self.now_ns))
        self.post(node, m.Tick(now_ns=self.now_ns))
        for entry in self.store.read("")[1]:
            self._told(node, node.life, entry.key, entry.revision, entry.value)
        self._meet()

    def _bear(self, node: Node, entries: tuple[NodeEntry, ...]) -> None:
        """Make the two machines of a life that begins."""
        node.monitor = Monitor(node.member, "c", TIMING, entries, self.now_ns)
        addresses = {n: {"naming": [("h", 1)], "stock": [("h", 2)]} for n in self.table}
        node.ssc = Coordinator(
            node.member, SERVICES, addresses, self.now_ns, nodes=entries, auto_promote=False
        )

    def crash(self, node: Node) -> None:
        """All processes of a node die, and its guardian says so."""
        member = node.member
        self.power(node)
        for other in self.nodes.values():
            self._later(other, OBITUARY_NS, m.Received, sender=member, message=messages.Obituary(member))

    def power(self, node: Node) -> None:
        """A node falls silent for ever."""
        node.alive = False
        self.scheduler.after(TIMING.silence_ns, self._meet)

    def _meet(self) -> None:
        """The master hears all nodes, any other node its master."""
        for node in self.nodes.values():
            if not node.alive:
                continue
            master = node.monitor.record.master.node if node.monitor.record is not None else ""
            others = [n for n in self.nodes.values() if n.alive and n is not node]
            if node.monitor.role != "master":
                others = [n for n in others if n.id == master]
            heard = tuple(sorted([node.id, *(n.id for n in others)]))
            if heard != node.heard:
                node.heard = heard
                self.post(node, c.MembersChanged(now_ns=self.now_ns, nodes=heard))

    # ---- inputs ----

    def post(self, node: Node, event: Any) -> None:
        """Give an input to its machine, after those given before."""
        node.queue.append(event)
        if node.running or not node.alive:
            return
        node.running, life = True, node.life
        while node.queue and node.alive and node.life == life:
            item = node.queue.pop(0)
            machine = node.monitor if isinstance(item, m.Input) else node.ssc
            for effect in machine.step(item):
                if node.alive and node.life == life:
                    self._obey(node, effect)
        if node.life == life:
            node.running = False

    def ask(self, at: Node, verb: str, operation: str, **arguments: Any) -> int:
        """Ask the coordinator of a node; the answer will be in `answers` under the returned number."""
        self._asks += 1
        arguments = {"operation": operation, "reason": "a test"} | arguments
        facts = self._facts(at)
        event = c.Asked(now_ns=self.now_ns, id=self._asks, verb=verb, arguments=arguments, facts=facts)
        self.post(at, event)
        return self._asks

    def _later(self, to: Node, delay_ns: int, kind: type, **fields: Any) -> None:
        """Give an input to this life of a node after a while."""
        life = to.life

        def give() -> None:
            if to.alive and to.life == life:
                self.post(to, kind(now_ns=self.now_ns, **fields))

        self.scheduler.after(delay_ns, give)

    # ---- the ledger ----

    def entries(self) -> tuple[NodeEntry, ...]:
        """The table with its records."""
        found = []
        records = {e.key.removeprefix(NODES): e.value for e in self.store.read(NODES)[1]}
        for node, entry in sorted(self.table.items()):
            record = decode_node(records[node], node) if node in records else None
            if record is not None:
                entry = msgspec.structs.replace(entry, eligible=record.eligible, available=record.available)
            found.append(entry)
        return tuple(found)

    @property
    def operations(self) -> Operations:
        """The function in progress and those that ended."""
        found = self.store.read("operation")[1]
        return decode_operations(found[0].value) if found else Operations()

    def _written(self) -> None:
        change = self.store.changes_since("", self.store.revision - 1)[-1]
        for node in self.nodes.values():
            self.scheduler.after(
                LEDGER_NS, self._told, node, node.life, change.key, change.revision, change.value
            )

    def _told(self, node: Node, life: int, key: str, revision: int, value: bytes | None) -> None:
        if not node.alive or node.life != life:
            return
        if key == MASTERSHIP and value is not None:
            self.post(node, m.Learned(now_ns=self.now_ns, revision=revision, record=decode_mastership(value)))
            return
        if key.startswith(NODES):
            self._table_told(node)
        self.post(node, c.RecordChanged(now_ns=self.now_ns, key=key, revision=revision, value=value))

    def _table_told(self, node: Node) -> None:
        self.post(node, m.TableChanged(now_ns=self.now_ns, nodes=self.entries()))
        self.post(node, c.NodesChanged(now_ns=self.now_ns, nodes=self.entries()))

    def _swap(self, key: str, value: bytes | None, expect: int) -> tuple[m.SwapAnswer, int]:
        try:
            return m.SwapAnswer.DONE, self.store.swap(key, value, expect)
        except Conflict:
            return m.SwapAnswer.CONFLICT, 0

    def _read(self, node: Node) -> None:
        asked_ns, found = self.now_ns, self.store.read(MASTERSHIP)[1]
        revision, record = (found[0].revision, decode_mastership(found[0].value)) if found else (0, None)
        self._later(node, LEDGER_NS, m.Learned, revision=revision, record=record, asked_ns=asked_ns)

    # ---- effects ----

    def _obey(self, node: Node, effect: Any) -> None:
        match effect:
            case m.Send(node=to, message=message):
                self._datagram(node, to, message)
            case m.Greet(nodes=nodes, message=message):
                for to in nodes:
                    self._datagram(node, to, message)
            case m.Wake(at_ns=at_ns) | c.Wake(at_ns=at_ns):
                self._wake(node, m.Tick if isinstance(effect, m.Wake) else c.Tick, at_ns)
            case m.Read():
                self._read(node)
            case m.SwapRecord(expect=expect, record=record, token=token):
                answer, revision = self._swap(MASTERSHIP, encode(record), expect)
                self._later(node, LEDGER_NS, m.Swapped, token=token, answer=answer, revision=revision)
            case c.SwapKey(key=key, expect=expect, value=value, token=token):
                answer, revision = self._swap(key, value, expect)
                self._later(node, LEDGER_NS, c.KeySwapped, token=token, answer=answer, revision=revision)
            case c.EditTable(remove=gone):
                self.table.pop(gone, None)
                for other in self.nodes.values():
                    self._table_told(other)
            case m.Publish(event=event) | c.Publish(event=event):
                self.events.append((node.id, event))
            case c.Feed(input=event):
                self.post(node, event)
            case c.TellNode(node=to, message=message):
                self._tell(node, to, message)
            case c.Answer(id=number):
                self.answers[number] = effect
            case c.End():
                self.crash(node)
            case c.Abandon():
                self.crash(node)
            case c.Spawn(service=service):
                self._spawn(node, service)
            case c.KillHost(service=service):
                self._end_host(node, service)
            case c.ToHost(service=service, message=message):
                self._host(node, service, message)
            case m.Grant() | m.Acknowledge() | m.Seal():
                pass
            case _:
                self.post(node, c.Membership(now_ns=self.now_ns, effect=effect))
                if isinstance(effect, m.Adopted):
                    self._meet()

    def _datagram(self, node: Node, to: str, message: messages.Message) -> None:
        self._later(self.nodes[to], WIRE_NS, m.Received, sender=node.member, message=message)

    def _tell(self, node: Node, to: str | None, message: Any) -> None:
        for other in self.nodes.values():
            if other is not node and to in (None, other.id):
                told = {"node": node.id, "incarnation": node.member.incarnation, "message": message}
                self._later(other, WIRE_NS, c.PeerSaid, **told)

    def _wake(self, node: Node, kind: type, at_ns: int) -> None:
        node.wakes[kind.__module__] = at_ns
        life = node.life

        def due() -> None:
            if node.alive and node.life == life and node.wakes.get(kind.__module__) == at_ns:
                self.post(node, kind(now_ns=self.now_ns))

        self.scheduler.at(max(at_ns - SECOND, self.scheduler.now_ns), due)

    def _facts(self, node: Node) -> c.Facts:
        record = node.monitor.record
        vice = record.vice if record is not None else None
        return c.Facts(
            role=node.monitor.role,
            term=node.monitor.term,
            master=record.master.node if record is not None else "",
            vice=vice.node if vice is not None else "",
            vice_ready=vice is not None and vice.ready,
            lease_held=node.monitor.master.lease.held(self.now_ns),
            swap_open=node.monitor.swap is not None,
            members=node.heard,
            nodes=self.entries(),
        )

    # ---- hosts ----

    def _spawn(self, node: Node, service: str) -> None:
        host = node.hosts[service] = Host(life=node.hosts.get(service, Host()).life + 1)
        opened = h.Opened(service, CALLBACKS.get(service, []), 0, 0)
        self._says(node, service, host, OPEN_NS, opened)

    def _end_host(self, node: Node, service: str) -> None:
        host = node.hosts.get(service, Host())
        host.life += 1
        self._later(node, WIRE_NS, c.HostExited, service=service, reason="was ended by signal 9")

    def _says(self, node: Node, service: str, host: Host, delay_ns: int, message: h.ToAgent) -> None:
        life, process = node.life, host.life

        def say() -> None:
            if node.alive and (node.life, node.hosts.get(service), host.life) == (life, host, process):
                self.post(node, c.HostSaid(now_ns=self.now_ns, service=service, message=message))

        self.scheduler.after(delay_ns, say)

    def _host(self, node: Node, service: str, message: h.ToHost) -> None:
        host = node.hosts.get(service)
        if host is None:
            return
        match message:
            case h.Run(id=run):
                self._says(node, service, host, CALLBACK_NS, h.Ran(run, "done"))
                self.on_run(node, message)
            case h.Quiesce(term=term):
                self._says(node, service, host, WIRE_NS, h.Quiesced(term, 7, term))
            case h.Appoint(term=term, appointment=appointment):
                self._says(node, service, host, 5 * MS, h.Joined(term, appointment, 7))
            case h.Assign(term=term, role="primary", appointment=appointment) if appointment:
                self._says(node, service, host, 5 * MS, h.Joined(term, appointment, 7))
            case h.Stop():
                self._says(node, service, host, WIRE_NS, h.Stopped(1, 7))
                self._end_host(node, service)


__all__ = ["FUNCTIONS", "Node", "NodeRecord", "World"]
