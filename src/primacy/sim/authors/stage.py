"""The world in which an author's services run: without the checkers' own service and clients, with more questions.

All other checkers are the same; faults come from a test's hand, or drawn, and heal as often as the test says so.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import Any

from primacy.errors import ConfigError
from primacy.machines.call_wire import Query
from primacy.machines.events import Event
from primacy.machines.history import Batch
from primacy.machines.ids import MS
from primacy.service import ServiceModel
from primacy.sim.authors.client import Client, Talk
from primacy.sim.authors.determinism import Determinism, Log
from primacy.sim.authors.differences import beside
from primacy.sim.authors.report import Violated
from primacy.sim.authors.witness import Witness
from primacy.sim.calm import WAITS
from primacy.sim.checkers import Checkers
from primacy.sim.faults import Fault
from primacy.sim.host import Host
from primacy.sim.host_process import HostProcess
from primacy.sim.inject import Injector
from primacy.sim.node import Node
from primacy.sim.operator import AGAIN_MS, ask_force
from primacy.sim.plan import Plan
from primacy.sim.settings import NAMING, Row, Settings
from primacy.sim.world import CALM_STEPS, STEP_NS, World

LIVENESS_MS = 30_000
LIVENESS_GRACES = 40


class StageCheckers(Checkers):
    """All checkers; and what the author's services are asked besides. services: theirs."""

    def __init__(self, stage: Stage, services: set[str]) -> None:
        super().__init__(stage.scheduler, stage.nodes, stage.ledger, stage.plan, stage.settings.table)
        self.events: list[tuple[int, str, Event]] = []
        self.determinism = Determinism(self.fail, services)

    def published(self, node: str, event: Event) -> None:
        """An agent has published an event."""
        self.events.append((self._scheduler.now_ns, node, event))
        super().published(node, event)

    def evaluated(self, host: Host, query: Query, outcome: int, payload: bytes) -> None:
        """A primary has evaluated a query."""
        self.determinism.evaluated(host, query, outcome, payload)

    def applied(self, host: Host, batch: Batch | None) -> None:
        """A replica has applied a batch, or was restored from a snapshot."""
        if batch is not None:
            self.determinism.applied(host, batch)
        else:
            self.determinism.restored(host)

    def served(self, host: Host) -> None:
        """A primary begins to serve."""
        self.determinism.serves(host)
        super().served(host)

    def gone(self, host: HostProcess) -> None:
        """A host process is no more."""
        self.determinism.gone(host)
        super().gone(host)


class _Asking:
    """An operator asks a node again and again to be master by force. word: the recorded master is declared dead."""

    def __init__(self, node: Node, *, word: bool) -> None:
        self._node, self._word, self._goes_on = node, word, True

    def again(self) -> None:
        """Ask, unless it has ended."""
        if self._goes_on:
            ask_force(self._node, word=self._word, for_ms=0)
            self._node.cluster.scheduler.after(AGAIN_MS * MS, self.again)

    def end(self) -> None:
        """Ask no more."""
        self._goes_on = False


