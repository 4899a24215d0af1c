"""What the checker of changes of the table lets pass, and what it tells."""

from __future__ import annotations

import msgspec
import pytest

from primacy.machines.change_record import Change, Changes, encode, planned
from primacy.machines.records import Operation
from primacy.sim.asked import Asked
from primacy.sim.truth_changes import ChangesTruth

STEPS = planned(
    writes=True,
    detail=["timing altered"],
    first=[("qualify", "n3")],
    follow="every node takes it over",
    last=[("remove", "n2")],
)
CHANGE = Change("c1", "a test", "somebody", 0, 0, 1, STEPS, "{}")
NONE, STAMPED = b'{"change":""}', b'{"change":"c1"}'


class Judge:
    """The checker, the functions that have ended, and what it has told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.operations: dict[str, Operation] = {}
        self.truth = ChangesTruth(
            lambda clause, text: self.told.append(f"{clause}: {text}"),
            lambda text: None,
            self.operations.get,
        )
        self.changes = Changes()

    def begin(self, change: Change = CHANGE) -> None:
        """An intent is written."""
        self.write(self.changes.begun(change))

    def write(self, changes: Changes) -> None:
        """The record of changes is this from now on."""
        self.changes = changes
        self.truth.written(encode(changes))

    def step(self, outcome: str, *reasons: str) -> None:
        """The present step has ended so."""
        current = self.changes.current
        assert current is not None
        self.write(self.changes.with_current(current.with_step(outcome, reasons, 0)))

    def table(self, old: bytes = NONE, new: bytes = STAMPED) -> None:
        """The table is written."""
        self.truth.table_written(old, new)

    def function(self, step: int, outcome: str) -> None:
        """The function of a step has ended."""
        id = CHANGE.operation(step)
        self.operations[id] = Operation(id, "qualify", "n3", "", "n1", 1, outcome=outcome)

    def asked(self, *answers: str) -> None:
        """An operator has asked for the change, and was answered so."""
        self.truth.requests.append(Asked("c1", "configure", "", tries=len(answers), answers=list(answers)))


def carried_out() -> Judge:
    """A change with all its steps."""
    judge = Judge()
    judge.begin()
    judge.table()
    judge.step("done")
    judge.function(1, "done")
    judge.step("done")
    judge.step("done")
    judge.step("done", "it is so already")
    return judge


def test_what_is_true_passes() -> None:
    judge = carried_out()
    judge.asked("accepted")
    judge.begin(msgspec.structs.replace(CHANGE, id="c2"))
    judge.step("failed", "the table was changed meanwhile")
    judge.truth.finish()
    assert judge.told == []
    assert [change.outcome for change in judge.changes.ended] == ["done", "refused"]


@pytest.mark.parametrize(
    ("answers", "begun", "said"),
    [
        (["refused"], True, "was refused, and carried out"),
        (["accepted"], False, "was accepted and has no outcome"),
        (["refused", "accepted"], True, ""),
        (["refused"], False, ""),
    ],
)
def test_the_answer_is_true(answers: list[str], begun: bool, said: str) -> None:
    judge = carried_out() if begun else Judge()
    judge.asked(*answers)
    judge.truth.finish()
    assert [said in line for line in judge.told] == [True] * bool(said)


def test_one_change_takes_the_place_of_another_with_a_word() -> None:
    judge = Judge()
    judge.begin()
    judge.begin(msgspec.structs.replace(CHANGE, id="c2"))
    assert judge.told == []
    judge.write(Changes(msgspec.structs.replace(CHANGE, id="c3"), judge.changes.ended))
    assert judge.told == ["truth: change c2 is gone without an outcome"]


def test_a_step_is_not_done_before_it_was() -> None:
    judge = Judge()
    judge.begin()
    judge.step("done")
    assert judge.told == [
        "truth: step 1 of change c1 (the table is written; timing altered) is done, and its table was never written"
    ]
    judge.function(1, "failed")
    judge.step("done")
    assert judge.told[1].endswith("is done, and its function is failed")


def test_what_was_refused_has_changed_nothing() -> None:
    judge = Judge()
    judge.begin()
    judge.table()
    judge.step("failed", "the table was changed meanwhile")
    assert [line.partition(":")[0] for line in judge.told] == ["S8", "S8"]


def test_a_table_is_written_once_and_only_after_its_intent() -> None:
    judge = Judge()
    judge.table()
    assert judge.told == ["truth: the table of change c1 is written, and its intent never was"]
    judge.begin()
    judge.table(STAMPED, STAMPED)
    assert len(judge.told) == 1, "the same change goes on: its table is settled, or a node is taken out"
    judge.table()
    assert judge.told[1] == "truth: the table of change c1 is written a second time"


def test_what_has_ended_is_not_told_otherwise_later() -> None:
    judge = carried_out()
    other = msgspec.structs.replace(judge.changes.ended[0], outcome="failed")
    judge.write(Changes(None, (other,)))
    assert judge.told == ["truth: the outcome of change c1 was changed afterwards"]


def test_a_step_that_has_ended_stays_so() -> None:
    judge = Judge()
    judge.begin()
    judge.table()
    judge.step("done")
    judge.write(Changes(CHANGE))
    assert judge.told == ["truth: step 1 of change c1 was changed afterwards"]


def test_a_change_that_is_done_has_done_everything() -> None:
    judge = Judge()
    judge.begin()
    judge.write(Changes(None, (msgspec.structs.replace(CHANGE, outcome="done"),)))
    assert "has ended, and steps of it have not" in judge.told[0]
    assert "is done, and its steps are" in judge.told[1]
