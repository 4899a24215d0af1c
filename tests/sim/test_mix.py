"""Everything at once, from seeds: what begins while something else is in progress ends as truly as what is alone.

Functions of two operators, deaths, servers that fail, callbacks that refuse or hang, maintenance on and off, a ledger
that is away, failback, restarts by the system, force, a service taken out of the table: in any order and overlap. Then
nothing disturbs any more, and the cluster has to come to rest: one master that serves, a ready vice where two may be,
no intent left, nothing moving, every node on its record's rung, no process restarted any more, and each request with
exactly one outcome that was true when it was written.
"""

from __future__ import annotations

import random

import pytest

from primacy.machines import coordination as c
from primacy.machines.ids import MS
from primacy.machines.membership import NodeEntry
from primacy.machines.rungs import Limits
from tests.sim.coordinators import FUNCTIONS, Node
from tests.sim.mixing import Mixed, Options

NODES = ("n1", "n2", "n3", "n4", "n5")
FRESH, PARTS = 60, 6
POLICIES = ("refuse", "retry", "restart", "escalate")


def _options(source: random.Random) -> Options:
    def limits() -> Limits:
        return Limits(
            restarts=source.choice((0, 0, 1, 2)),
            window_ns=5_000 * MS,
            pause_ns=100 * MS,
            pause_ns_max=2_000 * MS,
            node_out=source.choice((0, 0, 4)),
        )

    volatile = source.random() < 0.2
    services = (
        c.ServiceEntry("naming", recovery=limits()),
        c.ServiceEntry("stock", recovery=limits(), volatile=volatile),
        c.ServiceEntry("door", local=True),
    )
    names = [f"{f}-{level}" for f in (*FUNCTIONS, "initialize") for level in (1, 2)]
    policies = {name: source.choice(POLICIES) for name in names if source.random() < 0.3}
    return Options(services, policies, failback=source.random() < 0.3)


