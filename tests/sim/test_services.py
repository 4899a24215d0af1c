"""Services of users' own classes in a simulated cluster; one that is not deterministic is named."""

from __future__ import annotations

import random

import msgspec

from primacy.service import OperationContext, Service, TimerContext, on, operation, timer
from primacy.sim.host import Host
from primacy.sim.plan import Plan
from primacy.sim.settings import Row
from primacy.sim.world import World


class Ticks(msgspec.Struct):
    count: int = 0
    seen: list[int] = []


class Ticker(Service[Ticks]):
    """Counts by itself; its numbers come from the context."""

    @operation
    def tick(self, ctx: OperationContext) -> int:
        self.state.count += 1
        self.state.seen = [*self.state.seen[-5:], ctx.random.randrange(1000)]
        return self.state.count

    @timer(seconds=0.05)
    async def go_on(self, ctx: TimerContext) -> None:
        assert await ctx.call("tick") == self.state.count

    @on("failover", level=2)
    @on("switchover", level=2)
    async def take_over(self, ctx: object) -> None:
        """Take part."""


class Dice(Ticker):
    """As the ticker, but its numbers come from elsewhere: no two replicas have the same ones."""

    numbers = random.Random(1)

    @operation
    def tick(self, ctx: OperationContext) -> int:
        self.state.count += 1
        self.state.seen = [*self.state.seen[-5:], self.numbers.randrange(1000)]
        return self.state.count


def world_with(service: type[Service[Ticks]], faults: str = "[]") -> World:
    plan = msgspec.json.decode(
        f'{{"seed": 5, "nodes": 3, "snapshot_every": 15, "heal_ms": 6000, "faults": {faults}}}', type=Plan
    )
    return World(plan, (Row("mine", service),))


def test_it_goes_on_over_a_failover_and_a_switchover() -> None:
    faults = (
        '[{"at_ms": 2000, "kind": "crash", "node": "master", "what": "sent", "for_ms": 300},'
        '{"at_ms": 4000, "kind": "ask", "node": "n2", "what": "switchover"}]'
    )
    world = world_with(Ticker, faults)
    outcome = world.run()
    assert outcome.violation is None, outcome.report()
    assert outcome.terms >= 3
    hosts = [host for node in world.nodes.values() if isinstance(host := node.host("mine"), Host)]
    counts = sorted(host.object.state.count for host in hosts if host.replica.sequence)
    assert counts[-1] > 60, counts
    assert counts[-1] - counts[-2] <= 1, counts


def test_what_is_not_deterministic_is_named() -> None:
    outcome = world_with(Dice).run()
    assert outcome.violation is not None
    assert outcome.violation.clause == "S3"
    assert "the state of mine on" in outcome.violation.text
