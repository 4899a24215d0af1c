"""What the author of a service writes: a state, operations on it, queries, callbacks, timers.

    class Stock(msgspec.Struct):
        count: dict[str, int] = {}

    class Inventory(primacy.Service[Stock]):
        @primacy.on("failover", level=2)
        async def take_over(self, ctx): ...

        @primacy.operation
        def add(self, ctx, article: str, count: int) -> int:
            self.state.count[article] = self.state.count.get(article, 0) + count
            return self.state.count[article]

        @primacy.query
        def stock(self, article: str) -> int:
            return self.state.count.get(article, 0)

**Operations** run on every replica, in the same order, and must come to the same result: they read nothing
but their arguments, the state and `ctx` (time and randomness come from there), and they do no I/O. An
exception is a result like any other: it is replicated, kept for repeats, and raised at the caller as
`OperationFailed`. What the operation had changed before it raised stays changed, identically on every
replica: check first, then change. Arguments are checked against the annotations before anything is logged.
**Queries** only read. **Callbacks** and **timers** are coroutines, run on one node, and may do I/O; they
change the state only through `ctx.call`, never directly.

This module knows no loop, socket or file: the host and the simulator drive it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar, get_args, get_origin, overload
from weakref import WeakKeyDictionary

import msgspec

from primacy.errors import ConfigError
from primacy.machines.call_wire import DONE, INVALID, RAISED
from primacy.machines.canonical import canonical
from primacy.machines.description import Description, described, mark_kind, marks_of
from primacy.machines.host_wire import Callback, Primaries
from primacy.machines.host_wire import Context as Context
from primacy.machines.ids import Function
from primacy.machines.methods import Method
from primacy.machines.replica import EVENT_BYTES_MAX, Replica

State = TypeVar("State")
Handler = TypeVar("Handler", bound=Callable[..., Any])

ON_FAILURE = ("refuse", "retry", "restart", "escalate")
RESULT_BYTES_MAX = 1_000_000
ERROR_LENGTH_MAX = 4_096


class NoState(msgspec.Struct):
    """The state of a service that declares none."""


# ---- decorators ----


def on(
    function: str,
    *,
    level: int = 1,
    timeout: float = 5.0,
    on_failure: str = "refuse",
    retries: int = 0,
    delay: float = 0.0,
) -> Callable[[Handler], Handler]:
    """Run the method in `level` of a function's callback sequence; stack several to run it in several.

    timeout: seconds for one try. on_failure: refuse | retry (`retries` times, `delay` seconds apart) |
    restart (the server) | escalate (to the vice, or to the node): what each of them means in each function stands in
    `primacy.machines.policies`. Raise `primacy.Refused([...])` to refuse in words.
    """
    where = f"@on({function!r}, level={level})"
    if function not in set(Function):
        raise ConfigError(where, f"function {function!r}", f"one of: {', '.join(Function)}")
    if on_failure not in ON_FAILURE:
        raise ConfigError(where, f"on_failure={on_failure!r}", f"one of: {', '.join(ON_FAILURE)}")
    if level < 0 or timeout <= 0 or retries < 0 or delay < 0:
        got = f"level={level}, timeout={timeout}, retries={retries}, delay={delay}"
        raise ConfigError(where, got, "none may be negative, and the time-out is more than 0 s")

    def mark(handler: Handler) -> Handler:
        callback = Callback(
            function, level, handler.__name__, float(timeout), on_failure, retries, float(delay)
        )
        marks_of(handler).callbacks.append(callback)
        return handler

    return mark


def operation(handler: Handler) -> Handler:
    """Make the method an operation: replicated, deterministic, exactly once per call of a session."""
    mark_kind(handler, "operation")
    return handler


@overload
def query(handler: Handler) -> Handler: ...
@overload
def query(*, confirm: bool = False) -> Callable[[Handler], Handler]: ...
def query(handler: Handler | None = None, *, confirm: bool = False) -> Handler | Callable[[Handler], Handler]:
    """Make the method a linearizable read; `confirm`: it waits for the vice's echo and trusts no clock."""

    def mark(handler: Handler) -> Handler:
        mark_kind(handler, "query").confirm = confirm
        return handler

    return mark if handler is None else mark(handler)


def timer(seconds: float) -> Callable[[Handler], Handler]:
    """Run the coroutine every so many seconds on the serving primary only; it ends with the term."""
    if not seconds > 0:
        raise ConfigError("@timer", f"{seconds} s", "more than 0 s")

    def mark(handler: Handler) -> Handler:
        mark_kind(handler, "timer").seconds = float(seconds)
        return handler

    return mark