class Mix:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.source = source = random.Random(seed)
        priority = source.choice((0, 0, 10))
        entries = (
            NodeEntry("n1", priority=priority), NodeEntry("n2"), NodeEntry("n3"), NodeEntry("n4", True, False),
            NodeEntry("n5", False, False),
        )  # fmt: skip
        self.world = Mixed(entries, _options(source), source)
        self.done: list[str] = []
        self._operations = 0

    def run(self) -> None:
        """Disturb, then let it come to rest."""
        world, source = self.world, self.source
        world.run(5)
        for _ in range(source.randrange(3, 14)):
            self._disturb()
            world.run(source.choice((0.001, 0.005, 0.02, 0.06, 0.2, 1, 3)))
        self._calm()

    def _node(self) -> Node:
        return self.source.choice(list(self.world.nodes.values()))

    def _master(self) -> Node:
        masters = [n for n in self.world.nodes.values() if n.alive and n.monitor.role == "master"]
        return self.source.choice(masters) if masters else self._node()

    def _near(self) -> Node:
        """The master more often than another."""
        return self._master() if self.source.random() < 0.6 else self._node()

    def _disturb(self) -> None:
        source = self.source
        kinds = (self._function,) * 6 + (
            self._crash, self._power, self._leave, self._die, self._die, self._sick, self._sick, self._break,
            self._fail, self._fail, self._maintain, self._maintain, self._away, self._drop, self._force,
        )  # fmt: skip
        said = source.choice(kinds)()
        self.done.append(f"{self.world.now_ns / 1e9:.3f} {said}")

    def _function(self) -> str:
        at = self._master() if self.source.random() < 0.9 else self._node()
        if not at.alive:
            return f"nothing: {at.id} is down"
        verb = self.source.choice(("qualify", "promote", "demote", "disqualify", "remove", "shutdown"))
        verb = "switchover" if self.source.random() < 0.4 else verb
        if verb == "remove" and len(self.world.table) < 5:
            verb = "demote"
        node = self._near().id
        self._operations += 1
        target = {} if verb == "switchover" else {"node": node}
        self.world.ask(at, verb, f"op-{self._operations}", **target)
        return f"ask {at.id}: {verb} {target} (op-{self._operations})"

    def _crash(self) -> str:
        node = self._near()
        if node.alive:
            self.world.crash(node)
        return f"crash {node.id}"

    def _power(self) -> str:
        node = self._near()
        if node.alive:
            self.world.power(node)
            self.world.again(node)
        return f"power {node.id}"

    def _leave(self) -> str:
        node = self._near()
        self.world.leave(node)
        return f"the system tells {node.id} to leave"

    def _service(self) -> str:
        return self.source.choice(("naming", "stock"))

    def _die(self) -> str:
        node, service = self._near(), self._service()
        self.world.die(node, service)
        return f"the host of {service} on {node.id} dies"

    def _sick(self) -> str:
        node, service = self._near(), self._service()
        self.world.sicken(node, service)
        return f"{service} on {node.id} is unhealthy"

    def _break(self) -> str:
        node, service = self._near(), self._service()
        self.world.broken.add((node.id, service))
        self.world.die(node, service)
        return f"{service} on {node.id} is broken"

    def _fail(self) -> str:
        node, service = self._near(), self._service()
        self.world.failing[node.id, service] = how = self.source.choice(("refuse", "hang", "die", ""))
        return f"callbacks of {service} on {node.id} {how or 'work again'}"

    def _maintain(self) -> str:
        scope = "cluster" if self.source.random() < 0.7 else self._node().id
        on = self.source.random() < 0.7
        for_s = self.source.choice((None, 0.5, 2.0))
        if self.world.away or (scope == self._master().id and on):
            return "nothing: maintenance is refused"
        self.world.maintain(scope, on, for_s)
        return f"maintenance of {scope} {'on' if on else 'off'} for {for_s}"

    def _away(self) -> str:
        for_s = self.source.choice((0.05, 0.3, 1, 4))
        self.world.away_until_ns = self.world.now_ns + int(for_s * 1e9)
        return f"the ledger is away for {for_s} s"

    def _drop(self) -> str:
        if self.source.random() < 0.8 or len(self.world.options.services) < 3:
            return "nothing"
        self.world.drop_service("stock")
        return "the table has no stock any more"

    def _force(self) -> str:
        node = self._node()
        if node.alive:
            self.world.force(node)
        return f"force {node.id}"

    def _calm(self) -> None:
        world = self.world
        world.broken.clear()
        world.failing.clear()
        world.run(5, lambda: not world.away)
        for scope in ("cluster", *NODES):
            world.maintain(scope, on=False)
        world.run(6)
        for node in world.nodes.values():
            if not node.alive and node.id in world.table:
                world.start(node)
        world.run(30)
        if not any(n.alive and n.ssc.serving.serves for n in world.nodes.values()):
            self._last_resort()
        world.run(150, lambda: not world.unrest())
        spawned, term = world.book.spawned, max(world.book.masters)
        world.run(12)
        found = [*world.book.troubles, *world.unrest()]
        if (world.book.spawned, max(world.book.masters)) != (spawned, term):
            found.append(f"it goes on: {world.book.spawned - spawned} processes, term {term} and later")
        assert not found, "\n".join([*self.done, "---", *found])

    def _last_resort(self) -> None:
        """What was in memory only is nowhere any more: an operator's word brings the cluster back."""
        for node in self.world.nodes.values():
            if node.alive and node.monitor.peers.own.may_lead:
                self.done.append(f"{self.world.now_ns / 1e9:.3f} last resort: {node.id}")
                self.world.force(node)
                self.world.run(1)


@pytest.mark.parametrize("part", range(PARTS))
def test_fresh_mixes(seed: int, part: int) -> None:
    each = FRESH // PARTS
    first = seed * FRESH + part * each
    for number in range(first, first + each):
        replay(number)


@pytest.mark.soak
def test_many_mixes(seed: int) -> None:
    for number in range(seed * 10_000, seed * 10_000 + 2_000):
        replay(number)


def replay(number: int) -> None:
    """Run the mix of this number; a failure tells it."""
    mix = Mix(number)
    try:
        mix.run()
    except AssertionError as error:
        pytest.fail(f"mix {number}: {error}", pytrace=False)
