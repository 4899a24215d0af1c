"""The services that are measured: a set of ids that remembers how often each was inserted, and empty callbacks."""

from __future__ import annotations

from typing import Any

import msgspec

from primacy.machines.ids import Function
from primacy.service import Context, LocalService, Service, on, operation, query


class Inserted(msgspec.Struct):
    """How often each id was inserted; every number but 1 is a fault of the cluster."""

    times: dict[int, int] = {}


class Register(Service[Inserted]):
    """Ids, each inserted once by its client; tells which are not there exactly once."""

    @operation
    def insert(self, ctx: object, id: int) -> None:
        """Insert an id."""
        times = self.state.times
        times[id] = times.get(id, 0) + 1

    @query
    def wrong(self, ids: list[int]) -> list[tuple[int, int]]:
        """Return (id, times) for each of these ids that was not inserted exactly once."""
        times = self.state.times
        return [(id, times.get(id, 0)) for id in ids if times.get(id, 0) != 1]

    @query
    def totals(self) -> tuple[int, int]:
        """Return how many ids there are, and how many of them were inserted more than once."""
        return len(self.state.times), sum(1 for count in self.state.times.values() if count > 1)


def _empty(*functions: Function) -> Any:
    """A callback that does nothing, on two levels of each of these functions."""

    async def nothing(self: Any, ctx: Context) -> None:
        """Do nothing."""

    for function in functions:
        for level in (1, 2):
            on(function, level=level)(nothing)
    return nothing


class Empty(Register):
    """A centralized service with empty callbacks in every function."""

    nothing = _empty(*(function for function in Function if function is not Function.RECONNECT))


class EmptyLocal(LocalService):
    """A local service with empty callbacks in every function that it takes part in."""

    nothing = _empty(Function.INITIALIZE, Function.RECONNECT, Function.SHUTDOWN)
