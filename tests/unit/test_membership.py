"""What follows from a node's row."""

from __future__ import annotations

import pytest

from primacy.machines.membership import NodeEntry


@pytest.mark.parametrize(
    ("eligible", "available"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_who_may_be_master_or_vice(eligible: bool, available: bool) -> None:
    assert NodeEntry("n1", eligible, available).may_lead is (eligible and available)
