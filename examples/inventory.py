"""An inventory: how many of each article are in store, and which deliveries have been booked.

    primacy up --service examples/inventory.py:Inventory

`add` and `take` change the stock; `record` books a delivery by its id, once, however often it is asked to; the
queries read. Whoever watches the topic `low/` is told when an article runs short.
"""

from __future__ import annotations

import msgspec

import primacy
from primacy.service import Context, OperationContext, TimerContext

LOW = 10
KEPT_NS = 24 * 3600 * 1_000_000_000


class Delivery(msgspec.Struct):
    """One booked delivery."""

    time_ns: int
    sequence: int


class Stock(msgspec.Struct):
    """The state: it is mirrored whole."""

    count: dict[str, int] = {}
    deliveries: dict[str, Delivery] = {}


class Inventory(primacy.Service[Stock]):
    """How many of each article are in store."""

    @primacy.on("initialize", level=1, timeout=5)
    async def warm_up(self, ctx: Context) -> None:
        """Prepare what is this node's own affair: connections, caches."""
        self.ready = True

    @primacy.on("failover", level=2)
    @primacy.on("switchover", level=2)
    async def take_over(self, ctx: Context) -> None:
        """This server is the primary from now on; `ctx.clean` says whether the hand-over was complete."""
        self.term = ctx.term

    @primacy.operation
    def add(self, ctx: OperationContext, article: str, count: int) -> int:
        """Put articles into store; return how many there are now."""
        self.state.count[article] = self.state.count.get(article, 0) + count
        return self.state.count[article]

    @primacy.operation
    def take(self, ctx: OperationContext, article: str, count: int) -> int:
        """Take articles out of store; return how many are left. Raises ValueError when there are too few."""
        left = self.state.count.get(article, 0) - count
        if left < 0:
            raise ValueError(f"{self.state.count.get(article, 0)} of {article} in store, {count} asked for")
        self.state.count[article] = left
        if left < LOW:
            ctx.publish(f"low/{article}", left)
        return left

    @primacy.operation
    def record(self, ctx: OperationContext, id: str) -> bool:
        """Book a delivery; return whether it is new."""
        if id in self.state.deliveries:
            return False
        self.state.deliveries[id] = Delivery(ctx.time_ns, ctx.sequence)
        return True

    @primacy.operation
    def forget_old(self, ctx: OperationContext) -> int:
        """Drop the deliveries of more than a day ago; return how many."""
        old = [id for id, each in self.state.deliveries.items() if ctx.time_ns - each.time_ns > KEPT_NS]
        for id in old:
            del self.state.deliveries[id]
        return len(old)

    @primacy.query
    def stock(self, article: str) -> int:
        """How many of this article are in store."""
        return self.state.count.get(article, 0)

    @primacy.query
    def recorded(self, id: str) -> bool:
        """Has this delivery been booked?"""
        return id in self.state.deliveries

    @primacy.query
    def all_recorded(self, after: str = "", limit: int = 10_000) -> list[str]:
        """The ids of booked deliveries in their order, in pieces: those behind `after`."""
        return sorted(id for id in self.state.deliveries if id > after)[:limit]

    @primacy.timer(600)
    async def tidy(self, ctx: TimerContext) -> None:
        """Runs on the primary only; changes the state through an operation, like everybody else."""
        await ctx.call("forget_old")
