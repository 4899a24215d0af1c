"""A client in a simulated cluster: the production client's interface, but each call runs virtual time until its end.

    client = cluster.client()
    inventory = client.service("inventory")
    inventory.add(article="bolt", count=3)             # returns and raises what the production client does
    inventory.query.stock(article="bolt")
    pending = inventory.start.add(article="nut", count=1)   # begins, and lets time stand
    cluster.run(2)
    pending.result()

A client keeps the record of all its calls: what is judged in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from primacy.errors import StreamClosed
from primacy.machines.call_wire import DONE, Answer, Reply
from primacy.machines.client_calls import (
    ARGUMENTS_BYTES_MAX,
    WATCHES_MAX,
    Pending,
    failure_of,
    too_large,
    too_many,
)
from primacy.machines.client_session import Pushed, Watching
from primacy.machines.ids import SECOND
from primacy.sim.authors.names import Names
from primacy.sim.conversation import Conversation

DEADLINE_S = 30.0
"""How long a call may take, in virtual time, unless the caller says otherwise; as in production."""

Item = tuple[int, str, bytes]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Stage(Protocol):
    """What a client asks of its cluster."""

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Run virtual time until it is so."""

    def conversation(self, client: str, service: str) -> Talk:
        """Return a new conversation with a service; ConfigError when there is none of that name."""


class Called:
    """One call or query: from its beginning to its end, and ever after. Times are true virtual time."""

    def __init__(self, client: str, service: str, pending: Pending, *, query: bool) -> None:
        self.client, self.service, self.query = client, service, query
        self.operation, self.arguments = pending.operation, pending.arguments
        self.invoked_ns = pending.invoked_ns
        self.completed_ns: int | None = None
        self.session = self.number = 0
        self.outcome = -1
        self.payload = b""
        self.error: Exception | None = None

    @property
    def end_ns(self) -> int:
        """When it was answered (only of one that was)."""
        assert self.completed_ns is not None
        return self.completed_ns

    @property
    def done(self) -> bool:
        """Whether it has ended, with an answer or without."""
        return self.completed_ns is not None or self.error is not None

    def sentence(self) -> str:
        """Return the call in words."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in _decode(self.arguments).items())
        what = f"{self.client}: {self.service}.{self.operation}({arguments})"
        if self.completed_ns is None:
            end = f"{self.error}" if self.error is not None else "not answered"
            return f"{what} from {self.invoked_ns / 1e6:.3f} ms: {end}"
        said = repr(_decode(self.payload)) if self.payload else "nothing"
        span = f"{self.invoked_ns / 1e6:.3f} to {self.completed_ns / 1e6:.3f} ms"
        return f"{what} -> {said} ({span})"


class Started:
    """A call that was begun; virtual time does not run for it until `result` is asked for."""

    def __init__(self, stage: Stage, called: Called) -> None:
        self._stage, self._called = stage, called

    @property
    def done(self) -> bool:
        """Whether it has ended, with a result or an error."""
        return self._called.done

    def result(self) -> Any:
        """Run virtual time until it has ended; return its result or raise its error."""
        __tracebackhide__ = True
        called = self._called
        self._stage.wait_for(lambda: called.done)
        if called.error is not None:
            raise called.error
        return _decode(called.payload)

    def __repr__(self) -> str:
        return f"<{self._called.sentence()}>"


class Watch:
    """A watch: `changes` grows while virtual time runs; `lost` counts how often events were gone for good."""

    def __init__(self, client: str, topic: str, end: Callable[[], None]) -> None:
        self.client, self.topic = client, topic
        self.changes: list[Item] = []
        """(position, topic, payload in MessagePack), in order."""
        self.lost = 0
        self.began = -1
        self._loss = 0
        self.close = end

    @property
    def values(self) -> list[Any]:
        """What was published: the payloads, decoded."""
        return [_decode(payload) for _, _, payload in self.changes]

    def since_the_last_loss(self) -> list[Item]:
        """What was told since then (or from the beginning on): nothing may be missing in it."""
        return self.changes[self._loss :]

    def told(self, push: Pushed) -> None:
        """Take what has arrived."""
        if push.lost:
            self.lost += 1
            self._loss, self.began = len(self.changes), -1
        elif self.began < 0 and not self.changes:
            self.began = push.items[0][0] - 1 if push.items else push.watching.position
        self.changes += push.items


class Talk(Conversation):
    """One service, as one client talks with it. What has ended stays in `calls`."""

    clock: Callable[[], int]

    def begin(self) -> None:
        """Start with what is there."""
        self.calls: list[Called] = []
        self.watches: list[Watch] = []
        self._open: dict[int, tuple[Called, Pending]] = {}
        self.failures: list[str] = []
        for node in self.nodes.values():
            for host in node.hosts:
                if host.alive and host.service == self.session.service:
                    self.host_came(host)  # type: ignore[arg-type]

    def waiting(self) -> list[Called]:
        """The calls that have not ended."""
        return [called for called, _ in self._open.values()]

    def stop(self) -> None:
        """A client of an author begins nothing by itself."""

    def call(
        self, operation: str, arguments: dict[str, Any], deadline_s: float, *, query: bool, confirm: bool
    ) -> Called:
        """Begin a call or a query."""
        encoded, service = _encode(arguments), self.session.service
        if not self.alive:
            raise StreamClosed(f"{service}: the client was closed")
        if len(encoded) > ARGUMENTS_BYTES_MAX:
            raise too_large(f"{service}.{operation}", len(encoded))
        now_ns = self.scheduler.now_ns
        pending = Pending(None, operation, encoded, now_ns, now_ns + int(deadline_s * SECOND), confirm)
        called = pending.token = Called(self.name, service, pending, query=query)
        self.calls.append(called)
        self._open[id(called)] = called, pending
        self.obey((self.session.query if query else self.session.call)(pending, now_ns))
        return called

    def watch(self, topic: str, position: int) -> Watch:
        """Begin a watch."""
        if len(self.session.watches()) >= WATCHES_MAX:
            raise too_many(self.session.service, "watches", WATCHES_MAX)
        watch = Watch(self.name, topic, lambda: self.obey(self.session.unwatch(watching)))
        watching = Watching(watch, topic, position)
        self.watches.append(watch)
        if position:
            watch.began = position
        self.obey(self.session.watch(watching))
        return watch

    def close(self) -> None:
        """End the session in order; what has no answer ends."""
        if self.alive:
            self.obey(self.session.close("the client was closed"))
            self.kill()

    # ---- ends ----

    def finished(self, pending: Pending, reply: Reply | Answer) -> None:
        """A call has its answer."""
        called: Called = pending.token
        del self._open[id(called)]
        if isinstance(reply, Reply):
            called.session, called.number = reply.session, reply.number
        called.completed_ns, called.outcome, called.payload = (
            self.scheduler.now_ns,
            reply.outcome,
            reply.payload,
        )
        if reply.outcome != DONE:
            called.error = failure_of(f"{called.service}.{called.operation}", reply)

    def failed(self, pending: Pending, error: Exception) -> None:
        """A call has ended without one."""
        called: Called = pending.token
        del self._open[id(called)]
        called.error = error

    def pushed(self, push: Pushed) -> None:
        """Events of a watch."""
        push.watching.token.told(push)


class Client:
    """One client of the cluster; `Cluster.client` makes it."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self._stage = stage
        self._talks: dict[str, Talk] = {}

    def service(self, name: str) -> Service:
        """Return a service, to call its operations and queries as methods."""
        return Service(self, self._talk(name).session.service)

    def call(
        self, service: str, operation: str, /, *, deadline_s: float = DEADLINE_S, **arguments: Any
    ) -> Any:
        """Call an operation and return its result; raises what the production client raises."""
        __tracebackhide__ = True
        return self.start(service, operation, deadline_s=deadline_s, **arguments).result()

    def query(
        self,
        service: str,
        operation: str,
        /,
        *,
        deadline_s: float = DEADLINE_S,
        confirm: bool = False,
        **arguments: Any,
    ) -> Any:
        """Ask a query: a linearizable read."""
        __tracebackhide__ = True
        asked = self._talk(service).call(operation, arguments, deadline_s, query=True, confirm=confirm)
        return Started(self._stage, asked).result()

    def start(
        self, service: str, operation: str, /, *, deadline_s: float = DEADLINE_S, **arguments: Any
    ) -> Started:
        """Begin a call, and return it: virtual time does not run."""
        called = self._talk(service).call(operation, arguments, deadline_s, query=False, confirm=False)
        return Started(self._stage, called)

    def start_query(
        self,
        service: str,
        operation: str,
        /,
        *,
        deadline_s: float = DEADLINE_S,
        confirm: bool = False,
        **arguments: Any,
    ) -> Started:
        """Begin a query, and return it: virtual time does not run."""
        asked = self._talk(service).call(operation, arguments, deadline_s, query=True, confirm=confirm)
        return Started(self._stage, asked)

    def watch(self, service: str, topic: str = "", position: int = 0) -> Watch:
        """Watch what a service publishes under topics with this beginning, after `position` (0: from now on).

        It has begun when this returns.
        """
        watch = self._talk(service).watch(topic, position)
        self._stage.wait_for(lambda: watch.began >= 0 or bool(watch.changes) or watch.lost > 0)
        return watch

    @property
    def names(self) -> Names:
        """The naming service."""
        return Names(self)

    @property
    def calls(self) -> list[Called]:
        """All that this client has called and asked, service by service."""
        return [called for talk in self._talks.values() for called in talk.calls]

    def close(self) -> None:
        """End the client's sessions in order."""
        for talk in self._talks.values():
            talk.close()

    def _talk(self, service: str) -> Talk:
        talk = self._talks.get(service)
        if talk is None:
            talk = self._talks[service] = self._stage.conversation(self.name, service)
        return talk