def health(*, period: float = 5.0, timeout: float = 2.0, failures: int = 3) -> Callable[[Handler], Handler]:
    """Run the coroutine every `period` seconds on the serving primary; it raises when the service is not well.

    timeout: seconds for one check. failures: so many in a row count as a failure of the server, and the recovery
    ladder begins: restart in place, switchover, ... A secondary is judged by its mirror, and has no other check.
    """
    where = f"@health(period={period}, timeout={timeout}, failures={failures})"
    if not (period > 0 and timeout > 0 and failures >= 1):
        raise ConfigError(where, "one that is too small", "more than 0 s each, and at least one failure")

    def mark(handler: Handler) -> Handler:
        marks = mark_kind(handler, "health")
        marks.seconds, marks.timeout_s, marks.failures = float(period), float(timeout), int(failures)
        return handler

    return mark


# ---- contexts ----


class OperationContext:
    """What an operation may know besides its arguments and the state; valid during the operation only."""

    __slots__ = ("_random", "_replica", "_session")

    def __init__(self) -> None:
        self._replica: Replica
        self._session = 0
        self._random: random.Random | None = None

    def enter(self, replica: Replica, session: int) -> None:
        """Begin with the next operation (for the driver of the model)."""
        self._replica, self._session, self._random = replica, session, None

    @property
    def time_ns(self) -> int:
        """The wall clock in ns as the entry carries it: the same everywhere, and never going backwards."""
        return self._replica.time_ns

    @property
    def term(self) -> int:
        """The term in which the operation was accepted: a fencing token."""
        return self._replica.term

    @property
    def sequence(self) -> int:
        """The operation's number in the log: unique and ascending."""
        return self._replica.sequence

    @property
    def session(self) -> int:
        """The client's session; 0: the service's own timer."""
        return self._session

    @property
    def service_name(self) -> str:
        """The name under which the service runs in this cluster."""
        return self._replica.service

    @property
    def random(self) -> random.Random:
        """A generator that gives the same numbers on every replica."""
        if self._random is None:
            replica = self._replica
            self._random = random.Random(
                f"{replica.service}:{replica.term}:{replica.sequence}:{replica.time_ns}"
            )
        return self._random

    def publish(self, topic: str, event: Any) -> None:
        """Push `event` to the clients that watch `topic`, in order, once this operation is safe."""
        payload = _encode(event)
        if len(payload) > EVENT_BYTES_MAX:
            raise ValueError(f"an event of {len(payload)} bytes: at most {EVENT_BYTES_MAX}")
        self._replica.publish(topic, payload)


class TimerContext(Protocol):
    """What a timer gets. All of it is of the serving primary, in the term in which the timer fired."""

    term: int
    service_name: str
    nodes: list[str]
    """The members of the cluster as the master sees them."""

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call an operation of this service: replicated; raises `OperationFailed` as a client's call does."""

    def silent_sessions(self, seconds: float) -> list[int]:
        """Return the sessions without a sign of life for so long (counted anew when a primary takes over)."""


class HealthContext(msgspec.Struct, frozen=True):
    """What a health check gets."""

    term: int
    service_name: str
    node: str


# ---- what is derived from ----


class Service(Generic[State]):
    """Base of a centralized service: `Service[MyState]`, where every field of the state has a default.

    The same object lives through all states of its server (spare to primary); only `state` is replicated.
    What else it keeps (connections, caches) is its own affair, to be set up and given up in callbacks.
    """

    state: State
    state_type: ClassVar[type[Any]] = NoState

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Service):
                (argument,) = get_args(base)[:1]
                if not isinstance(argument, TypeVar):
                    cls.state_type = argument

    def __new__(cls) -> Service[State]:
        """Make the service with its initial state."""
        self = super().__new__(cls)
        try:
            self.state = cls.state_type()
        except TypeError as error:
            want = "a msgspec Struct whose fields all have defaults"
            raise ConfigError(cls.__name__, f"state {cls.state_type!r} ({error})", want) from error
        return self

    def snapshot(self) -> bytes:
        """Return the state as bytes; overridden together with `restore`. Must not change anything."""
        return _encode(self.state)

    def digest(self) -> bytes:
        """Return bytes that are equal when the state is (dicts and sets in any order); follows `snapshot`.

        The state is taken as a replica would have it that was restored from the snapshot.
        """
        snapshot = self.snapshot()
        if type(self).snapshot is not Service.snapshot:
            return snapshot
        return canonical(msgspec.msgpack.decode(snapshot, type=self.state_type))

    def restore(self, snapshot: bytes) -> None:
        """Replace the state by what `snapshot` returned on another replica."""
        self.state = msgspec.msgpack.decode(snapshot, type=self.state_type)


