"""A change carried out by a master: every step in every state in which a master may find it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from primacy.machines import coordination as c
from primacy.machines.applying import AGAIN_NS, REFUSED_NS_MAX, Applying, CarryOut, Effect, Look
from primacy.machines.change_record import CHANGE, Change, Changes, encode, planned
from primacy.machines.events_change import ChangeBegan, ChangeEnded, ChangeStepEnded
from primacy.machines.membership import NodeEntry, SwapAnswer
from primacy.machines.records import CONFIG, Operation, Operations
from primacy.machines.swap import Outcome

STEPS = planned(
    writes=True, detail=[], first=[("qualify", "n3")], follow="all follow", last=[("remove", "n2")]
)
NODES = (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3", False))
BEFORE, WANTED = b'{"change": "old"}', '{"change": "c"}'


class Rig:
    """A machine, its ledger, and what it did."""

    def __init__(self, *outcomes: str, table: bytes = BEFORE, revision: int = 7) -> None:
        """outcomes: of the steps that have ended before."""
        self.applying = Applying("n1")
        self.effects: list[Effect] = []
        change = Change("c", "why", "me", 0, 0, 7, STEPS, WANTED)
        for outcome in outcomes:
            change = change.with_step(outcome, ("no",) if outcome == "failed" else (), 1)
        self.now_ns = 0
        self.revision = 8
        self.tell(CHANGE, encode(Changes(change)), 8)
        self.tell(CONFIG, table, revision)

    def tell(self, key: str, value: bytes, revision: int) -> None:
        """The watch tells a record."""
        told = c.RecordChanged(now_ns=self.now_ns, key=key, revision=revision, value=value)
        self.effects += self.applying.told(told)

    def look(self, **changed: Any) -> str:
        """Look once; return what is waited for."""
        self.now_ns += AGAIN_NS
        self.effects += self.applying.proceed(self._look(**changed))
        return self.applying.waits

    def _look(self, **changed: Any) -> Look:
        look = Look(
            now_ns=self.now_ns, wall_ms=3, term=2, serving=True, busy="", calm="", operations=Operations(), nodes=NODES,
        )  # fmt: skip
        return msgspec.structs.replace(look, **changed)

    def follow(self) -> None:
        """Every member goes by the table."""
        self.effects += self.applying.followed(self._look())

    def of(self, kind: type) -> list[Any]:
        """The effects of one kind; of events, their insides."""
        found = [e.event if isinstance(e, c.Publish) else e for e in self.effects]
        return [e for e in found if isinstance(e, kind)]

    def settle(self, answer: SwapAnswer = SwapAnswer.DONE) -> None:
        """The ledger answers the last swap."""
        self.revision += 1
        swap = self.of(c.SwapKey)[-1]
        said = c.KeySwapped(now_ns=self.now_ns, token=swap.token, answer=answer, revision=self.revision)
        self.effects += self.applying.swapped(said)

    @property
    def change(self) -> Change:
        """The change, in progress or over."""
        found = self.applying.changes.known("c")
        assert found is not None
        return found


def _operation(outcome: str = "", *reasons: str) -> Operations:
    operation = Operation("c.2", "qualify", "n3", "why", "n1", 2, outcome=outcome, reasons=reasons)
    return Operations(None, (operation,)) if outcome else Operations(operation)


def test_the_intent_comes_first_and_is_an_event() -> None:
    applying, found = Applying("n1"), []
    change = Change("c", "why", "me", 0, 0, 0, STEPS, WANTED)
    (swap,) = applying.begin(change, 1, found.append)
    assert isinstance(swap, c.SwapKey)
    assert (swap.key, swap.expect, swap.value) == (CHANGE, 0, encode(Changes(change)))
    second: list[Outcome] = []
    assert applying.begin(change, 1, second.append) == []
    assert second == [Outcome.LOST], "another one came first"
    said = c.KeySwapped(now_ns=2, token=swap.token, answer=SwapAnswer.DONE, revision=1)
    (event,) = applying.swapped(said)
    assert isinstance(event, c.Publish)
    assert isinstance(event.event, ChangeBegan)
    assert (found, applying.changes.current) == ([Outcome.DONE], change)


def test_an_intent_whose_writing_is_left_open_is_repeated_until_it_is_settled() -> None:
    rig, found = Rig(*["done"] * 4), []
    rig.effects += rig.applying.begin(msgspec.structs.replace(rig.change, id="d"), 1, found.append)
    rig.settle(SwapAnswer.UNCERTAIN)
    rig.look()
    swaps = rig.of(c.SwapKey)
    assert len(swaps) == 2
    assert (swaps[0].expect, swaps[0].value) == (swaps[1].expect, swaps[1].value)
    rig.settle(SwapAnswer.CONFLICT)
    assert found == []
    rig.tell(CHANGE, swaps[0].value, 20)
    assert found == [Outcome.DONE], "it was its own first try"


def test_the_table_is_written_on_the_revision_that_it_was_made_from() -> None:
    rig = Rig()
    assert rig.look() == "the table is being written"
    (swap,) = rig.of(c.SwapKey)
    assert (swap.key, swap.expect, swap.value) == (CONFIG, 7, WANTED.encode())
    assert "asked to write" in rig.look(), "one thing at a time"
    rig.settle()
    rig.look()
    rig.settle()
    assert [step.outcome for step in rig.change.steps] == ["done", "", "", ""]
    assert [(e.step, e.outcome) for e in rig.of(ChangeStepEnded)] == [(1, "done")]


def test_a_table_that_a_dead_master_has_written_is_not_written_again() -> None:
    rig = Rig(table=b'{"change": "c", "nodes": "another one was removed meanwhile"}', revision=9)
    rig.look()
    rig.settle()
    assert [s.key for s in rig.of(c.SwapKey)] == [CHANGE]
    assert rig.change.steps[0].outcome == "done"


def test_an_overtaken_change_is_refused_and_nothing_of_it_is_done() -> None:
    rig = Rig(revision=9)
    rig.look()
    rig.settle()
    assert (rig.change.outcome, rig.change.table) == ("refused", "")
    assert "made from revision 7, it stands at 9 now" in rig.change.reasons[0]
    assert [s.key for s in rig.of(c.SwapKey)] == [CHANGE]
    (ended,) = rig.of(ChangeEnded)
    assert ended.held == ["qualify n3", "all follow", "remove n2"]
    assert rig.look() == ""


def test_a_table_that_is_not_known_yet_is_waited_for() -> None:
    assert "not known here yet" in Rig(revision=5).look()


WAITS = [
    ((), {"serving": False}, "not in service"),
    (("done",), {"busy": "remove n9 is in progress"}, "remove n9"),
    (("done",), {"operations": _operation()}, "qualify n3 is in progress"),
    (("done", "done"), {}, ""),
    (("done", "done", "done"), {"calm": "no vice is ready"}, "no vice is ready"),
]


@pytest.mark.parametrize(("ended", "seen", "waits"), WAITS)
def test_what_it_waits_for_is_told(ended: tuple[str, ...], seen: dict[str, Any], waits: str) -> None:
    rig = Rig(*ended)
    found = rig.look(**seen)
    assert waits in found
    assert bool(found) == bool(waits)
    assert rig.applying.holds == (bool(waits) and "calm" not in seen), "then the nodes may follow the table"
    assert rig.of(c.SwapKey) == rig.of(CarryOut) == []


def test_a_function_is_asked_for_under_one_id_until_it_is_known() -> None:
    rig = Rig("done")
    rig.look(calm="no vice is ready")
    rig.look()
    assert rig.of(CarryOut) == 2 * [CarryOut("c.2", "qualify", "n3", "why")]
    rig.look(operations=_operation("done"))
    rig.settle()
    assert rig.change.steps[1].outcome == "done"


def test_a_function_that_failed_holds_the_others_and_nodes_still_follow() -> None:
    rig = Rig("done")
    rig.look(operations=_operation("failed", "n3 was lost"))
    rig.settle()
    assert rig.look() == "", "the nodes may follow"
    rig.follow()
    rig.settle()
    assert (rig.change.outcome, rig.change.reasons) == ("failed", ("qualify n3: n3 was lost",))
    (ended,) = rig.of(ChangeEnded)
    assert ended.held == ["remove n2"]
    assert rig.of(CarryOut) == []


def test_a_function_that_is_refused_is_asked_for_again_and_not_for_ever() -> None:
    rig = Rig("done")
    rig.look()
    began_ns = rig.now_ns
    rig.applying.answered("c.2", ("n3 is not a member now",), rig.now_ns)
    assert rig.look() == "qualify n3: n3 is not a member now"
    while not rig.of(c.SwapKey):
        rig.look()
        rig.applying.answered("c.2", ("n3 is not a member now",), rig.now_ns)
    rig.settle()
    assert rig.now_ns - began_ns >= REFUSED_NS_MAX
    assert rig.change.steps[1].outcome == "failed"
    assert rig.change.steps[1].reasons == ("n3 is not a member now",)


IS_SO = [
    (("done",), (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3"))),
    (("done", "done", "done"), (NodeEntry("n1"), NodeEntry("n3"))),
]


@pytest.mark.parametrize(("ended", "nodes"), IS_SO)
def test_what_is_so_already_is_not_asked_for(ended: tuple[str, ...], nodes: tuple[NodeEntry, ...]) -> None:
    rig = Rig(*ended)
    rig.look(nodes=nodes)
    rig.settle()
    assert rig.of(CarryOut) == []
    assert rig.change.steps[len(ended)].outcome == "done"
    assert rig.change.steps[len(ended)].reasons == ("it is so already",)


def test_its_end_is_an_event_and_another_one_may_begin() -> None:
    rig = Rig("done", "done", "done")
    rig.look(nodes=NODES[:1])
    rig.settle()
    assert rig.change.outcome == "done"
    assert [e.outcome for e in rig.of(ChangeEnded)] == ["done"]
    assert rig.applying.changes.current is None
    rig.follow()
    assert len(rig.of(c.SwapKey)) == 1, "nothing is left to do"


def test_a_mark_that_is_not_written_is_found_again() -> None:
    rig = Rig("done", "done")
    rig.look()
    rig.follow()
    rig.settle(SwapAnswer.UNAVAILABLE)
    assert rig.applying.waits == "the ledger does not answer"
    rig.look()
    rig.follow()
    rig.settle()
    assert rig.change.steps[2].outcome == "done"


def test_a_record_that_cannot_be_read_is_left_as_it_was() -> None:
    rig = Rig("done")
    rig.tell(CHANGE, b"[", 30)
    assert rig.change.steps[0].outcome == "done"
    rig.effects += rig.applying.told(c.RecordChanged(now_ns=1, key=CHANGE, revision=31, value=None))
    assert rig.applying.changes == Changes()
