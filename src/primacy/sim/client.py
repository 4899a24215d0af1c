"""A simulated client with a workload (conversation.py has its machine and its streams).

It makes calls and queries of one service, one at a time or several, and repeats whatever it was not answered; what
it invoked and what it learned, with the virtual times, is the history that linearizability is checked on. Clients of
the logbook append names and read logs; those of naming bind names anew and resolve them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from primacy.machines.call_wire import DONE, RAISED, Answer, Reply
from primacy.machines.client_calls import Pending
from primacy.machines.client_session import Effect, Pushed, Watching
from primacy.machines.ids import FOREVER_NS, MS
from primacy.machines.naming import Listed
from primacy.sim import logbook
from primacy.sim.conversation import Conversation
from primacy.sim.linearizability import Record
from primacy.sim.network import Network
from primacy.sim.node import Node
from primacy.sim.scheduler import Scheduler
from primacy.sim.settings import LOGBOOK, NAMING

KEYS = ("x", "y", "z")

_encode = msgspec.msgpack.Encoder().encode
_listed = msgspec.msgpack.Decoder(Listed)


class Operation:
    """One operation that the client has invoked."""

    __slots__ = ("argument", "completed_ns", "invoked_ns", "key", "name", "result")

    def __init__(self, name: str, key: str, argument: str | None, invoked_ns: int) -> None:
        self.name, self.key, self.argument, self.invoked_ns = name, key, argument, invoked_ns
        self.completed_ns: int | None = None
        self.result: Any = None


class Load(NamedTuple):
    """How much a client does. together: operations outstanding at most; think_ns: its pauses; reads: their share."""

    together: int
    think_ns: tuple[int, int]
    reads: float


class Client(Conversation):
    """One client of one service."""

    service = LOGBOOK
    change, look = "append", "read"

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        network: Network,
        nodes: dict[str, Node],
        source: random.Random,
        load: Load,
    ) -> None:
        super().__init__(name, self.service, scheduler, network, nodes, source)
        self.load = load
        self.operations: list[Operation] = []
        self._open: dict[int, Operation] = {}
        self.keys = KEYS
        self.failures: list[str] = []
        self._names = 0
        self._stopped = False
        self.timer(int(source.uniform(0, 200 * MS)), self._next)

    @property
    def outstanding(self) -> int:
        """Operations that have no answer."""
        calls, queries, _ = self.session.outstanding()
        return calls + queries

    def waiting(self) -> list[Operation]:
        """The operations that have no answer."""
        return list(self._open.values())

    def history(self) -> list[Record]:
        """What was invoked, and what came of it."""
        return [
            Record(self.name, o.key, o.name, o.argument, o.invoked_ns, o.completed_ns, o.result)
            for o in self.operations
        ]

    # ---- workload ----

    def stop(self) -> None:
        """Invoke nothing more by itself."""
        self._stopped = True

    def _next(self) -> None:
        if self._stopped:
            return
        if self.outstanding < self.load.together:
            reads = self.random.random() < self.load.reads
            self.invoke(self.look if reads else self.change, self.random.choice(self.keys))
        self.timer(self.scheduler.now_ns + int(self.random.uniform(*self.load.think_ns)), self._next)

    def invoke(self, operation: str, key: str) -> None:
        """Begin an operation."""
        now_ns, argument = self.scheduler.now_ns, None
        if operation == self.change:
            self._names += 1
            argument = f"{self.name}-{self._names}"
        token = Operation(operation, key, argument, now_ns)
        self._open[id(token)] = token
        self.operations.append(token)
        method, packed = self._packed(key, argument)
        pending = Pending(token, method, packed, now_ns, FOREVER_NS)
        begin: Callable[[Pending, int], list[Effect]] = self.session.call
        if argument is None:
            begin = self.session.query
        self.obey(begin(pending, now_ns))

    def _packed(self, key: str, argument: str | None) -> tuple[str, bytes]:
        """Return the method of the service and its arguments."""
        if argument is None:
            return "read", _encode({"key": key})
        return "append", _encode({"key": key, "name": argument})

    def _learned(self, operation: Operation, outcome: int, payload: bytes) -> Any:
        """Return what the history says of an answer."""
        assert outcome == DONE, (operation.name, outcome, payload)
        return logbook.decode(payload)

    # ---- ends ----

    def finished(self, pending: Pending, reply: Reply | Answer) -> None:
        """Note what was learned."""
        operation: Operation = pending.token
        operation.completed_ns = self.scheduler.now_ns
        operation.result = self._learned(operation, reply.outcome, reply.payload)
        del self._open[id(operation)]

    def failed(self, pending: Pending, error: Exception) -> None:
        """Nothing was learned."""
        del self._open[id(pending.token)]
        self.failures.append(f"{pending.operation}: {error}")


class NamingClient(Client):
    """A client of the naming service: what a name is bound to is a register. It watches all names.

    told: what it was told by position; gap: the first sentence about what is missing.
    """

    service = NAMING
    change, look = "write", "read"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.told: dict[int, tuple[str, bytes]] = {}
        self.gap = ""
        self._position = 0
        self.obey(self.session.watch(Watching(None, "", 0)))

    def pushed(self, push: Pushed) -> None:
        """Each position follows the one before; the first one may be any."""
        if push.lost and self._position and not self.gap:
            self.gap = f"{self.name} was told that events after {self._position} are lost"
        for position, topic, payload in push.items:
            if self._position and position != self._position + 1 and not self.gap:
                self.gap = f"{self.name} was told of event {position} after event {self._position}"
            self._position = position
            self.told[position] = (topic, payload)
        self._position = max(self._position, push.watching.position)

    def _packed(self, key: str, argument: str | None) -> tuple[str, bytes]:
        """Return the method of the service and its arguments."""
        name = f"shop/{key}"
        if argument is None:
            return "resolve", _encode({"name": name})
        return "rebind", _encode({"name": name, "endpoint": argument})

    def _learned(self, operation: Operation, outcome: int, payload: bytes) -> Any:
        """Return what the history says of an answer."""
        if operation.name == "write":
            assert outcome == DONE, (operation.name, outcome, payload)
            return None
        if outcome == RAISED:
            return None  # it is bound to nothing
        return _listed.decode(payload).endpoint
