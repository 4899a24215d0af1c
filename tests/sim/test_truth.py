"""What the checker of outcomes lets pass, and what it tells."""

from __future__ import annotations

import random

import msgspec
import pytest

from primacy.config import Table
from primacy.machines.ids import Member
from primacy.machines.membership import NodeEntry
from primacy.machines.records import (
    CONFIG,
    NODES,
    OPERATION,
    Mastership,
    NodeRecord,
    Operation,
    Operations,
    encode,
)
from primacy.sim import tables
from primacy.sim.asked import Asked
from primacy.sim.line import Ledger
from primacy.sim.scheduler import Scheduler
from primacy.sim.truth import Truth

TABLE = (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3", True, False))
SPARE = NodeRecord(eligible=True, available=False)


def table_of(*nodes: str) -> bytes:
    """Return the configuration table with these nodes."""
    return tables.encode(Table({node: tables.row_of(node, eligible=True) for node in nodes}))


class Judge:
    """The checker on a ledger, and what it has told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.scheduler = Scheduler()
        self.ledger = Ledger(self.scheduler, random.Random(1))
        self.truth = Truth(
            lambda clause, text: self.told.append(f"{clause}: {text}"), lambda text: None, self.ledger, TABLE
        )
        self.ledger.changed = self.truth.changed
        self.ledger.put(CONFIG, table_of("n1", "n2", "n3"))
        self.operations = Operations()

    def begin(self, function: str, node: str, id: str = "a", **options: str) -> None:
        """An intent is written."""
        current = Operation(id, function, node, id, "n1", 1, options)
        self.put(msgspec.structs.replace(self.operations, current=current))

    def end(self, outcome: str) -> None:
        """Its outcome is written."""
        self.put(self.operations.with_outcome(outcome, (), {}))

    def put(self, operations: Operations) -> None:
        """The record of operations is this from now on."""
        self.operations = operations
        self.ledger.put(OPERATION, encode(operations))

    def node(self, node: str, record: NodeRecord) -> None:
        """A node's record is this from now on."""
        self.ledger.put(NODES + node, encode(record))

    def master(self, term: int, node: str, cause: str) -> None:
        """The mastership is this from now on."""
        member = Member(node, "x")
        self.ledger.swap(
            node, self.ledger.revision, Mastership(term, member, None, 0, cause, member), lambda a, r: None
        )
        self.scheduler.run(self.scheduler.now_ns + 10**9, lambda: False)


def test_what_is_true_passes() -> None:
    judge = Judge()
    judge.master(1, "n1", "formed")
    judge.begin("demote", "n2")
    judge.node("n2", SPARE)
    judge.end("done")
    judge.begin("promote", "n3", "b")
    judge.end("refused")
    judge.begin("switchover", "n1", "c", to="n2")
    judge.master(2, "n2", "c")
    judge.end("done")
    judge.begin("remove", "n3", "d")
    judge.ledger.put(CONFIG, table_of("n1", "n2"))
    judge.end("done")
    judge.truth.requests.append(Asked("a", "demote", "n2", 1, ["accepted"]))
    judge.truth.requests.append(Asked("e", "demote", "n2", 1, ["refused"]))
    judge.truth.finish()
    assert judge.told == []
    assert judge.truth.operations.current is None


@pytest.mark.parametrize(
    ("function", "outcome", "told"),
    [
        ("demote", "done", "truth: demote n2 (a) is done, and the record says available"),
        ("remove", "done", "truth: remove n2 (a) is done, and the node is in the table"),
        ("switchover", "done", "truth: switchover n2 (a) is done, and None was never master"),
    ],
)
def test_an_outcome_that_is_not_so_is_told(function: str, outcome: str, told: str) -> None:
    judge = Judge()
    judge.begin(function, "n2")
    judge.end(outcome)
    assert judge.told == [told]


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_what_came_to_nothing_has_changed_nothing(outcome: str) -> None:
    judge = Judge()
    judge.begin("demote", "n2")
    judge.node("n2", SPARE)
    judge.end(outcome)
    assert judge.told[0].startswith(f"S8: demote n2 (a) is {outcome}, and its record was")


def test_a_refused_switchover_has_handed_nothing_over() -> None:
    judge = Judge()
    judge.master(1, "n1", "formed")
    judge.begin("switchover", "n1", to="n2")
    judge.master(2, "n2", "a")
    judge.end("refused")
    assert judge.told == ["S8: switchover n1 (a) is refused, and mastership was handed over for it"]


def test_an_intent_that_vanishes_or_comes_twice_is_told() -> None:
    judge = Judge()
    judge.begin("demote", "n2")
    judge.begin("promote", "n3", "b")
    assert judge.told == ["truth: demote n2 (a) is gone without an outcome"]
    judge.end("refused")
    judge.begin("promote", "n3", "b")
    assert judge.told[1:] == ["truth: promote n3 (b) begins a second time"]


def test_an_outcome_is_never_told_otherwise_later() -> None:
    judge = Judge()
    judge.begin("promote", "n3")
    judge.end("refused")
    [ended] = judge.operations.ended
    judge.put(Operations(None, (msgspec.structs.replace(ended, outcome="failed"),)))
    assert judge.told == ["truth: the outcome of promote a was changed afterwards"]


def test_what_was_accepted_has_an_outcome_and_what_was_refused_never_begins() -> None:
    judge = Judge()
    judge.begin("promote", "n3")
    judge.truth.requests.append(Asked("a", "promote", "n3", 1, ["accepted"]))
    judge.truth.finish()
    assert judge.told == ["truth: promote n3 was accepted and has no outcome"]
    judge.told.clear()
    judge.truth.requests[:] = [Asked("a", "promote", "n3", 1, ["refused"])]
    judge.truth.finish()
    assert judge.told == ["S8: promote n3 was refused, and carried out"]
