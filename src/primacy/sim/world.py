"""A whole cluster in virtual time: nodes, network, ledger, clients, faults and checkers, from one plan.

`run` lets it live through the plan's faults, heals everything, and then demands L1: within bounded time there
is one master, a ready vice if two nodes are there, every node knows it and has no swap open, the primary
serves, and every call is answered. The first thing that is not true ends the run.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from primacy.machines.ids import MS, Member
from primacy.machines.membership import NodeEntry
from primacy.machines.records import Mastership
from primacy.sim.checkers import Checkers, Violation
from primacy.sim.client import Client
from primacy.sim.inject import Injector
from primacy.sim.line import Ledger
from primacy.sim.network import Network
from primacy.sim.node import Cluster, Node, Settings
from primacy.sim.plan import Plan
from primacy.sim.scheduler import Clock, Scheduler

LIVENESS_MS = 30_000
STEP_NS = 100 * MS
CALM_STEPS = 8
WAITS_STEPS = 60
WAITS = "the state was in memory only, and all who had it are gone: the operator must decide"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. waits: the state is in memory only, and all who had it are gone: the operator must decide."""

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
    """One cluster."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, self._source("network"), plan.delay_ns)
        self.ledger = Ledger(self.scheduler, self._source("ledger"))
        self.nodes: dict[str, Node] = {}
        self.checkers = Checkers(self.scheduler, self.nodes, self.ledger, plan)
        self.network.misjudged = lambda text: self.checkers.fail("C1", text)
        table = tuple(NodeEntry(id) for id in plan.ids)
        settings = Settings(plan.timing, plan.durability, plan.snapshot_every, table, plan.availability)
        cluster = Cluster(self.scheduler, self.network, self.ledger, self.checkers, settings, self.nodes)
        for index, id in enumerate(plan.ids):
            clock = Clock(self.scheduler, plan.rate_ppm(index), plan.offset_ms(index) * MS)
            self.nodes[id] = Node(id, cluster, clock, self._source(id))
        self.clients = [self._client(number) for number in range(1, plan.clients + 1)]
        for node in self.nodes.values():
            node.host_came = self._host_came
            self.scheduler.at(int(node.random.uniform(0, 100 * MS)), node.start)
        self.injector = Injector(self)
        self.injector.schedule(plan.faults)
        self._waits = 0

    def _source(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed} {name}")

    def _client(self, number: int) -> Client:
        source = self._source(f"client {number}")
        low, high = self.plan.think_ms
        together = 1 if number % 3 else 6
        name = f"c{number}"
        think_ns = (low * MS, high * MS)
        return Client(
            name, self.scheduler, self.network, self.nodes, source, together, think_ns, self.plan.reads
        )

    def _host_came(self, host: object) -> None:
        for client in self.clients:
            client.host_came(host)  # type: ignore[arg-type]

    # ---- the run ----

    def run(self) -> Outcome:
        """Live through the faults, heal, wait for calm, and judge."""
        self._live(self.plan.heal_ms * MS)
        self.injector.heal()
        self.checkers.note("fault", "all faults end")
        healed_ns, why = self.scheduler.now_ns, ""
        recovered_ns, calm = -1, 0
        for step in range(LIVENESS_MS * MS // STEP_NS):
            if self.checkers.violation is not None:
                break
            self._live(healed_ns + (step + 1) * STEP_NS)
            why = self._unfinished()
            calm = 0 if why else calm + 1
            if calm == 1:
                recovered_ns = self.scheduler.now_ns
                self._last_calls()
            if calm >= CALM_STEPS or self._waits >= WAITS_STEPS:
                break
        waits = why == WAITS
        if why and not waits:
            self.checkers.fail("L1", f"{LIVENESS_MS / 1000:g} s after all faults ended: {why}")
        if self.checkers.violation is None and not waits:
            self.checkers.finish([record for client in self.clients for record in client.history()])
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
        for key in self.clients[0].keys if self.clients else ():
            self.clients[0].invoke("read", key)

    def _unfinished(self) -> str:
        """Return what L1 demands and is not so (yet), or nothing."""
        record = self.ledger.record
        if record is None:
            return "there is no record"
        lives = {node.member for node in self.nodes.values()}
        if self._needs_operator(record, lives):
            self._waits += 1
            return WAITS
        if record.master not in lives:
            return f"the recorded master {record.master} does not live"
        if len(self.nodes) > 1 and record.ready_vice not in lives:
            return f"there is no ready vice: {record.vice}"
        for node in self.nodes.values():
            if node.agent is None or not node.agent.alive:
                return f"{node.id} does not run"
            monitor = node.agent.monitor
            if monitor.revision != self.ledger.revision:
                return f"{node.id} knows revision {monitor.revision}, the ledger has {self.ledger.revision}"
            if monitor.swap is not None:
                return f"{node.id} has an open swap: {monitor.swap.purpose.value}"
        host = self.nodes[record.master.node].host
        if host is None or not host.holds():
            return f"the primary on {record.master.node} does not serve"
        for client in self.clients:
            if client.failed and not self.checkers.forgiven:
                return f"{client.name}: {client.failed[0]}"
        return self._unanswered()

    def _needs_operator(self, record: Mastership, lives: set[Member | None]) -> bool:
        """All who had the state are gone, and with it what was in memory only (or nobody proved their death)."""
        return self.plan.durability == "memory" and not {record.master, record.ready_vice} & lives

    def _unanswered(self) -> str:
        now_ns = self.scheduler.now_ns
        for client in self.clients:
            for operation in client.waiting():
                if now_ns - operation.invoked_ns > 1_000 * MS:
                    return f"{client.name} waits for an answer since {operation.invoked_ns / 1e6:.3f} ms"
        return ""

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
