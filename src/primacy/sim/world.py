"""A whole cluster in virtual time: nodes, network, ledger, clients, faults and checkers, from one plan.

`run` lets it live through the plan's faults, heals everything, and then demands L1: within bounded time there
is one master, a ready vice if two nodes are there, every node knows it and has no swap open, the primary
serves, and every call is answered. The first thing that is not true ends the run.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from primacy.machines.ids import MS
from primacy.machines.records import CONFIG
from primacy.sim import tables
from primacy.sim.calm import WAITS, unfinished
from primacy.sim.calm_changes import ALONE, strengthen
from primacy.sim.checkers import Checkers, Violation
from primacy.sim.client import Client, Load, NamingClient
from primacy.sim.cluster import Cluster
from primacy.sim.host import Host
from primacy.sim.inject import Injector
from primacy.sim.line import Ledger
from primacy.sim.linearizability import Log, Register
from primacy.sim.network import Network
from primacy.sim.node import Node
from primacy.sim.plan import Plan
from primacy.sim.scheduler import Clock, Scheduler
from primacy.sim.settings import Row, Settings, rows

STEP_NS = 100 * MS
STRENGTHEN_STEPS = 50
CALM_STEPS = 8
WAITS_STEPS = 60
_OPERATOR = (WAITS, ALONE)
NAMING_LOAD = Load(1, (200 * MS, 800 * MS), 0.5)


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
        self.clients = self._clients()
        for node in self.nodes.values():
            node.host_came = self._host_came
            self.scheduler.at(int(node.random.uniform(0, 100 * MS)), node.start)
        self.injector = Injector(self)
        self.injector.schedule(plan.faults)
        self._waits = 0

    # ---- what is in it ----

    def _settings(self) -> Settings:
        plan, services = self.plan, rows(self.plan.durability) + self._services
        return Settings(
            plan.timing, services, plan.snapshot_every, plan.table, plan.availability, plan.auto_promote
        )

    def _checkers(self) -> Checkers:
        return Checkers(self.scheduler, self.nodes, self.ledger, self.plan, self.settings.table)

    def _clients(self) -> list[Client]:
        clients = [self._client(number) for number in range(1, self.plan.clients + 1)]
        return [*clients, self._make(NamingClient, "d1", NAMING_LOAD)]

    def _source(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed} {name}")

    def _client(self, number: int) -> Client:
        low, high = self.plan.think_ms
        load = Load(1 if number % 3 else 6, (low * MS, high * MS), self.plan.reads)
        return self._make(Client, f"c{number}", load)

    def _make(self, kind: type[Client], name: str, load: Load) -> Client:
        return kind(name, self.scheduler, self.network, self.nodes, self._source(f"client {name}"), load)

    def _host_came(self, host: Host) -> None:
        for client in self.clients:
            client.host_came(host)

    # ---- the run ----

    def run(self) -> Outcome:
        """Live through the faults, heal, wait for calm, and judge."""
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
                self._last_calls()
            if calm >= CALM_STEPS or self._waits >= WAITS_STEPS:
                break
        waits = why in _OPERATOR
        if why and not waits:
            self.checkers.fail("L1", f"{self.plan.liveness_ms / 1000:g} s after all faults ended: {why}")
        if self.checkers.violation is None and not waits:
            logs = [client for client in self.clients if not isinstance(client, NamingClient)]
            names = [client for client in self.clients if isinstance(client, NamingClient)]
            self.checkers.watched(names)
            self.checkers.finish(
                [
                    ([record for client in logs for record in client.history()], Log()),
                    ([record for client in names for record in client.history()], Register()),
                ]
            )
        if self.checkers.bugs:
            self.checkers.fail("bug", self.checkers.bugs[0])
        return self._outcome(recovered_ns - healed_ns, waits)

    def _live(self, until_ns: int) -> None:
        if self.checkers.violation is None:
            self.scheduler.run(until_ns, self.checkers.each)

    def _last_calls(self) -> None:
        """Nothing more by itself; one read of each log tells what is there at last."""
        for client in self.clients:
            client.stop()
        for client in (self.clients[0], self.clients[-1]):
            for key in client.keys:
                client.invoke("read", key)

    def _unfinished(self) -> str:
        """Return what L1 demands and is not so (yet), or nothing."""
        why = unfinished(self)
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
