"""May a change of the table begin, and what is written down of it."""

from __future__ import annotations

import pytest

from primacy import config
from primacy.config import Table, build
from primacy.config_intent import against_now, intent
from primacy.config_plan import plan
from primacy.machines.change_record import Change
from primacy.machines.records import Operation

NODES = {"n1": {"links": ["127.0.0.1"]}, "n2": {"links": ["127.0.0.2"]}}
CURRENT = Change("c1", "more beats", "somebody", 0, 0, 4, ())


def _table(**changed: object) -> Table:
    return build({"nodes": NODES} | changed, "test")


def _busy(function: str) -> Operation:
    return Operation(id="o", function=function, node="n2", term=1, reason="", by="n1")


@pytest.mark.parametrize(
    ("change", "busy", "made_from", "replace", "said"),
    [
        (None, None, None, False, []),
        (None, None, 4, False, []),
        (None, None, 3, False, ["this change was made from revision 3, it stands at 4 now"]),
        (None, "switchover", None, False, []),
        (None, "remove", None, False, ["remove n2 is in progress"]),
        (CURRENT, None, None, False, ["step 2; wait for its end, or see --replace"]),
        (CURRENT, None, None, True, []),
        (CURRENT, "qualify", 9, False, ["revision 9", "qualify n2", "change c1"]),
    ],
)
def test_all_reasons_are_told(
    change: Change | None, busy: str | None, made_from: int | None, replace: bool, said: list[str]
) -> None:
    operation = _busy(busy) if busy is not None else None
    reasons = against_now(change, operation, 4, made_from=made_from, replace=replace, progress="step 2")
    assert len(reasons) == len(said)
    assert all(words in reason for words, reason in zip(said, reasons, strict=True))


def test_the_intent_has_the_table_with_its_stamp_and_all_steps() -> None:
    planned = plan(_table(), _table(cluster={"profile": "carrier"}), frozenset())
    change = intent("c2", planned, 7, reason="faster", by="somebody", now_ms=5)
    assert config.decode(change.table.encode()).change == "c2"
    assert (change.revision, change.began_ms, change.since_ms, change.outcome) == (7, 5, 5, "")
    assert [step.kind for step in change.steps] == ["table", "follow"]


def test_functions_alone_write_no_table() -> None:
    wanted = _table(nodes=NODES | {"n2": NODES["n2"] | {"eligible": False}})
    change = intent("c3", plan(_table(), wanted, frozenset()), 7, reason="", by="", now_ms=5)
    assert change.table == ""
    assert [(step.function, step.node) for step in change.steps] == [("disqualify", "n2")]
