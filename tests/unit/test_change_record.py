"""The record of changes: how each step's end changes it, and what is kept of changes that are over."""

from __future__ import annotations

import msgspec
import pytest

from primacy.errors import ConfigError
from primacy.machines.change_record import ENDED_KEPT, Change, Changes, decode, encode, planned, stamp

STEPS = planned(
    writes=True,
    detail=["a", "b"],
    first=[("qualify", "n4")],
    follow="all follow",
    last=[("disqualify", "n1"), ("remove", "n3")],
)
CHANGE = Change("c", "why", "me", 5, 5, 7, STEPS, "{}")


def _after(*outcomes: str) -> Change:
    change = CHANGE
    for number, outcome in enumerate(outcomes):
        change = change.with_step(outcome, ("no",) if outcome == "failed" else (), 10 + number)
    return change


def _outcomes(change: Change) -> str:
    return " ".join(step.outcome or "-" for step in change.steps)


ROWS = [
    ((), "- - - - -", "", "the table is written; a; b"),
    (("done",), "done - - - -", "", "qualify n4"),
    (("failed",), "failed held held held held", "refused", ""),
    (("done", "done", "done"), "done done done - -", "", "disqualify n1"),
    (("done", "failed"), "done failed - held held", "", "all follow"),
    (("done", "failed", "done"), "done failed done held held", "failed", ""),
    (("done", "done", "done", "failed"), "done done done failed held", "failed", ""),
    (("done",) * 5, "done done done done done", "done", ""),
]


@pytest.mark.parametrize(("ended", "outcomes", "outcome", "step"), ROWS)
def test_what_follows_from_the_end_of_a_step(
    ended: tuple[str, ...], outcomes: str, outcome: str, step: str
) -> None:
    change = _after(*ended)
    assert (_outcomes(change), change.outcome) == (outcomes, outcome)
    assert (change.step.what if change.step is not None else "") == step
    assert bool(change.table) == (not outcome)
    assert bool(change.reasons) == (outcome in ("refused", "failed"))
    assert change.since_ms == (9 + len(ended) if ended else 5)


def test_the_request_of_a_function_has_an_id_that_follows_from_the_change() -> None:
    assert [CHANGE.operation(i) for i in (1, 3)] == ["c.2", "c.4"]
    assert CHANGE.leaving == ("n1", "n3")
    assert _after("done", "done", "done", "done").leaving == ("n3",)
    assert _after("done", "failed").leaving == (), "what is held takes nobody away"


def test_one_change_at_a_time_and_the_last_ones_are_kept() -> None:
    changes = Changes()
    for number in range(ENDED_KEPT + 2):
        changes = changes.begun(msgspec.structs.replace(CHANGE, id=f"c{number}"))
    assert changes.current is not None
    assert changes.current.id == f"c{ENDED_KEPT + 1}"
    assert [c.id for c in changes.ended] == [f"c{n}" for n in range(1, ENDED_KEPT + 1)]
    assert {(c.outcome, c.table) for c in changes.ended} == {("replaced", "")}
    assert changes.ended[0].reasons == ("change c2, asked for by me (why) took its place",)
    assert _outcomes(changes.ended[0]) == "held held held held held"
    assert changes.known("c0") is None
    assert changes.known("c3") is changes.ended[2]
    assert changes.known(changes.current.id) is changes.current
    done = changes.with_current(_after(*["done"] * 5))
    assert (done.current, done.ended[-1].outcome) == (None, "done")
    assert done.dropped("nothing") is done


def test_the_record_is_read_back_and_a_damaged_or_newer_one_is_refused() -> None:
    changes = Changes(CHANGE, (_after(*["done"] * 5),))
    assert decode(encode(changes)) == changes
    for data in (b"", b"[", b'{"format": 9}', b'{"current": 1}'):
        with pytest.raises(ConfigError) as caught:
            decode(data)
        assert "ledger key change" in str(caught.value)


def test_a_table_names_the_change_that_it_comes_from() -> None:
    assert stamp(b'{"change": "c", "nodes": {}}') == "c"
    assert [stamp(data) for data in (None, b"", b"[]", b"{}")] == ["", "", "", ""]


def test_without_another_table_only_functions_are_left() -> None:
    steps = planned(writes=False, detail=[], first=[], follow="x", last=[("remove", "n3")])
    assert [(s.kind, s.what) for s in steps] == [("function", "remove n3")]
