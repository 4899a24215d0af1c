"""Is the author's service deterministic?  Every batch of operations is looked at three times.

1. On the primary, as soon as it has executed the batch, a *rehearsal*: a new object of the class, restored from the
state
   before, with its sets in another order, executes the same entries: it must come to the same state, the same replies
   and the same events. What its code asks of the clock, of chance or of the system meanwhile is a failure by itself.
2. The secondary and every replica that catches up or replays its journal: their digests must be those of the others.
3. A replica that is restored from a snapshot: it must be what the snapshot was taken of.

And every query is answered once more, by a copy that is restored from the state.

The log of each service is kept whole: by it `witness.py` judges what clients were told. Attributes that callbacks have
given to the object (a connection, a cache) are lent to the rehearsal; those that `__init__` makes are made anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from primacy.machines import entries
from primacy.machines.call_wire import Call, Query
from primacy.machines.history import Batch
from primacy.machines.replica import Replica
from primacy.service import Service, ServiceModel
from primacy.sim.authors.differences import beside, difference, reorder_sets, same
from primacy.sim.authors.sources import watched
from primacy.sim.host import Host

CLAUSE = "determinism"
KEPT_MAX = 1_000
TOLD_MAX = 5
ADVICE = (
    "an operation may use its arguments, self.state and ctx only (time: ctx.time_ns; chance: ctx.random), "
    "and no set's order"
)
QUERY_ADVICE = "a query may use its arguments and self.state only, and no set's order"
_decode = msgspec.msgpack.Decoder().decode


class Log:
    """All that replicas of one service have applied, in batches; those of a term that lost are in it, too."""

    def __init__(self) -> None:
        self._batches: dict[tuple[int, int], Batch] = {}  # (term, first)

    def add(self, batch: Batch) -> None:
        """Keep a batch."""
        self._batches.setdefault((batch.term, batch.first), batch)

    def of(self, runs: list[tuple[int, int, int]]) -> list[Batch]:
        """Return the batches of a log with this description, in order."""
        found = []
        for term, first, last in runs:
            while first <= last:
                batch = self._batches[term, first]
                found.append(batch)
                first = batch.last + 1
        return found


class Determinism:
    """fail(clause, text): something is not true. services: those that are judged; of all others the log is kept."""

    def __init__(self, fail: Callable[[str, str], None], services: set[str]) -> None:
        self._fail, self._services = fail, services
        self.logs: dict[str, Log] = {}
        # the snapshot of a serving primary's replica, after its last batch
        self._before: dict[Host, bytes] = {}
        self._known: OrderedDict[tuple[str, int, int], tuple[bytes, str, bytes]] = OrderedDict()
        self._agreed: dict[str, int] = {}  # the last entry after which two replicas had the same state
        self._models: dict[str, ServiceModel] = {}
        # (host, entry, copy of its state then), for queries
        self._copies: dict[str, tuple[Host, int, ServiceModel]] = {}

    def applied(self, host: Host, batch: Batch) -> None:
        """A replica has applied a batch; one that was killed in the middle of its turn counts no more."""
        if not host.alive:
            return
        self.logs.setdefault(host.service, Log()).add(batch)
        if host.service not in self._services:
            return
        if host.serving and batch.term == host.term:
            self._rehearse(host, batch)
            self._before[host] = host.replica.snapshot()
        self._agree(host, "after executing" if host.serving else "after applying")

    def evaluated(self, host: Host, query: Query, outcome: int, payload: bytes) -> None:
        """A primary has evaluated a query: a copy that is restored from its state must say the same."""
        if host.service not in self._services:
            return
        known = self._copies.get(host.service)
        if known is None or known[:2] != (host, host.replica.sequence):
            known = self._copies[host.service] = (host, host.replica.sequence, _copied(host))
        with watched() as asked:
            again = known[2].answer(query.operation, query.arguments)
        differs = again[0] != outcome or not same(again[1], payload)
        if differs or asked:
            self._not_by_state(host, query, (outcome, payload), again, asked)

    def _not_by_state(
        self, host: Host, query: Query, first: tuple[int, bytes], again: tuple[int, bytes], asked: list[str]
    ) -> None:
        copy = _copied(host)
        why = (
            f": it is {_told(first)}, and {_told(again)} by a copy restored from the state"
            if first != again
            else ""
        )
        kept = beside(host.object, copy.service, "here", "in the copy")
        forgotten = _forgotten(host)
        more = f"{f'; {kept}' if kept else ''}{f'; {forgotten}' if forgotten else ''}"
        world = f"; it asks {', '.join(asked[:TOLD_MAX])}" if asked else ""
        what = f"{_call(host.service, query.operation, query.arguments)} on {host.member.node}"
        self._fail(CLAUSE, f"{what} is not answered by the state alone{why}{more}{world}; {QUERY_ADVICE}")

    def restored(self, host: Host) -> None:
        """A replica was restored from a snapshot."""
        if host.service in self._services:
            self._agree(host, "after being restored from the snapshot of")

    def serves(self, host: Host) -> None:
        """A primary begins to serve."""
        if host.service in self._services:
            self._before[host] = host.replica.snapshot()

    def gone(self, host: Any) -> None:
        """A host process is no more."""
        self._before.pop(host, None)

    # ---- once more ----

    def _rehearse(self, host: Host, batch: Batch) -> None:
        model = self._models.get(host.service)
        if model is None:
            model = self._models[host.service] = ServiceModel(host.row.make())  # type: ignore[arg-type]
        model.service = _like(host.object)
        replica = Replica(host.service, model)
        replica.restore(self._before[host])
        model.service.state = reorder_sets(model.service.state)
        with watched() as asked:
            replica.apply(batch.term, batch.first, batch.last, batch.payload)
        differs = self._differs(host, replica, model.service, batch)
        if not differs and not asked:
            return
        span = (
            f"entry {batch.last}" if batch.first == batch.last else f"entries {batch.first} to {batch.last}"
        )
        what = f"{_calls(host.service, [batch])} ({span} of term {batch.term})"
        forgotten = _forgotten(host) if differs else ""
        if forgotten:
            self._fail(
                CLAUSE,
                f"{what}: executed once more from the snapshot of the state before, {differs}; {forgotten}",
            )
            return
        again = f": executed once more from the same state, {differs}" if differs else ""
        kept = beside(host.object, model.service, "first", "then") if differs else ""
        again += f"; {kept}, and it is not replicated" if kept else ""
        world = f"; it asks {', '.join(asked[:TOLD_MAX])}" if asked else ""
        self._fail(CLAUSE, f"{what} is not deterministic{again}{world}; {ADVICE}")

    def _differs(self, host: Host, replica: Replica, service: Service[Any], batch: Batch) -> str:
        for entry in entries.decode(batch.payload).entries:
            if isinstance(entry, Call) and entry.session:
                sessions = (host.replica.sessions.sessions, replica.sessions.sessions)
                mine, theirs = (s[entry.session].replies.get(entry.number) if entry.session in s else None
                                for s in sessions)  # fmt: skip
                if mine and theirs and (mine[0] != theirs[0] or not same(mine[1], theirs[1])):
                    return f"{entry.operation} returned {_told(mine)} and then {_told(theirs)}"
        if replica.digest() != host.replica.digest():
            return _first(host.object, service, "first", "then")
        events = zip(host.replica.events, replica.events, strict=True)
        for one, other in events:
            if one.topic != other.topic or not same(one.payload, other.payload):
                return f"it published {_decode(one.payload)!r}, then {_decode(other.payload)!r} under {one.topic}"
        return ""

    # ---- one with another ----

    def _agree(self, host: Host, when: str) -> None:
        replica, node = host.replica, host.member.node
        service, term, sequence = host.service, replica.term, replica.sequence
        key, digest = (service, term, sequence), replica.digest()
        known = self._known.get(key)
        if known is None:
            self._known[key] = (digest, node, replica.model.snapshot())
            if len(self._known) > KEPT_MAX:
                self._known.popitem(last=False)
        elif known[0] != digest:
            other: Any = _like(host.object)
            other.restore(known[2])
            where = _first(other, host.object, f"on {known[1]}", f"on {node}")
            since = self._agreed.get(service, 0)
            self._fail(
                CLAUSE,
                f"the replicas of {service} on {known[1]} and {node} differ {when} entry {sequence} of term {term}: "
                f"{where}; "
                f"since they were known to agree (entry {since}): {self._since(host, since)}; "
                f"{ADVICE}; only operations may change the state, no callback and no query",
            )
        elif known[1] != node:
            self._agreed[service] = max(self._agreed.get(service, 0), sequence)

    def _since(self, host: Host, since: int) -> str:
        batches = self.logs[host.service].of(host.writer.runs) if host.service in self.logs else []
        return _calls(host.service, [b for b in batches if since < b.last <= host.replica.sequence])


def _like(model: Any) -> Any:
    """Return a new object of the class, with the attributes that callbacks have given to this one."""
    new = type(model)()
    for name, value in vars(model).items():
        own = vars(new).get(name)
        if name != "state" and (name not in vars(new) or type(own) is not type(value)):
            setattr(new, name, value)
    return new


def _copied(host: Host) -> ServiceModel:
    """Return a copy that is restored from the state, with its sets in another order."""
    model = ServiceModel(host.row.make())  # type: ignore[arg-type]
    model.service = _like(host.object)
    model.service.restore(host.object.snapshot())  # type: ignore[union-attr]
    model.service.state = reorder_sets(model.service.state)
    return model


def _forgotten(host: Host) -> str:
    """Say what the snapshot of the author's state leaves out, or nothing."""
    object: Any = host.object
    restored = _like(object)
    restored.restore(object.snapshot())
    found = difference("state", object.state, restored.state)
    if found is None:
        return ""
    return (
        f"the snapshot is not whole: {found[0]} is {found[1]}, {found[2]} when restored from it; "
        "what snapshot() leaves out, restore() must make again from the rest"
    )


def _first(one: Any, other: Any, mine: str, theirs: str) -> str:
    """Say in which part of the state two objects of a service differ first."""
    found = difference("state", one.state, other.state)
    if found is None:
        return "the states encode in different ways" if one.digest() != other.digest() else "beside the state"
    return f"{found[0]} is {found[1]} {mine}, {found[2]} {theirs}"


def _calls(service: str, batches: list[Batch]) -> str:
    """Return the operations of batches as calls."""
    calls = []
    for batch in batches:
        for entry in entries.decode(batch.payload).entries:
            if isinstance(entry, Call):
                calls.append(_call(service, entry.operation, entry.arguments))
    more = f" and {len(calls) - TOLD_MAX} more" if len(calls) > TOLD_MAX else ""
    return ", ".join(calls[:TOLD_MAX]) + more if calls else f"{service}: no operation"


def _call(service: str, operation: str, arguments: bytes) -> str:
    """Return a call as the author would write it."""
    named = ", ".join(f"{name}={value!r}" for name, value in _decode(arguments).items())
    return f"{service}.{operation}({named})"


def _told(reply: tuple[int, bytes]) -> str:
    return repr(_decode(reply[1])) if reply[1] else "nothing"
