"""The sentences of force and maintenance."""

from __future__ import annotations

import pytest

from primacy.machines import events_operator as e
from primacy.machines.event_base import Base

SENTENCES: list[tuple[Base, str]] = [
    (
        e.MasterForced(term=4, node="n2", former="n1", proof="word", by="ada", reason="fire", may_lose="all"),
        "ada forced n2 to be master of term 4 (fire); may be lost: all",
    ),
    (e.ClaimHeld(node="n2", reason="maintenance"), "n2 holds its claim back: maintenance"),
    (
        e.MaintenanceBegan(node="n1", scope="cluster", by="ada", reason="switches", for_s=60),
        "maintenance of the cluster is on for 60 s: no automatic failover; by ada (switches)",
    ),
    (
        e.MaintenanceBegan(node="n1", scope="n2", by="ada", reason="", for_s=0),
        "maintenance of n2 is on until an operator ends it: no role for n2; by ada",
    ),
    (e.MaintenanceEndsSoon(node="n1", scope="n2", left_s=9.6), "maintenance of n2 ends by itself in 10 s"),
    (
        e.MaintenanceEnded(node="n1", scope="cluster", cause="expired"),
        "maintenance of the cluster is over (expired): failover is automatic again",
    ),
    (
        e.MaintenanceEnded(node="n1", scope="n2", cause="ended by ada"),
        "maintenance of n2 is over (ended by ada): n2 may have a role",
    ),
]


@pytest.mark.parametrize(("event", "sentence"), SENTENCES)
def test_what_an_operator_reads(event: Base, sentence: str) -> None:
    assert event.sentence() == sentence
