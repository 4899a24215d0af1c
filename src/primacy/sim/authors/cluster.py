"""`primacy.sim.Cluster`: an author's services on a whole simulated cluster, driven by an ordinary test.

    cluster = primacy.sim.Cluster([Inventory], nodes=3, seed=7)
    inventory = cluster.client().service("inventory")
    inventory.add(article="bolt", count=3)
    cluster.crash("master")
    assert inventory.query.stock(article="bolt") == 3
    cluster.check()

The nodes run the machines of production, and the author's class as it is; time is virtual: it passes only while a call
is waited for, or in `run`, and a second of it takes some milliseconds. The same seed and the same test are the same run
(where the author's code reads the order of a set: with the same PYTHONHASHSEED). After every event all checkers look;
the first thing that is not true is raised as `Violated`, from whatever call lets time run.

What the world is kinder about than the real one: callbacks and timers wait in virtual time, and have no sockets and no
threads; health checks are not run; all replicas live in one Python process, so what a class or a
module keeps is shared between them, which no real replicas do.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from primacy.errors import ConfigError
from primacy.machines.call_wire import DONE, RAISED
from primacy.machines.description import service_name
from primacy.machines.events import Event
from primacy.machines.ids import MS, SECOND
from primacy.machines.timing import PROFILES
from primacy.service import LocalService, Service, describe
from primacy.sim.authors.client import Called, Client
from primacy.sim.authors.kept import given_to, read
from primacy.sim.authors.operators import Operators
from primacy.sim.authors.report import Report
from primacy.sim.authors.stage import Stage
from primacy.sim.faults import Fault
from primacy.sim.host import Host
from primacy.sim.linearizability import Record
from primacy.sim.plan import Plan
from primacy.sim.scheduler import Scheduler
from primacy.sim.settings import NAMING, Row

NODES = (2, 9)
DAY_MS = 24 * 3600 * 1000
_RATES_PPM = (1_000_000, 1_045_000)
_OFFSETS_MS = (1, 10_000_000)
_LOOK_NS = MS
_NETWORKS = ("fast", "usual", "slow")
_DURABILITIES = ("disk", "memory")
_SEED_BITS = 32

Class = type[Service[Any]] | type[LocalService]


class Cluster(Operators):
    """A simulated cluster; it is whole when it has been made.

    services: classes, whose names in kebab case are the services' names, or a mapping of names to classes. profile:
    `carrier`, `lan` or `wan`. durability: `disk` or `memory`. network: `fast`, `usual` or `slow`. faults: begin at
    their times of virtual time. snapshot_every: a checkpoint after so many entries of a log. seed: None draws one.
    kept: the file of a kept run, whose seed and faults are in the place of the seed and of what `chaos` draws.
    """

    def __init__(
        self,
        services: Sequence[Class] | Mapping[str, Class] = (),
        *,
        nodes: int = 3,
        seed: int | None = None,
        profile: str = "lan",
        durability: str = "disk",
        network: str = "usual",
        faults: Sequence[Fault] = (),
        snapshot_every: int = 40,
        kept: str | Path | None = None,
    ) -> None:
        super().__init__()
        if kept is not None:
            run = read(kept)
            seed, self.given = run.seed, given_to(0, run.faults)
        self.seed = secrets.randbits(_SEED_BITS) if seed is None else seed
        _known("profile", profile, tuple(PROFILES))
        _known("durability", durability, _DURABILITIES)
        _known("network", network, _NETWORKS)
        if not NODES[0] <= nodes <= NODES[1]:
            raise ConfigError("nodes", f"{nodes}", f"want {NODES[0]} to {NODES[1]}")
        if snapshot_every < 1:
            raise ConfigError("snapshot_every", f"{snapshot_every}", "want 1 or more entries")
        clocks = random.Random(f"clocks {self.seed}")
        plan = {
            "seed": self.seed,
            "nodes": nodes,
            "profile": profile,
            "network": network,
            "durability": durability,
            "rates_ppm": tuple(clocks.randint(*_RATES_PPM) for _ in range(nodes)),
            "offsets_ms": tuple(clocks.randint(*_OFFSETS_MS) for _ in range(nodes)),
            "snapshot_every": snapshot_every,
            "heal_ms": DAY_MS,
        }
        self.stage = Stage(
            msgspec.structs.replace(msgspec.convert(plan, Plan), faults=tuple(faults)),
            _rows(services, durability),
        )
        self.random = random.Random(f"test {self.seed}")
        """For what a test draws: it follows from the seed."""
        self._names = 0
        self._loads: list[_Load] = []
        self.stage.wait_calm()

    # ---- time ----

    @property
    def now_s(self) -> float:
        """Virtual time since the beginning, in seconds."""
        return self.stage.scheduler.now_ns / SECOND

    def run(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        __tracebackhide__ = True
        self.stage.live(self.stage.scheduler.now_ns + int(seconds * SECOND))

    def run_until(self, condition: Callable[[], object], *, within: float = 30.0) -> None:
        """Let virtual time pass until `condition()` is true, looked at each millisecond; else Violated."""
        __tracebackhide__ = True
        stage = self.stage
        until_ns = stage.scheduler.now_ns + int(within * SECOND)
        while not condition():
            if stage.scheduler.now_ns >= until_ns:
                name = getattr(condition, "__name__", "the condition")
                raise stage.violated("within", f"{name} is not true within {within:g} s of virtual time")
            stage.live(min(until_ns, stage.scheduler.now_ns + _LOOK_NS))

    def every(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        """Do something again and again while virtual time runs, until `check`; return what ends it earlier.

        It may begin calls (`service.start.add(...)`), and must not wait for them.
        """
        load = _Load(self.stage.scheduler, int(seconds * SECOND), action)
        self._loads.append(load)
        return load.end

    # ---- clients ----

    def client(self, name: str = "") -> Client:
        """Return a new client: with sessions of its own, and its own place in the network."""
        self._names += 1
        return self.stage.client(name or f"c{self._names}")

    # ---- what there is to see ----

    @property
    def nodes(self) -> list[str]:
        """The nodes' ids."""
        return list(self.stage.nodes)

    @property
    def master(self) -> str:
        """The node that the ledger names as master, or nothing."""
        return self.stage.master

    @property
    def vice(self) -> str:
        """The node that the ledger names as vice, or nothing."""
        record = self.stage.ledger.record
        return record.vice.node if record is not None and record.vice is not None else ""

    @property
    def term(self) -> int:
        """The term of the mastership."""
        record = self.stage.ledger.record
        return record.term if record is not None else 0

    @property
    def may_have_lost(self) -> bool:
        """Whether a master by force may have lost what was acknowledged: what a test demands itself must ask for it."""
        return self.stage.checkers.forgiven

    def state(self, service: str, node: str = "master") -> Any:
        """Return the state that the service has on a node: the very object; only look at it."""
        return self.object(service, node).state

    def object(self, service: str, node: str = "master") -> Any:
        """Return the author's object on a node; ConfigError when no server runs there."""
        at = self._node(node)
        host = at.host(self._service(service))
        if host is None:
            raise ConfigError(
                f"object({service!r}, {node!r})", f"no server on {at.id} now", "want one that runs"
            )
        return host.object

    def status(self) -> dict[str, Any]:
        """Return who is what, and the servers of every node."""
        nodes = {
            id: {
                host.service: host.role if isinstance(host, Host) else "local"
                for host in node.hosts
                if host.alive
            }
            for id, node in self.stage.nodes.items()
        }
        return {"term": self.term, "master": self.master, "vice": self.vice, "nodes": nodes}

    def timeline(self) -> list[str]:
        """Return what has happened, in sentences."""
        return self.stage.lines()

    def events(self, kind: str = "") -> list[Event]:
        """Return the events that nodes have published (of one kind), in the order of time."""
        found = [event for _, _, event in self.stage.checkers.events]
        return [event for event in found if not kind or type(event).__name__ == kind]

    def history(self, service: str, key: Callable[[dict[str, Any]], str] | None = None) -> list[Record]:
        """Return what clients saw of a service, for `linearizability.check`. key: of a call, by its arguments."""
        return [_record(call, key) for call in self._calls() if call.service == service]

    # ---- the verdict ----

    def check(self) -> Report:
        """End all faults, wait until the cluster is whole, and judge everything; Violated says what is not true."""
        __tracebackhide__ = True
        stage = self.stage
        faults = sum(place == "fault" for _, place, _ in stage.checkers.timeline)
        for load in self._loads:
            load.end()
        self.heal()
        recovered_s, waits = stage.wait_calm()
        if not waits:
            stage.judge()
        told = [call for call in self._calls() if call.completed_ns is not None]
        queries = sum(call.query for call in told)
        return Report(
            seed=self.seed,
            simulated_s=self.now_s,
            terms=self.term,
            faults=faults,
            calls=len(told) - queries,
            queries=queries,
            recovered_s=recovered_s,
            waits=waits,
            may_have_lost=self.may_have_lost,
        )

    def _calls(self) -> list[Called]:
        return [call for talk in self.stage.talks for call in talk.calls]


