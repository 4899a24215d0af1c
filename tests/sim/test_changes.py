"""A change of the table, interrupted after every step by the death of anybody: it is finished, once, and told truly.

All combinations of step, who dies and how, in virtual time. The change adds strength, has every node restart, and takes
strength away. At the end: one master that serves, no change and no function in progress, every function asked for once,
every node as the outcome says, and no node out of service for it that need not be.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from primacy.machines.change_record import Change, Changes, planned
from primacy.machines.events import OperationBegan
from primacy.machines.events_change import ChangeBegan, ChangeEnded
from primacy.machines.ids import MS
from primacy.machines.membership import NodeEntry
from primacy.machines.swap import Outcome
from tests.sim.changes import ChangingWorld, table
from tests.sim.coordinators import Node
from tests.sim.test_functions import formed

ENTRIES = (
    NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3"), NodeEntry("n4"), NodeEntry("n5", False, False),
)  # fmt: skip
STEPS = planned(
    writes=True,
    detail=["service more added"],
    first=[("qualify", "n5")],
    follow="every node restarts in its turn",
    last=[("disqualify", "n1"), ("remove", "n4")],
)
WHO = ("master", "vice", "subject")
CASES = [(s, w, h) for s, w, h in itertools.product(range(len(STEPS)), WHO, ("crash", "power"))]
RESTARTS = list(itertools.product(range(5), ("master", "vice", "node"), ("crash", "power")))
SUBJECTS = ("n5", "n5", "n3", "n1", "n4")


def _begin(world: ChangingWorld, master: Node, id: str = "c") -> None:
    revision = world.follower(master).revision
    change = Change(id, "a test", "somebody", 0, 0, revision, STEPS, table(2, id))
    outcomes: list[Any] = []
    world.apply(master, change, outcomes)
    world.run(5, lambda: bool(outcomes) or not master.alive)
    assert outcomes == [Outcome.DONE] or not master.alive


def _judge(world: ChangingWorld) -> Change:
    """Everything is as the outcome of the change says; return the change."""
    assert world.changes.current is None, world.changes.current
    assert world.operations.current is None
    (ended,) = world.changes.ended
    outcomes = {step.what: step.outcome for step in ended.steps}
    entries = {entry.id: entry for entry in world.entries()}
    assert outcomes[STEPS[2].what] == "done", "the restarts follow the table, whatever becomes of functions"
    assert [n.id for n in world.nodes.values() if n.alive and world.follower(n).version != 2] == []
    if outcomes["qualify n5"] == "done":
        assert entries["n5"].eligible
    if outcomes["disqualify n1"] == "done":
        assert not entries["n1"].eligible
    if outcomes["remove n4"] == "done":
        assert "n4" not in entries
    if ended.outcome == "failed":
        first = next(i for i, step in enumerate(ended.steps) if step.outcome == "failed")
        assert {s.outcome for s in ended.steps[first + 1 :] if s.function} <= {"held"}
        assert ended.reasons
    else:
        assert set(outcomes.values()) == {"done"}
    began = Counter(e.operation for _, e in world.events if isinstance(e, OperationBegan))
    assert {operation: count for operation, count in began.items() if count > 1} == {}
    return ended


def test_nobody_dies() -> None:
    world = ChangingWorld(ENTRIES, lambda changes: None)
    master = formed(world)
    _begin(world, master)
    world.run(120, lambda: world.changes.current is None)
    assert _judge(world).outcome == "done"
    terms = {e.term for _, e in world.events}
    assert max(terms) == 2, "one switchover: the former master is disqualified when it is not master any more"


@pytest.mark.parametrize(("step", "who", "how"), CASES)
def test_it_goes_on_when_somebody_dies(step: int, who: str, how: str) -> None:
    """In the moment in which a step becomes the present one."""
    dead: list[Node] = []

    def strike(changes: Changes) -> None:
        if not dead and changes.current is not None and changes.current.index == step:
            _kill(world, dead, SUBJECTS[step] if who == "subject" else who, how)

    world = ChangingWorld(ENTRIES, strike)
    _begin(world, formed(world))
    ended = _after(world, dead)
    print(f"{how} of the {who} at step {step + 1}: {ended.outcome} {ended.reasons}")
    if who != "subject":
        assert ended.outcome == "done"


@pytest.mark.parametrize(("number", "who", "how"), RESTARTS)
def test_it_goes_on_when_somebody_dies_while_a_node_restarts(number: int, who: str, how: str) -> None:
    """100 ms after the first, second ... node was told to restart; it itself is struck while it leaves."""
    dead: list[Node] = []
    told: list[Node] = []

    def strike(node: Node) -> None:
        told.append(node)
        if len(told) == number + 1:
            world.scheduler.after(100 * MS, _kill, world, dead, node.id if who == "node" else who, how)

    world = ChangingWorld(ENTRIES, lambda changes: None)
    world.on_renew = strike
    _begin(world, formed(world))
    assert _after(world, dead).outcome == "done"


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_it_goes_on_when_all_nodes_have_lost_their_power(step: int) -> None:
    dead: list[Node] = []

    def strike(changes: Changes) -> None:
        if not dead and changes.current is not None and changes.current.index == step:
            dead.extend(n for n in world.nodes.values() if n.alive)
            for node in dead:
                world.power(node)

    world = ChangingWorld(ENTRIES, strike)
    _begin(world, formed(world))
    assert _after(world, dead).outcome in (("done", "failed") if step == 1 else ("done",))


@pytest.mark.parametrize("lost", ["order", "answer"])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_swap_whose_outcome_is_not_known_is_settled_and_done_once(number: int, lost: str) -> None:
    """The intent, the table, the mark of each step: the first try of one of them is lost, or its answer is."""
    world = ChangingWorld(ENTRIES, lambda changes: None)
    world.loses = lambda swap: lost if swap == number else ""
    master = formed(world)
    revision = world.follower(master).revision
    outcomes: list[Any] = []
    world.apply(master, Change("c", "a test", "somebody", 0, 0, revision, STEPS, table(2, "c")), outcomes)
    world.run(120, lambda: bool(world.changes.ended))
    world.run(1)
    assert outcomes == [Outcome.DONE]
    assert _judge(world).outcome == "done"
    assert len([e for _, e in world.events if isinstance(e, ChangeBegan | ChangeEnded)]) == 2


def _kill(world: ChangingWorld, dead: list[Node], who: str, how: str) -> None:
    """Let a node die: the master, the vice, or the one with this id."""
    master = next((n for n in world.nodes.values() if n.alive and n.monitor.role == "master"), None)
    record = master.monitor.record if master is not None else None
    named = {"master": record.master.node, "vice": record.vice.node if record.vice else ""} if record else {}
    victim = world.nodes.get(named.get(who, who))
    if victim is not None:
        dead.append(victim)
        if victim.alive:
            (world.crash if how == "crash" else world.power)(victim)
        world.follower(victim).renewing = False


def _after(world: ChangingWorld, dead: list[Node]) -> Change:
    """Somebody dies and is started again; return the change when all is over."""
    world.run(60, lambda: bool(dead))
    assert dead, "the moment never came"
    world.run(5)
    for victim in dead:
        if victim.id in world.table and not victim.alive:
            world.start(victim)
    world.run(200, lambda: world.changes.current is None)
    formed(world)
    world.run(30)
    return _judge(world)
