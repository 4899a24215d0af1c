"""Coordinators under everything at once: failing servers, maintenance, a ledger that is away, two operators, restarts.

`Mixed` adds to the cluster in virtual time what the plain one lacks, and keeps a book on it: every request with its
answers, every operation with its outcome and whether that was true when it was written, every new mastership with what
made it. `troubles` of the book is empty as long as nothing was wrong; `unrest` says what is not at rest at the end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines import maintenance
from primacy.machines import membership as m
from primacy.machines.coordinator import Coordinator
from primacy.machines.events import InService
from primacy.machines.failback import Failback, gave_up
from primacy.machines.ids import MS, SECOND
from primacy.machines.ladder import rung_of
from primacy.machines.last_resort import Witness
from primacy.machines.mastership import Monitor
from primacy.machines.membership import NodeEntry
from primacy.machines.records import MASTERSHIP, OPERATION, Mastership, Operation, decode_mastership
from tests.sim.coordinators import FUNCTIONS, LEDGER_NS, OPEN_NS, TIMING, WIRE_NS, Host, Node, World

BECOMES = {"qualify": "spare", "promote": "available", "demote": "spare", "disqualify": "ineligible"}
FAILBACK_LOOK_NS = SECOND
KNOWN_NS = 100 * MS  # by then every living node knows what the ledger says


@dataclass
class Book:
    """What happened, and what was wrong with it."""

    troubles: list[str] = field(default_factory=list)
    asked: dict[int, tuple[str, int]] = field(default_factory=dict)  # request: node and its life
    answers: dict[int, int] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)  # id: outcome
    began: dict[str, str] = field(default_factory=dict)  # id: rung of its node at that time
    masters: dict[int, str] = field(default_factory=dict)  # term: node
    spawned: int = 0
    held_since_ns: int = 0  # maintenance of the cluster is on since; 0: it is not
    leaving: dict[str, int] = field(default_factory=dict)  # node: the life that was told to leave
    served: set[int] = field(default_factory=set)  # terms


@dataclass
class Options:
    """What sort of cluster it is."""

    services: tuple[c.ServiceEntry, ...]
    policies: dict[str, str] = field(default_factory=dict)  # callback's name: what its failure means
    failback: bool = False
    volatile: bool = False


class Mixed(World):
    """broken: servers that die again and again as primary; failing: how a callback of a server ends; away: until when
    the ledger does not answer."""

    def __init__(self, entries: tuple[NodeEntry, ...], options: Options, source: random.Random) -> None:
        self.options, self.source, self.book = options, source, Book()
        self.broken: set[tuple[str, str]] = set()
        self.failing: dict[tuple[str, str], str] = {}
        self.away_until_ns = 0
        self.disk: dict[tuple[str, str], tuple[int, int]] = {}
        self.failures: dict[str, dict[str, tuple[int, int]]] = {}
        self.maintained: dict[str, maintenance.Maintenance] = {}
        self.down: set[str] = set()  # left in order: nobody starts it but an operator
        self._last: Mastership | None = None
        self._failbacks: dict[str, Failback] = {}
        super().__init__(entries)
        self.scheduler.after(FAILBACK_LOOK_NS, self._look)

    # ---- lives ----

    def _bear(self, node: Node, entries: tuple[NodeEntry, ...]) -> None:
        services = self.options.services
        volatile = any(s.volatile for s in services)
        node.monitor = Monitor(node.member, "c", TIMING, entries, self.now_ns, volatile=volatile)
        addresses = {n: {s.id: [("h", 1)] for s in services} for n in self.table}
        node.ssc = Coordinator(
            node.member,
            services,
            addresses,
            self.now_ns,
            nodes=entries,
            auto_promote=True,
            failures=self.failures.pop(node.id, None),
        )
        self.down.discard(node.id)
        self.maintained[node.id] = maintenance.Maintenance(node.id)

    def crash(self, node: Node) -> None:
        """Its guardian starts it again, if it did not leave in order."""
        super().crash(node)
        if node.id not in self.down:
            self.again(node)

    def again(self, node: Node) -> None:
        life = node.life
        delay_ns = int(self.source.choice((20, 100, 400, 1500, 4000)) * MS)

        def begin() -> None:
            if not node.alive and node.life == life and node.id in self.table:
                self.start(node)

        self.scheduler.after(delay_ns, begin)

    def leave(self, node: Node) -> None:
        """The system tells a node to leave (SIGTERM)."""
        if node.alive:
            self.book.leaving[node.id] = node.life
            self.post(
                node, c.Terminate(now_ns=self.now_ns, reason="the system says so", facts=self._facts(node))
            )

    # ---- operators ----

    def ask(self, at: Node, verb: str, operation: str, **arguments: Any) -> int:
        number = self._asks + 1
        self.book.asked[number] = (at.id, at.life)
        subject = arguments.get("node")
        if subject in self.table:
            self.book.began[operation] = rung_of(next(e for e in self.entries() if e.id == subject))
            arguments["life"] = self.nodes[subject].member.incarnation
        return super().ask(at, verb, operation, **arguments)

    def maintain(self, scope: str, on: bool, for_s: float | None = None) -> None:
        """An operator switches maintenance on or off."""
        key = maintenance.PREFIX + scope
        found = self.store.read(key)[1]
        serial = maintenance.decode(found[0].value, key).serial + 1 if found else 1
        until_ns = self.now_ns + int(for_s * SECOND) if on and for_s else 0
        notice = maintenance.Notice(on, serial, "ada", "a test", self.now_ns, until_ns)
        self.store.swap(key, maintenance.encode(notice), found[0].revision if found else 0)
        if scope == maintenance.CLUSTER:
            self.book.held_since_ns = self.now_ns if on else 0
            if on and for_s:
                self.scheduler.after(int(for_s * SECOND), self._expired, serial)

    def _expired(self, serial: int) -> None:
        [found] = self.store.read(maintenance.PREFIX + maintenance.CLUSTER)[1]
        if maintenance.decode(found.value, "").serial == serial:
            self.book.held_since_ns = 0

    def force(self, node: Node, assume_dead: str = "") -> None:
        """An operator wants this node to be master."""
        record = node.monitor.record
        witnesses = tuple(self._witness(n) for n in self.nodes.values() if n.alive and n is not node)
        self._asks += 1
        event = m.Force(
            now_ns=self.now_ns, id=self._asks, recorded=record.master if record else None, by="ada",
            assume_dead=assume_dead, reason="a test", witnesses=witnesses,
        )  # fmt: skip
        self.post(node, event)

    def _witness(self, node: Node) -> Witness:
        monitor = node.monitor
        own, record = monitor.peers.own, monitor.record
        silent_ms = (self.now_ns - monitor.sign_ns) / MS if monitor.signed else None
        master = record.master if record is not None else None
        return Witness(node.member, own.may_lead, own.priority, monitor.positions, master, silent_ms)

    def _look(self) -> None:
        """Once a second: does a master go back to the preferred node?"""
        self.scheduler.after(FAILBACK_LOOK_NS, self._look)
        for node in self.nodes.values():
            if self.options.failback and node.alive and node.ssc.serving.serves:
                rule = self._failbacks.setdefault(node.member.incarnation, Failback())
                known = self.maintained[node.id].as_input(self.now_ns)
                place = node.ssc.place
                to = rule.due(
                    self._facts(node),
                    self.now_ns,
                    maintained=known.nodes,
                    held=bool(known.cluster),
                    gave_up=gave_up(place.record if place is not None else None, node.monitor.record),
                )
                if to:
                    self.ask(node, "switchover", f"failback-{self._asks}", to=to)

    # ---- the ledger ----

    @property
    def away(self) -> bool:
        """Whether the ledger does not answer."""
        return self.now_ns < self.away_until_ns

    def _swap(self, key: str, value: bytes | None, expect: int) -> tuple[m.SwapAnswer, int]:
        if not self.away:
            return super()._swap(key, value, expect)
        how = self.source.choice(("nothing", "unclear", "written"))
        if how == "written":
            super()._swap(key, value, expect)
        return (m.SwapAnswer.UNAVAILABLE if how == "nothing" else m.SwapAnswer.UNCERTAIN), 0

    def _read(self, node: Node) -> None:
        if self.away:
            self._later(node, LEDGER_NS, m.ReadFailed)
        else:
            super()._read(node)

    def _told(self, node: Node, life: int, key: str, revision: int, value: bytes | None) -> None:
        if self.away:
            self.scheduler.at(self.away_until_ns - SECOND, self._told, node, life, key, revision, value)
        elif not key.startswith(maintenance.PREFIX):
            super()._told(node, life, key, revision, value)
        elif node.alive and node.life == life and value is not None:
            scope = key.removeprefix(maintenance.PREFIX)
            known = self.maintained[node.id]
            known.learned(scope, maintenance.decode(value, key), self.now_ns, self.now_ns)
            self._maintenance(node, life)

    def _maintenance(self, node: Node, life: int) -> None:
        if not node.alive or node.life != life:
            return
        known = self.maintained[node.id]
        known.tick(self.now_ns)
        told = known.as_input(self.now_ns)
        self.post(node, told)
        self.post(node, c.Maintained(now_ns=self.now_ns, cluster=told.cluster, nodes=told.nodes))
        if known.wake_ns < 1 << 62:
            self.scheduler.at(known.wake_ns - SECOND, self._maintenance, node, life)

    # ---- hosts ----

    def die(self, node: Node, service: str) -> None:
        """The process of a server ends by itself."""
        host = node.hosts.get(service)
        if node.alive and host is not None and not host.dead:
            host.dead, host.life = True, host.life + 1
            self._later(node, WIRE_NS, c.HostExited, service=service, reason="was ended by signal 9")

    def sicken(self, node: Node, service: str) -> None:
        """The health check of a primary says no."""
        host = node.hosts.get(service)
        if node.alive and host is not None and not host.dead and host.primary:
            self._says(node, service, host, WIRE_NS, h.Unhealthy(host.term, 3, "a test"))

    def _spawn(self, node: Node, service: str) -> None:
        self.book.spawned += 1
        life = node.hosts[service].life + 1 if service in node.hosts else 1
        host = node.hosts[service] = Host(life)
        callbacks = []
        if service != "door":
            callbacks = [
                h.Callback(f, level, name, 0.2, self.options.policies.get(name, "refuse"), 1, 0.05)
                for f in (*FUNCTIONS, "initialize")
                for level in (1, 2)
                for name in [f"{f}-{level}"]
            ]
        self._says(
            node,
            service,
            host,
            OPEN_NS,
            h.Opened(service, callbacks, *self.disk.get((node.id, service), (0, 0))),
        )

    def _end_host(self, node: Node, service: str) -> None:
        host = node.hosts.get(service)
        if host is not None and not host.dead:
            host.dead = True
            super()._end_host(node, service)

    def _host(self, node: Node, service: str, message: h.ToHost) -> None:
        host = node.hosts.get(service)
        if host is None or host.dead:
            return
        match message:
            case h.Assign(term=term, role=role):
                host.term, host.primary = term, role == "primary"
                if host.primary and (node.id, service) in self.broken:
                    delay_ns = self.source.randrange(5, 400) * MS
                    self.scheduler.after(delay_ns, self._break, node, node.life, service, host.life)
            case h.Run(id=run, context=context) if how := self._fails(node, service, context):
                if how == "refuse":
                    self._says(node, service, host, 10 * MS, h.Ran(run, "refused", "not now"))
                elif how == "die":
                    self.die(node, service)
                return  # or its callback hangs
            case h.Quiesce(term=term):
                self._synced(node, service, term)
        super()._host(node, service, message)

    def _break(self, node: Node, life: int, service: str, process: int) -> None:
        host = node.hosts.get(service)
        if node.life == life and host is not None and host.life == process:
            self.die(node, service)

    def _fails(self, node: Node, service: str, context: h.Context) -> str:
        how = self.failing.get((node.id, service), "")
        return how if how and self.source.random() < 0.5 else ""

    def _synced(self, node: Node, service: str, term: int) -> None:
        record = node.monitor.record
        self.disk[node.id, service] = (term, 7)
        if record is not None and record.ready_vice is not None:
            self.disk[record.ready_vice.node, service] = (term, 7)

    def drop_service(self, service: str) -> None:
        """A changed table has this service no more."""
        kept = tuple(s for s in self.options.services if s.id != service)
        self.options.services = kept
        for node in self.nodes.values():
            if node.alive:
                self.post(node, c.ServicesGone(now_ns=self.now_ns, services=(service,)))

    # ---- the book ----

    def _obey(self, node: Node, effect: Any) -> None:
        if isinstance(effect, c.Answer):
            self.book.answers[effect.id] = self.book.answers.get(effect.id, 0) + 1
        elif isinstance(effect, c.End):
            self.down.add(node.id)
            self._ends(node)
            if self.book.leaving.get(node.id) == node.life:
                self.down.discard(node.id)  # the system starts it again
        elif isinstance(effect, c.Publish) and isinstance(effect.event, InService):
            self.book.served.add(effect.event.term)
        elif isinstance(effect, c.Abandon):
            self.failures[node.id] = node.ssc.recovery.counts()
        super()._obey(node, effect)

    def _written(self) -> None:
        super()._written()
        change = self.store.changes_since("", self.store.revision - 1)[-1]
        if change.key == MASTERSHIP and change.value is not None:
            self._mastered(decode_mastership(change.value))
        elif change.key == OPERATION:
            for ended in self.operations.ended:
                if ended.id not in self.book.operations:
                    self.book.operations[ended.id] = ended.outcome
                    self._judge(ended)

    def _mastered(self, record: Mastership) -> None:
        last, self._last = self._last, record
        book = self.book
        if last is not None and last.term == record.term:
            return
        book.masters[record.term] = record.master.node
        held = book.held_since_ns and self.now_ns - book.held_since_ns > KNOWN_NS and not self.away
        if last is None or not held or record.master.node == last.master.node:
            return
        asked = self.operations.current is not None or record.by.node in book.leaving
        if not asked and "forced by" not in record.cause and last.term in book.served:
            self._trouble(
                f"maintenance, and {record.master.node} is master of term {record.term}: {record.cause}"
            )

    def _judge(self, ended: Operation) -> None:
        """Is the outcome true at the moment in which it is written?"""
        node, done = ended.node, ended.outcome == "done"
        entry = next((e for e in self.entries() if e.id == node), None)
        if ended.function in BECOMES:
            stands, began = rung_of(entry), self.book.began.get(ended.id)
            if done and stands != BECOMES[ended.function]:
                self._trouble(f"{ended} is not so: {stands}")
            if not done and began is not None and stands != began and entry is not None:
                self._trouble(f"{ended}, but it was {began} and is {stands}")
        elif ended.function == "remove" and done == (node in self.table):
            self._trouble(f"{ended} is not so")
        elif ended.function == "shutdown" and done:
            life = ended.options.get("life", "")
            self.scheduler.after(40 * SECOND, self._gone, ended, self.nodes[node], life)
        elif ended.function == "switchover" and done:
            term, to = ended.result["term"], ended.result["to"]
            if self.book.masters.get(int(term)) != to:
                self._trouble(f"{ended} is not so: {self.book.masters}")

    def _ends(self, node: Node) -> None:
        """A life ends in order: was it the one that was meant?"""
        known = [self.operations.current, *self.operations.ended]
        about = [
            o for o in known if o is not None and o.node == node.id and o.function in ("shutdown", "remove")
        ]
        meant = any(o.options.get("life", "") in ("", node.member.incarnation) for o in about)
        if not meant and self.book.leaving.get(node.id) != node.life:
            self._trouble(f"{node.member} ends, and nobody has meant this life")

    def _gone(self, ended: Operation, node: Node, life: str) -> None:
        if node.alive and node.member.incarnation == life:
            self._trouble(f"{ended}, and {life} still lives")

    def _trouble(self, text: str) -> None:
        self.book.troubles.append(f"{self.now_ns / SECOND:.3f} {text}")

    def unrest(self) -> list[str]:
        """What is not at rest, of a cluster that nothing disturbs any more."""
        found = []
        masters = [n for n in self.nodes.values() if n.alive and n.ssc.serving.serves]
        if len(masters) != 1:
            return [f"masters that serve: {[n.id for n in masters]}; {self._last}"]
        record = masters[0].monitor.record
        entries = {e.id: e for e in self.entries()}
        fit = [n.id for n in self.nodes.values() if n.alive and n.id in entries and entries[n.id].may_lead]
        if len(fit) > 1 and (record is None or record.ready_vice is None):
            found.append(f"no ready vice, of {fit}: {record}")
        if self.operations.current is not None:
            found.append(f"an intent is left: {self.operations.current}")
        for node in self.nodes.values():
            if node.alive and node.id in entries:
                found += [f"{node.id}: {what}" for what in _restless(node, entries[node.id])]
        for request, (at, life) in self.book.asked.items():
            count = self.book.answers.get(request, 0)
            if count > 1 or (not count and self.nodes[at].alive and self.nodes[at].life == life):
                found.append(f"request {request} has {count} answers")
        return found


def _restless(node: Node, entry: NodeEntry) -> list[str]:
    ssc, found = node.ssc, []
    if ssc.ladder.rung != rung_of(entry) or ssc.ladder.moving:
        found.append(f"stands on {ssc.ladder.rung}, its record says {rung_of(entry)}")
    if ssc.runs.progress() is not None:
        found.append(f"runs {ssc.runs.progress()}")
    for name, what in (
        ("switchover", ssc.switchover.phase),
        ("departure", ssc.departure.phase),
        ("rescue", ssc.rescue.lost),
        ("writer", ssc.writer.busy),
        ("swap", node.monitor.swap),
    ):
        if what:
            found.append(f"{name}: {what}")
    found += [f"{s.service} is kept back" for s in ssc.servers.centralized if s.held]
    if node.monitor.role == "master" and node.monitor.master.kept_back:
        found.append(f"keeps back {node.monitor.master.kept_back}")
    return found
