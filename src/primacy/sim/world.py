"""A whole cluster in virtual time: nodes, network, ledger, clients, faults and checkers, from one plan.

`run` lets it live through the plan's faults, heals everything, and then demands L1: within bounded time there
is one master, a ready vice if two nodes are there, every node knows it and has no swap open, the primary
serves, and every call is answered. The first thing that is not true ends the run.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from primacy.machines.ids import MS
from primacy.machines.records import CONFIG
from primacy.sim import tables
from primacy.sim.calm import WAITS, unfinished
from primacy.sim.calm_changes import ALONE, strengthen
from primacy.sim.checkers import Checkers, Violation
from primacy.sim.client import Client
from primacy.sim.cluster import Cluster
from primacy.sim.crowd import Crowd
from primacy.sim.host import Host
from primacy.sim.inject import Injector
from primacy.sim.line import Ledger
from primacy.sim.naming_client import NamingClient
from primacy.sim.network import Network
from primacy.sim.node import Node
from primacy.sim.plan import Plan
from primacy.sim.scheduler import Clock, Scheduler
from primacy.sim.settings import Row, Settings, rows
from primacy.sim.watches import LATE_NS

STEP_NS = 100 * MS
STRENGTHEN_STEPS = 50
CALM_STEPS = 8
WAITS_STEPS = 60
_OPERATOR = (WAITS, ALONE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    waits: nothing goes on before the operator decides (the state was in memory only, and all who had it are gone; or a
    change takes an outage).
    """

    plan: Plan
    violation: Violation | None
    timeline: list[tuple[int, str, str]]
    simulated_ns: int
    events: int
    operations: int
    terms: int
    recovered_ms: float
    waits: bool
    fingerprint: int

    def report(self, last: int = 400) -> str:
        """Return the timeline in sentences, what it took, and the verdict."""
        lines = [f"{at_ns / 1e6:12.3f} ms  {place:<7} {sentence}" for at_ns, place, sentence in self.timeline]
        took = f"{self.events} events, {self.operations} operations, fingerprint {self.fingerprint:016x}"
        return "\n".join([*lines[-last:], took, str(self.violation or "nothing was violated")])