class _Load:
    """Something that is done again and again."""

    def __init__(self, scheduler: Scheduler, every_ns: int, action: Callable[[], object]) -> None:
        self._scheduler, self._every_ns, self._action = scheduler, every_ns, action
        self._going = True
        scheduler.after(every_ns, self._again)

    def end(self) -> None:
        """Do it no more."""
        self._going = False

    def _again(self) -> None:
        if self._going:
            self._action()
            self._scheduler.after(self._every_ns, self._again)


def _rows(services: Sequence[Class] | Mapping[str, Class], durability: str) -> tuple[Row, ...]:
    if isinstance(services, Mapping):
        named = list(services.items())
    else:
        named = [(service_name(each.__name__), each) for each in services]
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1 or name == NAMING:
            raise ConfigError("services", f"{name} twice", "want another name: services={'name': Class}")
    for _, each in named:
        describe(each)
    return tuple(Row(name, each, durability) for name, each in named)


def _known(what: str, got: str, known: tuple[str, ...]) -> None:
    if got not in known:
        raise ConfigError(what, repr(got), f"want one of: {', '.join(known)}")


def _record(call: Called, key: Callable[[dict[str, Any]], str] | None) -> Record:
    """Return a call as a record; what was refused had no effect, so it is left with no result that counts."""
    arguments = msgspec.msgpack.decode(call.arguments)
    told = call.completed_ns is not None and call.outcome in (DONE, RAISED)
    return Record(
        client=call.client,
        key=key(arguments) if key is not None else "",
        operation=call.operation,
        argument=call.arguments,
        invoked_ns=call.invoked_ns,
        completed_ns=call.completed_ns if told else None,
        result=(call.outcome, msgspec.msgpack.decode(call.payload)) if told else None,
    )
