"""Every function, and while a level of it runs something else begins: each pair by itself, in virtual time.

What else begins: a server fails or is not well, the master or the subject is told to leave by the system, maintenance,
a ledger that is away, callbacks that fail, a service that leaves the table, a second operator, a node in maintenance,
the loss of the vice. In the end the cluster is at rest and every outcome was true (`mixing`).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from primacy.machines import coordination as c
from primacy.machines import host_wire as h
from primacy.machines.ids import MS, SECOND
from primacy.machines.maintenance import CLUSTER
from primacy.machines.membership import NodeEntry
from primacy.machines.rungs import Limits
from tests.sim.coordinators import Node
from tests.sim.mixing import Mixed, Options

ENTRIES = (
    NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3"), NodeEntry("n4", True, False), NodeEntry("n5", False, False),
)  # fmt: skip
FUNCTIONS = (
    ("qualify", "n5"), ("promote", "n4"), ("demote", "n1"), ("demote", "n2"), ("disqualify", "n3"), ("remove", "n2"),
    ("shutdown", "n1"), ("shutdown", "n3"), ("switchover", "n1"),
)  # fmt: skip


def _vice(world: Mixed, master: Node) -> Node:
    record = master.monitor.record
    return world.nodes[record.vice.node] if record is not None and record.vice is not None else master


def _maintenance(world: Mixed, master: Node, subject: Node) -> None:
    """No automatic failover, and then the master's servers fail, by health and by death, whoever is master then."""

    def fail(how: Callable[[Node, str], None], service: str) -> None:
        for node in world.nodes.values():
            if node.alive and node.monitor.role == "master":
                how(node, service)

    world.maintain(CLUSTER, on=True, for_s=6)
    for at_ms, how, service in (
        (0, world.sicken, "stock"),
        (1_000, world.die, "naming"),
        (2_500, world.sicken, "stock"),
        (4_000, world.die, "stock"),
    ):
        world.scheduler.after(at_ms * MS, fail, how, service)


def _away(world: Mixed, master: Node, subject: Node) -> None:
    world.away_until_ns = world.now_ns + SECOND
    world.die(master, "stock")


def _second(world: Mixed, master: Node, subject: Node) -> None:
    world.ask(master, "switchover", "second")
    world.ask(master, "disqualify", "third", node="n3")


def _failing(world: Mixed, master: Node, subject: Node) -> None:
    for service in ("naming", "stock"):
        world.failing[subject.id, service] = "refuse"
    world.scheduler.after(2 * SECOND, world.failing.clear)


INTRUDERS: dict[str, Callable[[Mixed, Node, Node], None]] = {
    "a primary dies": lambda world, master, subject: world.die(master, "stock"),
    "a primary is not well": lambda world, master, subject: world.sicken(master, "stock"),
    "a secondary dies": lambda world, master, subject: world.die(_vice(world, master), "naming"),
    "a server of the subject dies": lambda world, master, subject: world.die(subject, "naming"),
    "the system stops the master": lambda world, master, subject: world.leave(master),
    "the system stops the subject": lambda world, master, subject: world.leave(subject),
    "the subject starts anew": lambda world, master, subject: world.crash(subject),
    "the vice dies": lambda world, master, subject: world.crash(_vice(world, master)),
    "maintenance": _maintenance,
    "the subject is in maintenance": lambda world, master, subject: world.maintain(
        subject.id, on=True, for_s=2
    ),
    "the ledger is away": _away,
    "another operator": _second,
    "callbacks fail": _failing,
    "a service leaves the table": lambda world, master, subject: world.drop_service("stock"),
}


@pytest.mark.parametrize("intruder", INTRUDERS)
@pytest.mark.parametrize(("asked", "level"), list(itertools.product(FUNCTIONS, (1, 2))))
def test_a_function_and_what_begins_meanwhile(asked: tuple[str, str], level: int, intruder: str) -> None:
    (function, subject), came = asked, []
    limits = Limits(window_ns=5 * SECOND, pause_ns=100 * MS, pause_ns_max=2 * SECOND)
    services = (
        c.ServiceEntry("naming", recovery=limits),
        c.ServiceEntry("stock", recovery=limits),
        c.ServiceEntry("door", local=True),
    )
    world = Mixed(ENTRIES, Options(services), random.Random(f"{asked}{level}{intruder}"))

    def begins(node: Node, run: h.Run) -> None:
        if came or (run.context.function, run.context.level) != (function, level):
            return
        came.append(intruder)
        master = next(n for n in world.nodes.values() if n.alive and n.monitor.role == "master")
        INTRUDERS[intruder](world, master, world.nodes[subject])

    world.run(30, lambda: not world.unrest())
    world.on_run = begins
    master = next(n for n in world.nodes.values() if n.ssc.serving.serves)
    assert master.id == "n1"
    world.ask(master, function, "first", **({} if function == "switchover" else {"node": subject}))
    world.run(10)
    assert came
    world.run(90, lambda: not world.unrest())
    world.run(12)
    print(world.operations.ended)
    spawned, terms = world.book.spawned, len(world.book.masters)
    world.run(5)
    assert [*world.book.troubles, *world.unrest()] == []
    assert (world.book.spawned, len(world.book.masters)) == (spawned, terms)
    assert world.book.operations["first"] in ("done", "failed", "refused")
