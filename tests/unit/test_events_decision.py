"""The sentence of a decision."""

from __future__ import annotations

from primacy.machines.events_decision import Decided


def test_a_decision_says_who_decided_what() -> None:
    kept = Decided(term=1, node="n2", rule="claim", decision="to claim mastership: so", inputs={}, result={})
    assert kept.sentence() == "n2 decided to claim mastership: so"
