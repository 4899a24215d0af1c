"""The service that the checkers look through: named logs, to which clients append names that are never used twice.

`append(key, name)` and `read(key)` return (length, last), as `linearizability.Log` expects. So a name that is
lost, doubled or in another order shows in every later result. Each name is published under its key. It is written as
any service is; beside its state it keeps which names it has seen, that a name which comes twice is noticed at once.
`Door` is its local companion.
"""

from __future__ import annotations

import msgspec

from primacy.service import (
    Context,
    HealthContext,
    LocalService,
    OperationContext,
    Service,
    health,
    on,
    operation,
    query,
)

CALLBACK_S = 1.0


class Logs(msgspec.Struct):
    """The replicated state."""

    logs: dict[str, list[str]] = {}


class Logbook(Service[Logs]):
    """Named logs. names: all that were ever appended; doubled: those that were appended twice."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.doubled: list[str] = []

    @operation
    def append(self, ctx: OperationContext, key: str, name: str) -> tuple[int, str]:
        """Append the name; one that is there already is noted as doubled."""
        log = self.state.logs.setdefault(key, [])
        log.append(name)
        if name in self.names:
            self.doubled.append(name)
        self.names.add(name)
        ctx.publish(key, name)
        return len(log), name

    @query
    def read(self, key: str) -> tuple[int, str]:
        """Return how many names the log holds, and the last one."""
        log = self.state.logs.get(key, [])
        return len(log), log[-1] if log else ""

    @health(period=0.5, timeout=0.3, failures=2)
    async def well(self, ctx: HealthContext) -> None:
        """Nothing is ever wrong with it, unless a fault wants it so."""

    def restore(self, snapshot: bytes) -> None:
        """Replace the state, and what is known of its names."""
        super().restore(snapshot)
        names = [name for log in self.state.logs.values() for name in log]
        self.names = set(names)
        if len(names) != len(self.names):
            self.doubled = sorted({name for name in names if names.count(name) > 1})

    @on("initialize", level=1, timeout=CALLBACK_S)
    @on("failover", level=1, timeout=CALLBACK_S, on_failure="retry", retries=1, delay=0.1)
    @on("switchover", level=1, timeout=CALLBACK_S)
    @on("qualify", level=1, timeout=CALLBACK_S)
    @on("promote", level=1, timeout=CALLBACK_S)
    @on("demote", level=1, timeout=CALLBACK_S)
    @on("disqualify", level=1, timeout=CALLBACK_S)
    @on("remove", level=1, timeout=CALLBACK_S)
    @on("shutdown", level=1, timeout=CALLBACK_S)
    async def first(self, ctx: Context) -> None:
        """Take part in every function's first level."""

    @on("switchover", level=2, timeout=CALLBACK_S)
    @on("qualify", level=2, timeout=CALLBACK_S)
    @on("promote", level=2, timeout=CALLBACK_S)
    @on("demote", level=2, timeout=CALLBACK_S)
    @on("disqualify", level=2, timeout=CALLBACK_S)
    @on("remove", level=2, timeout=CALLBACK_S)
    async def middle(self, ctx: Context) -> None:
        """Take part in between, so that two levels are complete when the last one refuses."""

    @on("initialize", level=3, timeout=CALLBACK_S)
    @on("failover", level=3, timeout=CALLBACK_S)
    @on("switchover", level=3, timeout=CALLBACK_S, on_failure="retry", retries=1, delay=0.1)
    @on("qualify", level=3, timeout=CALLBACK_S)
    @on("promote", level=3, timeout=CALLBACK_S, on_failure="restart")
    @on("demote", level=3, timeout=CALLBACK_S)
    @on("disqualify", level=3, timeout=CALLBACK_S)
    @on("remove", level=3, timeout=CALLBACK_S)
    @on("shutdown", level=3, timeout=CALLBACK_S, on_failure="escalate")
    async def last(self, ctx: Context) -> None:
        """Take part in every function's last level."""


class Door(LocalService):
    """A local service: on every node, it takes part in what comes first, in between and last."""

    @on("initialize", level=2, timeout=CALLBACK_S)
    @on("shutdown", level=2, timeout=CALLBACK_S)
    async def between(self, ctx: Context) -> None:
        """Come up after what the logbook has at its first level, and end before it."""

    @on("reconnect", level=1, timeout=CALLBACK_S)
    async def look(self, ctx: Context) -> None:
        """Look for the primaries."""
        assert self.primaries is not None, "a reconnect before the primaries were told"

    @on("reconnect", level=2, timeout=CALLBACK_S, on_failure="retry", retries=1, delay=0.1)
    async def reattach(self, ctx: Context) -> None:
        """Attach to them."""


encode = msgspec.msgpack.Encoder().encode
_result = msgspec.msgpack.Decoder(tuple[int, str])
_arguments = msgspec.msgpack.Decoder(dict[str, str])


def decode(payload: bytes) -> tuple[int, str]:
    """Return the (length, last) of a reply."""
    return _result.decode(payload)


def name_of(arguments: bytes) -> str:
    """Return the name that a call of `append` brings."""
    return _arguments.decode(arguments)["name"]
