"""What follows from the facts of a request."""

from __future__ import annotations

from primacy.machines.coordination import Facts
from primacy.machines.membership import NodeEntry


def test_who_is_eligible_and_who_is_available() -> None:
    nodes = (NodeEntry("n1"), NodeEntry("n2", True, False), NodeEntry("n3", False, True))
    facts = Facts("master", 1, "n1", "", False, False, False, ("n1",), nodes)
    assert facts.eligible == ("n1", "n2")
    assert facts.available == ("n1",)
