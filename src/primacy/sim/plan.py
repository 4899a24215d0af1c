"""What one run is: everything that a seed decides, as data that can be stored and replayed."""

from __future__ import annotations

import random
from typing import Literal

import msgspec

from primacy.machines.membership import NodeEntry
from primacy.machines.timing import PROFILES, Timing
from primacy.sim.draw import draw, draw_force
from primacy.sim.draw_changes import draw_changes
from primacy.sim.draw_health import draw_health
from primacy.sim.draw_operators import draw_operators
from primacy.sim.draw_world import draw_drift, draw_world
from primacy.sim.faults import Fault
from primacy.sim.manners import PLAIN, Manners, draw_manners

HEAL_MS = 8_000
BEGIN_MS = 300
LIVENESS_MS, CHANGED_MS = 30_000, 180_000
CHANGING = 0.25
"""In so many of the runs the configuration is changed."""
STEEP = Timing(beat_ms=50, lease_ms=250, grace_ms=550)
"""With a grace of more than two leases, clocks whose rates differ by two are allowed."""

_TIMINGS = PROFILES | {"steep": STEEP}
_NETWORKS_US = {"fast": (30, 300), "usual": (100, 2_000), "slow": (500, 15_000)}


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run.

    availability: `cold_start = "availability"`. rungs: where the last nodes stand at first (those before: available).
    rates_ppm: each node's clock rate. heal_ms: when all faults end. think_ms: the clients' pauses. reads: their share
    among the clients' operations; manners: how clients behave besides. spares: machines that are not in the table at
    first.
    """

    seed: int
    nodes: int = 3
    profile: Literal["carrier", "lan", "wan", "steep"] = "lan"
    network: Literal["fast", "usual", "slow"] = "usual"
    durability: Literal["disk", "memory"] = "disk"
    availability: bool = False
    rungs: tuple[Literal["available", "spare", "ineligible"], ...] = ()
    auto_promote: bool = True
    rates_ppm: tuple[int, ...] = ()
    offsets_ms: tuple[int, ...] = ()
    clients: int = 3
    think_ms: tuple[int, int] = (20, 150)
    reads: float = 0.5
    snapshot_every: int = 40
    heal_ms: int = HEAL_MS
    manners: Manners = PLAIN
    faults: tuple[Fault, ...] = ()
    spares: int = 0

    @property
    def timing(self) -> Timing:
        """The timing profile."""
        return _TIMINGS[self.profile]

    @property
    def delay_ns(self) -> tuple[int, int]:
        """How long a packet takes when nothing is wrong."""
        low, high = _NETWORKS_US[self.network]
        return low * 1000, high * 1000

    @property
    def ids(self) -> tuple[str, ...]:
        """The nodes' ids."""
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))

    @property
    def machines(self) -> tuple[str, ...]:
        """All machines: the nodes, and those that may be added."""
        return (*self.ids, *self.spare_ids)

    @property
    def spare_ids(self) -> tuple[str, ...]:
        """The ids of the machines that may be added."""
        return tuple(f"x{number}" for number in range(1, self.spares + 1))

    @property
    def liveness_ms(self) -> int:
        """Within how long after all faults the cluster must be whole: a change waits for what is missing."""
        return CHANGED_MS if any(fault.kind == "configure" for fault in self.faults) else LIVENESS_MS

    @property
    def table(self) -> tuple[NodeEntry, ...]:
        """The nodes of the configuration table."""
        rungs = ("available",) * (self.nodes - len(self.rungs)) + self.rungs
        return tuple(
            NodeEntry(id, rung != "ineligible", rung == "available")
            for id, rung in zip(self.ids, rungs, strict=True)
        )

    def rate_ppm(self, index: int) -> int:
        """Rate of a node's clock."""
        return self.rates_ppm[index] if index < len(self.rates_ppm) else 1_000_000

    def beyond(self, master: str, vice: str) -> bool:
        """Whether by their clocks the lease of one node may outlast the grace of another: no rule is meant for that."""
        rates = {id: self.rate_ppm(index) for index, id in enumerate(self.machines)}
        timing = self.timing  # what is configured, not what the machines make of it
        return rates[vice] * timing.lease_ms > rates[master] * timing.grace_ms

    def offset_ms(self, index: int) -> int:
        """Reading of a node's clock at the beginning."""
        return self.offsets_ms[index] if index < len(self.offsets_ms) else 1_000 * (index + 1)