class LocalService:
    """Base of a local service: one independent server on every node; it has callbacks, and no replicated
    state.

    In its `reconnect` callback the primaries of a new term are in service, and `primaries` says of which term, on
    which node, and where each of them listens. It is told so once for each term, and when its process has started
    anew. Calls go through a client: `primacy.connect()` here has the node's own credential.
    """

    primaries: Primaries | None = None
    """As told last; None before the first primaries have served."""


# ---- what is derived from it ----


_known: WeakKeyDictionary[type[Any], Description] = WeakKeyDictionary()


def describe(service: type[Any]) -> Description:
    """Return what the class consists of (only look at it); ConfigError says what is wrong with it, and where."""
    if service not in _known:
        _known[service] = _describe(service)
    return _known[service]


def _describe(service: type[Any]) -> Description:
    if issubclass(service, LocalService):
        return described(service, reserved=set(dir(LocalService)), local=True)
    if not issubclass(service, Service):
        want = "a class derived from primacy.Service or LocalService"
        raise ConfigError("service", service.__name__, want)
    if not issubclass(service.state_type, msgspec.Struct):
        raise ConfigError(service.__name__, f"state {service.state_type!r}", "a msgspec Struct")
    return described(service, reserved=set(dir(Service)), local=False)


class ServiceModel:
    """A service as its replica drives it (`primacy.machines.replica.Model`)."""

    def __init__(self, service: Service[Any]) -> None:
        """Describe and take over `service`; ConfigError when it cannot be served."""
        self.service = service
        self.description = describe(type(service))
        self._operations, self._queries = self.description.operations, self.description.queries
        self._context = OperationContext()

    def prepare(self, operation: str, arguments: bytes) -> Any:
        """Return (method, arguments) of a call, or a str: why it is invalid."""
        method = self._operations.get(operation)
        if method is None:
            return _unknown("operation", operation, self._operations)
        try:
            return method, method.decode(arguments)
        except (ValueError, RecursionError) as error:
            return f"{method.where}: {error}"

    def execute(self, prepared: Any, replica: Replica, session: int) -> tuple[int, bytes]:
        """Execute what `prepare` returned; an exception of the operation is a result."""
        if type(prepared) is str:
            return INVALID, _encode(prepared)
        method, arguments = prepared
        context = self._context
        context.enter(replica, session)
        try:
            return _result(method.call((self.service, context), arguments))
        except Exception as error:  # (the author's code: its exception is a replicated result)
            return RAISED, _encode(_raised(error))

    def answer(self, query: str, arguments: bytes) -> tuple[int, bytes]:
        """Evaluate a query on the present state."""
        method = self._queries.get(query)
        if method is None:
            return INVALID, _encode(_unknown("query", query, self._queries))
        try:
            decoded = method.decode(arguments)
        except (ValueError, RecursionError) as error:
            return INVALID, _encode(f"{method.where}: {error}")
        try:
            return _result(method.call((self.service,), decoded))
        except Exception as error:  # (the author's code: its exception is the answer)
            return RAISED, _encode(_raised(error))

    def confirms(self, query: str) -> bool:
        """Say whether the query is declared with `confirm=True`."""
        return query in self.description.confirmed

    def snapshot(self) -> bytes:
        """Return the service's state."""
        return self.service.snapshot()

    def digest(self) -> bytes:
        """Return bytes that are equal when the state is."""
        return self.service.digest()

    def restore(self, snapshot: bytes) -> None:
        """Replace the service's state."""
        self.service.restore(snapshot)


def _result(value: Any) -> tuple[int, bytes]:
    payload = _encode(value)
    if len(payload) > RESULT_BYTES_MAX:
        raise ValueError(f"a result of {len(payload)} bytes: at most {RESULT_BYTES_MAX}")
    return DONE, payload


def _raised(error: Exception) -> list[str]:
    """Return (kind, message) without what differs between processes: the addresses of objects."""
    return [type(error).__name__, _ADDRESS.sub("", str(error))[:ERROR_LENGTH_MAX]]


def _unknown(kind: str, name: str, known: dict[str, Method]) -> str:
    return f"there is no {kind} {name!r}; there is: {', '.join(sorted(known)) or 'none'}"


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_encode = msgspec.msgpack.Encoder().encode
