"""Every function of the cluster, interrupted at every level by the death of anybody: it is finished or reverted.

All combinations of function, who the node is, level, who dies and how, in virtual time. At the end: one master that
serves, a ready vice where two nodes may be, no intent left, every node on the rung that its record says, and an outcome
that tells the truth.
"""

from __future__ import annotations

import itertools

import pytest

from primacy.machines import host_wire as h
from primacy.machines.ladder import rung_of
from primacy.machines.membership import NodeEntry
from tests.sim.coordinators import Node, World

ENTRIES = (
    NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3"), NodeEntry("n4", True, False), NodeEntry("n5", False, False),
)  # fmt: skip
SUBJECTS = {
    "qualify": ("n5",),
    "promote": ("n4",),
    "demote": ("n1", "n2", "n3"),
    "disqualify": ("n1", "n2", "n3", "n4"),
    "remove": ("n1", "n2", "n3", "n4", "n5"),
    "shutdown": ("n1", "n2", "n3", "n5"),
    "switchover": ("n1",),
}
BECOMES = {"qualify": "spare", "promote": "available", "demote": "spare", "disqualify": "ineligible"}
WHO = ("master", "vice", "subject", "nobody")
CASES = [
    (function, subject, level, who, how)
    for function, subjects in SUBJECTS.items()
    for subject, level, who, how in itertools.product(subjects, (1, 2), WHO, ("crash", "power"))
    if who != "nobody" or (level, how) == (1, "crash")
]


def formed(world: World) -> Node:
    """Wait until the cluster serves with a ready vice; return the master."""

    def met() -> bool:
        return any(n.alive and n.ssc.serving.serves and ready(n) for n in world.nodes.values())

    world.run(30, met)
    assert met(), "no cluster"
    return next(n for n in world.nodes.values() if n.alive and n.ssc.serving.serves)


def ready(node: Node) -> bool:
    """Whether the record that this node knows names a ready vice."""
    record = node.monitor.record
    return record is not None and record.ready_vice is not None


@pytest.mark.parametrize(("function", "subject", "level", "who", "how"), CASES)
def test_it_is_finished_or_reverted(function: str, subject: str, level: int, who: str, how: str) -> None:
    dead: list[Node] = []

    def strike(node: Node, run: h.Run) -> None:
        """Let somebody die when the first callback of this level begins."""
        context = run.context
        if dead or who == "nobody" or (context.function, context.level) != (function, level):
            return
        record = next(
            n for n in world.nodes.values() if n.alive and n.monitor.role == "master"
        ).monitor.record
        assert record is not None
        named = {
            "master": record.master.node,
            "subject": subject,
            "vice": record.vice.node if record.vice else "",
        }
        victim = world.nodes.get(named[who])
        if victim is not None and victim.alive:
            dead.append(victim)
            (world.crash if how == "crash" else world.power)(victim)

    world = World(ENTRIES, strike)
    master = formed(world)
    assert master.id == "n1"
    target = {} if function == "switchover" else {"node": subject}
    asked = world.ask(master, function, "op", **target)
    world.run(1, lambda: asked in world.answers)
    assert world.answers[asked].kind == "accepted", world.answers[asked]
    world.run(2, lambda: bool(dead))
    world.run(3)
    for victim in dead:
        if victim.id in world.table and not (function == "shutdown" and victim.id == subject):
            world.start(victim)
    world.run(90, lambda: world.operations.current is None)
    world.run(20)

    master = formed(world)
    assert world.operations.current is None
    [ended] = world.operations.ended
    print(f"{function} {subject}, {how} of the {who} at level {level}: {ended.outcome} {ended.reasons}")
    assert ended.outcome in ("done", "failed")
    entries = {e.id: e for e in world.entries()}
    for node in world.nodes.values():
        if node.alive and node.id in entries:
            assert node.ssc.ladder.rung == rung_of(entries[node.id]), node.id
            assert node.ssc.runs.progress() is None, node.id
            assert not node.ssc.ladder.moving
    done = ended.outcome == "done"
    if function in BECOMES:
        began = rung_of(next(e for e in ENTRIES if e.id == subject))
        assert rung_of(entries[subject]) == (BECOMES[function] if done else began)
    elif function == "remove":
        assert (subject in entries) is not done
    elif function == "shutdown" and done:
        assert not world.nodes[subject].alive
    if who == "nobody":
        assert done, ended
    if function in ("demote", "disqualify") and who != "nobody":
        assert done or subject == "n1", ended  # going down is finished; a switchover may fail


def test_two_operators_at_once_are_never_mixed() -> None:
    world = World(ENTRIES)
    master = formed(world)
    first = world.ask(master, "demote", "one", node="n3")
    second = world.ask(master, "disqualify", "two", node="n4")
    world.run(10)
    assert world.answers[first].kind == "accepted"
    assert world.answers[second].kind == "refused"
    assert [(e.id, e.outcome) for e in world.operations.ended] == [("one", "done")]
    assert [rung_of(e) for e in world.entries()][2:] == ["spare", "spare", "ineligible"]


def test_the_same_request_to_two_masters_is_carried_out_once() -> None:
    world = World(ENTRIES)
    master = formed(world)
    world.ask(master, "demote", "one", node="n1")
    world.run(5)
    successor = formed(world)
    assert successor is not master
    again = world.ask(successor, "demote", "one", node="n1")
    world.run(5)
    assert world.answers[again].kind == "accepted"
    assert [e.outcome for e in world.operations.ended] == ["done"]