def from_seed(seed: int, *, nodes: int = 0, minutes: float = 0.0, faults: bool = True) -> Plan:
    """Return the run that this seed means. nodes: 0 lets the seed decide; minutes: how long until it heals, 0: 8 s."""
    source = random.Random(f"plan {seed}")
    count = nodes or source.choice((2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5, 6, 7))
    profile: Literal["carrier", "lan", "steep"] = source.choice(
        ("carrier", "lan", "lan", "lan", "lan", "steep")
    )
    low = 500_000 if profile == "steep" else 1_000_000
    high = 1_000_000 if profile == "steep" else 1_045_000
    rates = tuple(source.choice((low, high, source.randint(low, high))) for _ in range(count))
    plan = Plan(
        seed,
        nodes=count,
        profile=profile,
        network=source.choice(("fast", "usual", "usual", "usual"))
        if profile == "carrier"
        else _network(source),
        durability=source.choice(("disk", "disk", "disk", "memory")),
        availability=source.random() < 0.15,
        rates_ppm=rates,
        offsets_ms=tuple(source.randint(1, 10_000_000) for _ in range(count)),
        clients=source.choice((1, 2, 3)),
        think_ms=source.choice(((20, 150), (5, 60), (80, 400))),
        reads=source.choice((0.2, 0.5, 0.9)),
        snapshot_every=source.choice((15, 40, 1_000)),
        heal_ms=max(HEAL_MS, int(minutes * 60_000)),
    )
    if not faults:
        return plan
    plan = msgspec.structs.replace(plan, manners=draw_manners(random.Random(f"manners {seed}")))
    drawn: list[Fault] = []
    forced = random.Random(f"force {seed}")  # of its own: what else a seed means stays as it was
    operated = random.Random(f"operators {seed}")
    health = random.Random(f"health {seed}")
    table = random.Random(f"table {seed}")
    world = random.Random(f"world {seed}")
    if world.random() < 0.06:
        plan = msgspec.structs.replace(plan, rates_ppm=draw_drift(world, rates, steep=profile == "steep"))
    if table.random() < 0.4:
        rungs = table.choice(((), ("spare",), ("spare", "ineligible"), ("ineligible",)))
        kept = rungs[: max(count - 2, 0)]
        plan = msgspec.structs.replace(plan, rungs=kept, auto_promote=table.random() < 0.6)
    for begin_ms in range(0, plan.heal_ms - HEAL_MS // 2, HEAL_MS):  # in each 8 s as many as in the usual run
        span_ms = (begin_ms + BEGIN_MS, min(begin_ms + HEAL_MS, plan.heal_ms) - 500)
        drawn += draw(source, plan.ids, plan.timing.grace_ms, *span_ms)
        if forced.random() < 0.2:
            drawn += draw_force(forced, plan.ids, plan.timing.grace_ms, *span_ms)
        if operated.random() < 0.6:
            drawn += draw_operators(operated, plan.ids, plan.timing.grace_ms, *span_ms)
        if world.random() < 0.5:
            drawn += draw_world(world, plan.ids, plan.timing.grace_ms, *span_ms)
        drawn += draw_health(health, plan.ids, *span_ms)
    changed = random.Random(f"changes {seed}")
    if changed.random() < CHANGING:
        plan = msgspec.structs.replace(plan, spares=changed.choice((0, 1, 1, 2)))
        span_ms = (BEGIN_MS, plan.heal_ms - HEAL_MS // 8)
        drawn += draw_changes(changed, plan.ids, plan.spare_ids, plan.timing.grace_ms, *span_ms)
    ordered = tuple(sorted(drawn, key=lambda fault: fault.at_ms))
    return msgspec.structs.replace(plan, faults=ordered)


def _network(source: random.Random) -> Literal["fast", "usual", "slow"]:
    network: Literal["fast", "usual", "slow"] = source.choice(("fast", "usual", "usual", "slow"))
    return network