class Service:
    """A service: its operations as attributes, its queries under `query`; under `start` what only begins."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name
        self.query = _Methods(name, client.query)
        self.start = _Start(client, name)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        _check(name)
        return _method(self._name, name, self._client.call)

    def __repr__(self) -> str:
        return f"<service {self._name} of {self._client.name}>"


class _Methods:
    """Attributes that call `begin(service, name, **arguments)`."""

    def __init__(self, service: str, begin: Callable[..., Any]) -> None:
        self._service, self._begin = service, begin

    def __getattr__(self, name: str) -> Callable[..., Any]:
        _check(name)
        return _method(self._service, name, self._begin)


class _Start(_Methods):
    """Operations that are begun; `query`: queries likewise. Called itself, it is the operation of that name."""

    def __init__(self, client: Client, service: str) -> None:
        super().__init__(service, client.start)
        self.query = _Methods(service, client.start_query)
        self._client = client

    def __call__(self, **arguments: Any) -> Any:
        return self._client.call(self._service, "start", **arguments)


def _method(service: str, name: str, begin: Callable[..., Any]) -> Callable[..., Any]:
    def method(*positional: Any, **arguments: Any) -> Any:
        __tracebackhide__ = True
        if positional:
            want = f"{service}.{name}(argument=value)"
            raise TypeError(f"{service}.{name}() takes its arguments by keyword only: write {want}")
        return begin(service, name, **arguments)

    method.__name__ = name
    return method


def _check(name: str) -> None:
    if name.startswith("_"):  # what Python itself asks for must not become an operation
        raise AttributeError(f"no operation or query begins with an underscore: {name}")
