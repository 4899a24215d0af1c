"""What an operator reads of a change, and what becomes of one that was not carried out as it was meant."""

from __future__ import annotations

from typing import Any

import pytest

from primacy.cli import changing
from primacy.config import Table
from primacy.errors import OperationFailed, Refused

STEPS = [
    {"what": "the table is written", "outcome": "done", "reasons": []},
    {"what": "qualify n4", "outcome": "", "reasons": []},
]


def _asked(**changed: Any) -> dict[str, Any]:
    return {"id": "c1", "by": "me", "reason": "why", "outcome": "", "reasons": [], "steps": STEPS} | changed


def test_a_change_in_progress_is_shown_step_by_step() -> None:
    stands = changing.Stands(7, Table(nodes={}), "step 2 of 2", _asked())
    assert changing.outline(stands) == [
        "change c1, asked for by me: why",
        "  1. the table is written: done",
        "  2. qualify n4: not ended",
    ]
    assert changing.outline(changing.Stands(7, Table(nodes={}))) == []
    assert changing.outline(changing.Stands(7, Table(nodes={}), "", _asked(outcome="done"))) == []
    assert stands.plain()["asked"] == _asked()


def test_progress_is_told_when_more_than_the_time_has_changed() -> None:
    told = "step 2 of 4, qualify n4, since 12 s: n4 is not a member"
    assert changing._bare(told) == changing._bare(told.replace("12", "13"))
    assert changing._bare(told) != changing._bare(told.replace("step 2", "step 3"))


def test_the_outcome_is_told_as_it_was() -> None:
    changing._judge("c1", _asked(outcome="done"))
    with pytest.raises(Refused) as refused:
        changing._judge("c1", _asked(outcome="refused", reasons=["the table was changed meanwhile"]))
    assert refused.value.reasons == ["the table was changed meanwhile"]
    held = [
        STEPS[0],
        STEPS[1] | {"outcome": "failed"},
        {"what": "remove n3", "outcome": "held", "reasons": []},
    ]
    with pytest.raises(OperationFailed) as failed:
        changing._judge("c1", _asked(outcome="failed", reasons=["qualify n4: it was lost"], steps=held))
    assert str(failed.value).startswith("change c1 failed: qualify n4: it was lost; not done: remove n3")
