"""What a node tells of itself, in sentences."""

from __future__ import annotations

from primacy.machines.events_node import LedgerChanged, NodeStarted, NodeStopped, SchedulingGap, TableTaken


def test_they_say_what_happened_to_whom() -> None:
    assert NodeStarted(node="n1", incarnation="0123456789").sentence() == "n1 starts a new life, 01234567"
    assert NodeStopped(node="n1", cause="by hand").sentence() == "n1 stops: by hand"
    assert "was not scheduled for 30 ms" in SchedulingGap(node="n1", gap_ms=30.2).sentence()
    assert LedgerChanged(node="n1", available=True).sentence() == "the ledger answers n1 again"
    assert "roles stay as they are" in LedgerChanged(node="n1", available=False, reason="gone").sentence()


def test_a_table_that_needs_a_restart_says_for_what() -> None:
    taken = TableTaken(node="n1", revision=7, change="service stock is new", behind=["stock"])
    assert taken.sentence().endswith("it has to restart for: stock")
