"""Failback: when a master hands over to the preferred node by itself."""

from __future__ import annotations

from typing import Any

import pytest

from primacy.machines.coordination import Facts
from primacy.machines.failback import AGAIN_NS, SETTLE_NS, Failback, gave_up, preferred
from primacy.machines.ids import SECOND, Member
from primacy.machines.membership import NodeEntry
from tests.unit.ssc_tools import N1, N2, N3, record

NODES = (NodeEntry("n1", priority=10), NodeEntry("n2", priority=0), NodeEntry("n3", priority=0))


def facts(**fields: Any) -> Facts:
    usual: dict[str, Any] = {
        "role": "master", "term": 2, "master": "n2", "vice": "n1", "vice_ready": True, "lease_held": True,
        "swap_open": False, "members": ("n1", "n2", "n3"), "nodes": NODES,
    }  # fmt: skip
    return Facts(**usual | fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "n1"),
        ({"role": "vice"}, ""),
        ({"vice_ready": False}, ""),
        ({"lease_held": False}, ""),
        ({"swap_open": True}, ""),
        ({"vice": "n3"}, ""),
        ({"vice": ""}, ""),
        ({"master": "n1", "vice": "n2"}, ""),
        ({"nodes": (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3"))}, ""),
        ({"nodes": (NodeEntry("n1", priority=5), NodeEntry("n2"), NodeEntry("n3", priority=9))}, ""),
        ({"nodes": (NodeEntry("n1", priority=5), NodeEntry("n2"), NodeEntry("n3", False, priority=9))}, "n1"),
    ],
)
def test_only_the_ready_vice_of_the_highest_priority_is_preferred(
    fields: dict[str, Any], expected: str
) -> None:
    assert preferred(facts(**fields), frozenset(), held=False) == expected


def test_nobody_is_preferred_in_maintenance() -> None:
    assert preferred(facts(), frozenset({"n1"}), held=False) == ""
    assert preferred(facts(), frozenset(), held=True) == ""


def test_it_waits_until_the_vice_has_been_ready_for_a_while() -> None:
    rule = Failback()
    ask = {"maintained": frozenset[str](), "held": False}
    assert rule.due(facts(), 0, **ask) == ""
    assert rule.due(facts(vice_ready=False), SECOND, **ask) == ""
    assert rule.due(facts(), 2 * SECOND, **ask) == ""
    assert rule.due(facts(), 2 * SECOND + SETTLE_NS - 1, **ask) == ""
    assert rule.due(facts(), 2 * SECOND + SETTLE_NS, **ask) == "n1"


def test_what_did_not_succeed_is_tried_again_much_later() -> None:
    rule = Failback()
    ask = {"maintained": frozenset[str](), "held": False}
    rule.due(facts(), 0, **ask)
    assert rule.due(facts(), SETTLE_NS, **ask) == "n1"
    assert rule.due(facts(), SETTLE_NS + AGAIN_NS - 1, **ask) == ""
    assert rule.due(facts(), SETTLE_NS + AGAIN_NS, **ask) == "n1"


def test_it_does_not_go_back_to_the_life_that_handed_over_itself() -> None:
    rule = Failback()
    for second in range(20):
        assert rule.due(facts(), second * SECOND, maintained=frozenset(), held=False, gave_up=True) == ""


def test_who_handed_over_is_known_by_its_life() -> None:
    handed, claimed = record(2, N2, N1, by=N1), record(2, N2, by=N2)
    assert gave_up(handed, record(2, N2, N1, ready=True, by=N2))
    assert not gave_up(handed, record(2, N2, N3, by=N2))
    assert not gave_up(handed, record(2, N2, Member("n1", "a later life"), by=N2))
    assert not gave_up(claimed, record(2, N2, N1, by=N2))
    assert not gave_up(None, None)