class World:
    """One cluster. services: of a user's classes, beside those that every world has."""

    def __init__(self, plan: Plan, services: tuple[Row, ...] = ()) -> None:
        self.plan, self._services = plan, services
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, self._source("network"), plan.delay_ns)
        self.ledger = Ledger(self.scheduler, self._source("ledger"))
        self.nodes: dict[str, Node] = {}
        self.settings = self._settings()
        self.checkers = self._checkers()
        self.ledger.put(CONFIG, tables.encode(tables.at_first(self.settings)))
        cluster = Cluster(self.scheduler, self.network, self.ledger, self.checkers, self.settings, self.nodes)
        self.network.misjudged = lambda text: self.checkers.fail("C1", text)
        for index, id in enumerate(plan.machines):
            clock = Clock(self.scheduler, plan.rate_ppm(index), plan.offset_ms(index) * MS)
            self.nodes[id] = Node(id, cluster, clock, self._source(id))
        self.crowd: Crowd | None = None
        self.clients = self._clients()
        for node in self.nodes.values():
            node.host_came = self._host_came
            self.scheduler.at(int(node.random.uniform(0, 100 * MS)), node.start)
        self.injector = Injector(self)
        self.injector.schedule(plan.faults)
        self._waits = 0
        self._published: dict[str, deque[int]] = {}  # positions, by service: the first look is the oldest

    # ---- what is in it ----

    def _settings(self) -> Settings:
        plan, services = self.plan, rows(self.plan.durability) + self._services
        return Settings(
            plan.timing,
            services,
            plan.snapshot_every,
            plan.table,
            plan.availability,
            plan.auto_promote,
            uptime_times=plan.manners.uptime_times,
        )

    def _checkers(self) -> Checkers:
        return Checkers(self.scheduler, self.nodes, self.ledger, self.plan, self.settings.table)

    def _clients(self) -> list[Client]:
        for sentence in self.plan.manners.sentences():
            self.checkers.note("client", sentence)
        self.crowd = Crowd(self.plan, self.scheduler, self.network, self.nodes, self.checkers.note)
        return self.crowd.clients

    def _source(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed} {name}")

    def _host_came(self, host: Host) -> None:
        for client in self.clients:
            client.host_came(host)

    # ---- the run ----

    def run(self) -> Outcome:
        """Live through the faults, heal, wait for calm, and judge."""
        crowd = self.crowd
        assert crowd is not None
        self._live(self.plan.heal_ms * MS)
        self.injector.heal()
        self.checkers.note("fault", "all faults end")
        healed_ns, why = self.scheduler.now_ns, ""
        recovered_ns, calm = -1, 0
        for step in range(self.plan.liveness_ms * MS // STEP_NS):
            if self.checkers.violation is not None:
                break
            self.injector.tend()
            if step % STRENGTHEN_STEPS == STRENGTHEN_STEPS - 1:
                strengthen(self)
            self._live(healed_ns + (step + 1) * STEP_NS)
            why = self._unfinished()
            calm = 0 if why else calm + 1
            if calm == 1:
                recovered_ns = self.scheduler.now_ns
                crowd.last_calls()
            if calm >= CALM_STEPS or self._waits >= WAITS_STEPS:
                break
        waits = why in _OPERATOR
        if why and not waits:
            self.checkers.fail("L1", f"{self.plan.liveness_ms / 1000:g} s after all faults ended: {why}")
        if self.checkers.violation is None and not waits:
            self._judge(crowd)
        if self.checkers.bugs:
            self.checkers.fail("bug", self.checkers.bugs[0])
        return self._outcome(recovered_ns - healed_ns, waits)

    def _live(self, until_ns: int) -> None:
        if self.checkers.violation is None:
            self.scheduler.run(until_ns, self.checkers.each)

    def _judge(self, crowd: Crowd) -> None:
        """Compare what clients and watches were told with each other, and with what the last primaries hold."""
        primaries = {kind: self._primary(kind.service) for kind in (Client, NamingClient)}
        self.checkers.watched((client.told, primaries[type(client)]) for client in crowd.clients)
        self.checkers.finish([crowd.histories(kind, host) for kind, host in primaries.items()])

    def _primary(self, service: str) -> Host | None:
        record = self.ledger.record
        return self.nodes[record.master.node].primary(service) if record is not None else None

    def _behind(self) -> str:
        """Return which watch was not told of all that was published some steps ago."""
        for client in self.crowd.clients if self.crowd is not None and not self.checkers.forgiven else ():
            host, before = self._primary(client.service), self._published.get(client.service, [0])
            if host is None:
                continue
            why = client.told.behind(host.replica.events, before[0], self.scheduler.now_ns)
            if why:
                return why
        return ""

    def _look(self) -> None:
        """Note how much is published now."""
        for service in self.settings.centralized:
            host = self._primary(service)
            if host is not None:
                looks = self._published.setdefault(service, deque(maxlen=LATE_NS // STEP_NS))
                looks.append(host.replica.event_position)

    def _unfinished(self) -> str:
        """Return what L1 demands and is not so (yet), or nothing."""
        why = unfinished(self) or self._behind()
        self._look()
        self._waits += why in _OPERATOR
        return why

    def _outcome(self, recovered_ns: int, waits: bool) -> Outcome:
        record = self.ledger.record
        return Outcome(
            plan=self.plan,
            violation=self.checkers.violation,
            timeline=self.checkers.timeline,
            simulated_ns=self.scheduler.now_ns,
            events=self.scheduler.count,
            operations=sum(len(client.operations) for client in self.clients),
            terms=record.term if record is not None else 0,
            recovered_ms=max(recovered_ns, 0) / 1e6,
            waits=waits,
            fingerprint=self.checkers.fingerprint,
        )


def run(plan: Plan) -> Outcome:
    """Run a plan."""
    return World(plan).run()
