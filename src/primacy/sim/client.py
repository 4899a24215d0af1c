"""A simulated client with a workload (conversation.py has its machine and its streams).

It makes calls and queries of one service, some together or as they arrive, and repeats whatever it was not answered;
what it invoked and what it learned, with the virtual times, is the history that linearizability is checked on. Clients
of the logbook append names and read logs (those of naming: naming_client.py). How they behave beyond that is the
run's `Manners`. A client that ends does not come again: its successor is another one (crowd.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from primacy.errors import Deadline, NoPrimary
from primacy.machines.call_wire import DONE, Answer, Reply
from primacy.machines.client_calls import Pending
from primacy.machines.client_session import Effect, Pushed
from primacy.machines.ids import FOREVER_NS, MS
from primacy.sim import logbook
from primacy.sim.conversation import Conversation
from primacy.sim.linearizability import Record
from primacy.sim.manners import OPEN_LOOP_MAX, PLAIN, Manners
from primacy.sim.network import Network
from primacy.sim.node import Node
from primacy.sim.scheduler import Scheduler
from primacy.sim.settings import LOGBOOK
from primacy.sim.watches import Told

KEYS = ("x", "y", "z")
ABANDON_MS = 300

_encode = msgspec.msgpack.Encoder().encode


class Operation:
    """One operation that the client has invoked. refused: it was told that this was not carried out."""

    __slots__ = ("argument", "completed_ns", "invoked_ns", "key", "name", "refused", "result")

    def __init__(self, name: str, key: str, argument: str | None, invoked_ns: int) -> None:
        self.name, self.key, self.argument, self.invoked_ns = name, key, argument, invoked_ns
        self.completed_ns: int | None = None
        self.refused = False
        self.result: Any = None


class Load(NamedTuple):
    """How much a client does. together: operations outstanding at most; think_ns: its pauses; reads: their share."""

    together: int
    think_ns: tuple[int, int]
    reads: float
    manners: Manners = PLAIN


class Client(Conversation):
    """One client of one service. name: its place in the network; label: what its calls are told apart by.

    failures: how calls have ended that had to be answered. ended(client): it has closed, or died.
    """

    service = LOGBOOK
    change, look = "append", "read"
    topics: tuple[str, ...] = ("", "", *KEYS)

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        network: Network,
        nodes: dict[str, Node],
        source: random.Random,
        load: Load,
        label: str = "",
        ended: Callable[[Client, str], None] = lambda client, how: None,
    ) -> None:
        super().__init__(name, self.service, scheduler, network, nodes, source)
        self.load, self.manners, self.label = load, load.manners, label or name
        self.operations: list[Operation] = []
        self._open: dict[int, Operation] = {}
        self.keys = KEYS
        self.failures: list[str] = []
        self.told = Told(self.label, source.choice(self.topics) if self.manners.watch_ms[1] else "")
        self._ended = ended
        self._names = 0
        self._stopped = self._closing = False
        self.timer(self.scheduler.now_ns + int(source.uniform(0, 200 * MS)), self._next)
        if self.manners.life_ms[1]:
            self._later(self.manners.life_ms, self._end)
        if self._watches():
            self._watch()

    @property
    def outstanding(self) -> int:
        """Operations that have no answer."""
        calls, queries, _ = self.session.outstanding()
        return calls + queries

    def waiting(self) -> list[Operation]:
        """The operations that have no answer."""
        return list(self._open.values())

    def history(self, *, refused: bool = False) -> list[Record]:
        """What was invoked, and what came of it; or what the client was told was not carried out."""
        return [
            Record(self.label, o.key, o.name, o.argument, o.invoked_ns, o.completed_ns, o.result)
            for o in self.operations
            if o.refused is refused
        ]

    # ---- workload ----

    def stop(self) -> None:
        """Invoke nothing more by itself, and stay."""
        self._stopped = True

    def _later(self, bounds_ms: tuple[int, int], action: Callable[[], None]) -> None:
        low, high = bounds_ms
        self.timer(self.scheduler.now_ns + int(self.random.uniform(low, high) * MS), action)

    def _next(self) -> None:
        if self._stopped:
            return
        every_ms = self.manners.every_ms
        if self.outstanding < (OPEN_LOOP_MAX if every_ms else self.load.together):
            reads = self.random.random() < self.load.reads
            self.invoke(self.look if reads else self.change, self.random.choice(self.keys))
        if every_ms:
            pause_ns = int(self.random.expovariate(1 / every_ms) * MS)
        else:
            pause_ns = int(self.random.uniform(*self.load.think_ns))
        self.timer(self.scheduler.now_ns + pause_ns, self._next)

    def invoke(self, operation: str, key: str, *, patient: bool = False) -> None:
        """Begin an operation; patient: it may take for ever."""
        now_ns, argument = self.scheduler.now_ns, None
        if operation == self.change:
            self._names += 1
            argument = f"{self.label}-{self._names}"
        token = Operation(operation, key, argument, now_ns)
        self._open[id(token)] = token
        self.operations.append(token)
        method, packed = self._packed(key, argument)
        pending = Pending(token, method, packed, now_ns, FOREVER_NS)
        low, high = self.manners.deadline_ms
        if high and not patient:
            pending.deadline_ns = now_ns + int(self.random.uniform(low, high) * MS)
        begin: Callable[[Pending, int], list[Effect]] = self.session.call
        if argument is None:
            begin = self.session.query
            confirmed = self.manners.confirmed
            pending.confirm = bool(confirmed) and self.random.random() < confirmed
        self.obey(begin(pending, now_ns))
        abandoned = self.manners.abandoned
        if abandoned and not patient and self.random.random() < abandoned:
            self._later((0, ABANDON_MS), partial(self._abandon, pending))

    def _abandon(self, pending: Pending) -> None:
        """The caller wants no answer any more."""
        if id(pending.token) in self._open:
            self.session.abandon(pending)
            self.obey([])

    def _packed(self, key: str, argument: str | None) -> tuple[str, bytes]:
        """Return the method of the service and its arguments."""
        if argument is None:
            return "read", _encode({"key": key})
        return "append", _encode({"key": key, "name": argument})

    def _learned(self, operation: Operation, method: str, outcome: int, payload: bytes) -> Any:
        """Return what the history says of an answer."""
        assert outcome == DONE, (method, outcome, payload)
        return logbook.decode(payload)

    # ---- the watch ----

    def _watches(self) -> bool:
        """Whether it watches."""
        return self.manners.watch_ms[1] > 0

    def _watch(self) -> None:
        self.obey(self.session.watch(self.told.begin(self.scheduler.now_ns)))
        if self.manners.watch_ms[1]:
            self._later(self.manners.watch_ms, self._unwatch)

    def _unwatch(self) -> None:
        """End the watch, and begin it again a moment later, or at once."""
        if not self._stopped:
            self.obey(self.session.unwatch(self.told.end()))
            self._later(self.random.choice(((0, 0), (0, 50))), self._watch)

    def pushed(self, push: Pushed) -> None:
        """Events of the watch."""
        self.told.take(push)

    # ---- the end of its life ----

    def _end(self) -> None:
        if self._stopped:
            return
        dies, calls = self.random.random() < self.manners.killed, len(self._open)
        self._stopped = self._closing = True
        if not dies:
            self.obey(self.session.close("the client was closed"))
        self._open.clear()
        self.told.watching = None
        self.kill()
        how = f"dies with {calls} calls open, and leaves its session behind" if dies else "closes in order"
        self._ended(self, how)

    # ---- ends of operations ----

    def finished(self, pending: Pending, reply: Reply | Answer) -> None:
        """Note what was learned."""
        operation: Operation = pending.token
        operation.completed_ns = self.scheduler.now_ns
        operation.result = self._learned(operation, pending.operation, reply.outcome, reply.payload)
        del self._open[id(operation)]

    def failed(self, pending: Pending, error: Exception) -> None:
        """Nothing was learned, but perhaps that it was not carried out."""
        operation: Operation = pending.token
        del self._open[id(operation)]
        operation.refused = not (isinstance(error, Deadline) and error.maybe_applied)
        late = self._closing or self.scheduler.now_ns >= pending.deadline_ns
        expired = self.manners.uptime_times > 1 and "session" in str(error)
        if not (late and isinstance(error, Deadline | NoPrimary)) and not expired:
            self.failures.append(f"{pending.operation}: {error}")
