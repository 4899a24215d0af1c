"""The events of a change, as an operator reads them."""

from __future__ import annotations

from primacy.machines.events_change import ChangeBegan, ChangeEnded, ChangeStepEnded


def test_they_tell_the_story_of_a_change() -> None:
    began = ChangeBegan(node="n1", change="c", by="me", reason="why", steps=["the table", "remove n3"])
    assert began.sentence() == "change c of the table begins, by me (why): the table; remove n3"
    instead = ChangeBegan(node="n1", change="c", by="me", reason="why", steps=["a"], replaces="b")
    assert "begins, in the place of b, by me" in instead.sentence()
    step = ChangeStepEnded(
        node="n1", change="c", step=2, what="remove n3", outcome="failed", reasons=["it is master"]
    )
    assert step.sentence() == "change c, step 2: remove n3: failed (it is master)"
    ended = ChangeEnded(node="n1", change="c", outcome="failed", reasons=["x"], held=["remove n3"])
    assert ended.sentence() == "change c of the table is over, failed: x; not done: remove n3"
    done = ChangeEnded(node="n1", change="c", outcome="done", reasons=[], held=[])
    assert done.sentence() == "change c of the table is over, done"