class Hand(Injector):
    """Faults from a test's hand: they may begin again after all was healed."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._round = 0

    def now(self, fault: Fault) -> None:
        """Let a fault begin at this instant."""
        self._begin(fault)

    def schedule(self, faults: Iterable[Fault]) -> None:
        """Let each fault begin at its time, unless all is healed before."""
        for fault in faults:
            self._world.scheduler.at(fault.at_ms * MS, self._in_its_round, self._round, fault)

    def heal(self) -> None:
        """End all faults, those that are to come included."""
        self._round += 1
        super().heal()
        self._healed = False

    def _apply(self, fault: Fault) -> Callable[[], None] | None:
        if fault.kind != "force":
            return super()._apply(fault)
        node = self._node(fault.node)
        if node is None:
            return None
        asking = _Asking(node, word=fault.what == "word")
        asking.again()
        return asking.end

    def _in_its_round(self, number: int, fault: Fault) -> None:
        if number == self._round:
            self._begin(fault)


class Stage(World):
    """One cluster with these services, and naming."""

    checkers: StageCheckers
    injector: Hand

    def __init__(self, plan: Plan, services: tuple[Row, ...]) -> None:
        self.talks: list[Talk] = []
        self._runs = False
        super().__init__(plan, services)
        self.injector = Hand(self)
        self.injector.schedule(plan.faults)

    # ---- what is in it ----

    @property
    def master(self) -> str:
        """The node that the ledger names as master, or nothing."""
        return self.ledger.record.master.node if self.ledger.record is not None else ""

    def _settings(self) -> Settings:
        own = self._services
        usual = super()._settings()
        subject = next((row.id for row in own if not row.local), NAMING)
        return dataclasses.replace(usual, rows=(usual.row(NAMING), *own), subject=subject)

    def _checkers(self) -> StageCheckers:
        return StageCheckers(self, {row.id for row in self._services if not row.local})

    def _clients(self) -> list[Any]:
        return self.talks

    def source(self, name: str) -> random.Random:
        """Return a source of randomness that follows from the seed and this name."""
        return self._source(name)

    def conversation(self, client: str, service: str) -> Talk:
        """Return a new conversation of a client with a service."""
        if service not in self.settings.centralized:
            want = f"one of: {', '.join(self.settings.centralized)}"
            raise ConfigError(f"service({service!r})", "no centralized service of that name", want)
        source = self._source(f"client {client} {service}")
        talk = Talk(client, service, self.scheduler, self.network, self.nodes, source)
        talk.begin()
        self.talks.append(talk)
        return talk

    def client(self, name: str) -> Client:
        """Return a new client."""
        return Client(name, self)

    # ---- time ----

    def live(self, until_ns: int, done: Callable[[], bool] | None = None) -> None:
        """Run virtual time until then, or until `done` is true; raise what is violated."""
        __tracebackhide__ = True
        if self._runs:
            raise RuntimeError(
                "virtual time is running: what is called while it does may begin calls "
                "(service.start.add(...)), and must not wait for them"
            )
        checkers, each = self.checkers, self.checkers.each
        self._runs = True
        try:
            self.scheduler.run(until_ns, each if done is None else lambda: each() or done())
        finally:
            self._runs = False
        if checkers.bugs:
            checkers.fail("bug", checkers.bugs[0])
        self.demand()

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Run virtual time until it is so (something else sees to it that it will be)."""
        __tracebackhide__ = True
        while not done():
            self.live(self.scheduler.now_ns + STEP_NS, done)

    def demand(self) -> None:
        """Raise the first violation, if there is one."""
        __tracebackhide__ = True  # (pytest shows the test's own line)
        violation = self.checkers.violation
        if violation is not None:
            raise self.violated(violation.clause, str(violation))

    def violated(self, clause: str, text: str) -> Violated:
        """Return the error that tells all there is to tell."""
        faults = [sentence for _, place, sentence in self.checkers.timeline if place == "fault"]
        return Violated(clause, text, self.plan.seed, faults, self.lines())

    def lines(self) -> list[str]:
        """Return the timeline in sentences."""
        return [f"{at_ns / 1e6:12.3f} ms  {place:<9} {text}" for at_ns, place, text in self.checkers.timeline]

    def wait_calm(self) -> tuple[float, bool]:
        """Run until the cluster is whole (L1); return after how many seconds, and whether it waits for an operator.

        Waits: the state was in memory only, and all who had it are gone.
        """
        began_ns, calm_ns, calm, waits = self.scheduler.now_ns, 0, 0, 0
        bound_ms = max(LIVENESS_MS, LIVENESS_GRACES * self.plan.timing.grace_ms)
        why = ""
        for _ in range(int(bound_ms * MS / STEP_NS)):
            self.injector.tend()
            self.live(self.scheduler.now_ns + STEP_NS)
            why = self._unfinished()
            calm, waits = (0 if why else calm + 1), waits + (why == WAITS)
            if calm == 1:
                calm_ns = self.scheduler.now_ns
            if calm >= CALM_STEPS:
                return (calm_ns - began_ns) / 1e9, False
            if waits * STEP_NS > bound_ms * MS // 4:
                return 0.0, True
        self.checkers.fail("L1", f"{bound_ms / 1000:g} s after all faults ended: {why}")
        self.demand()
        raise AssertionError("a violation was demanded")

    # ---- the end ----

    def judge(self) -> None:
        """Raise what is not true of the whole history."""
        __tracebackhide__ = True
        self.checkers.finish([])
        if not self.checkers.forgiven:
            for service in self.settings.centralized:
                why = self._history(service)
                if why:
                    self.checkers.fail("S4", why)
        self.demand()

    def _history(self, service: str) -> str:
        record = self.ledger.record
        host = self.nodes[record.master.node].primary(service) if record is not None else None
        if host is None:
            return ""
        talks = [talk for talk in self.talks if talk.session.service == service]
        batches = self.checkers.determinism.logs.get(service, Log()).of(host.writer.runs)
        model = ServiceModel(host.row.make())  # type: ignore[arg-type]
        witness = Witness(service, model, batches, [call for talk in talks for call in talk.calls])
        why = witness.judge([watch for talk in talks for watch in talk.watches])
        kept = beside(host.object, model.service, f"on {host.member.node}", "by the log") if why else ""
        return f"{why}; {kept}, and it is not replicated" if kept else why
