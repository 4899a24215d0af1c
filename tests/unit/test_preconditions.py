"""What speaks against each function: every reason, and none where there is none."""

from __future__ import annotations

import msgspec
import pytest

from primacy.machines.coordination import Facts
from primacy.machines.membership import NodeEntry
from primacy.machines.preconditions import LADDER, Situation, reasons_against

WELL = Situation(serving=True, busy="", auto_promote=False)
NODES = (
    NodeEntry("n1"),
    NodeEntry("n2"),
    NodeEntry("n3"),
    NodeEntry("n4", True, False),
    NodeEntry("n5", False, False),
)
FACTS = Facts(
    role="master", term=3, master="n1", vice="n2", vice_ready=True, lease_held=True, swap_open=False,
    members=("n1", "n2", "n3", "n4", "n5"), nodes=NODES,
)  # fmt: skip


def against(
    function: str, node: str | None, situation: Situation = WELL, **changed: object
) -> tuple[str, ...]:
    return reasons_against(function, node, msgspec.structs.replace(FACTS, **changed), situation)


@pytest.mark.parametrize(
    ("function", "node"),
    [
        ("switchover", None), ("switchover", "n2"), ("shutdown", None), ("shutdown", "n1"), ("shutdown", "n5"),
        ("qualify", "n5"), ("promote", "n4"), ("demote", "n1"), ("demote", "n2"), ("demote", "n3"),
        ("disqualify", "n1"), ("disqualify", "n4"), ("remove", "n1"), ("remove", "n5"),
    ],
)  # fmt: skip
def test_no_reason_no_refusal(function: str, node: str | None) -> None:
    assert against(function, node) == ()


@pytest.mark.parametrize(
    ("changed", "to", "word"),
    [
        ({}, "n1", "already"),
        ({}, "n3", "not the vice"),
        ({}, "n9", "no eligible node"),
        ({}, "n5", "no eligible node"),
        ({"vice_ready": False}, None, "catching up"),
        ({"lease_held": False}, None, "does not answer"),
        ({"vice": "", "vice_ready": False}, None, "no vice"),
        ({"role": "vice", "master": "n2"}, None, "not master"),
        ({"swap_open": True}, None, "under way"),
    ],
)
def test_each_reason_against_a_switchover(changed: dict[str, object], to: str | None, word: str) -> None:
    reasons = against("switchover", to, **changed)
    assert any(word in reason for reason in reasons), reasons


@pytest.mark.parametrize(
    ("function", "node", "changed", "word"),
    [
        ("qualify", "n3", {}, "eligible already (available)"),
        ("qualify", "n4", {}, "eligible already (a spare)"),
        ("qualify", "n5", {"members": ("n1", "n2")}, "primacy start n5"),
        ("promote", "n3", {}, "primacy switchover --to n3"),
        ("promote", "n5", {}, "primacy qualify n5"),
        ("promote", "n4", {"members": ("n1",)}, "not a member"),
        ("demote", "n4", {}, "a spare already"),
        ("demote", "n5", {}, "nothing to demote"),
        ("disqualify", "n5", {}, "ineligible already"),
        ("remove", "n9", {}, "no node of this cluster (nodes: n1, n2, n3, n4, n5)"),
        ("remove", None, {}, "say which node"),
        ("demote", "n1", {"vice_ready": False}, "has to switch over first: the vice n2 is not ready"),
        ("disqualify", "n1", {"vice": "", "vice_ready": False}, "has to switch over first: there is no vice"),
        ("demote", "n1", {"nodes": (NodeEntry("n1"), NodeEntry("n5", False))}, "the only node"),
        ("remove", "n1", {"nodes": (NodeEntry("n1"),)}, "the only node"),
        ("shutdown", "n9", {}, "n9 is not a member now"),
        ("shutdown", "n1", {"vice_ready": False}, "no vice is ready"),
    ],
)  # fmt: skip
def test_each_reason_against_the_others(
    function: str, node: str | None, changed: dict[str, object], word: str
) -> None:
    reasons = against(function, node, **changed)
    assert any(word in reason for reason in reasons), reasons


def test_a_node_that_is_not_there_goes_down_all_the_same() -> None:
    for function in ("demote", "disqualify", "remove"):
        assert against(function, "n3", members=("n1", "n2")) == ()


def test_a_demotion_that_auto_promote_would_take_back_at_once() -> None:
    automatic = Situation(serving=True, busy="", auto_promote=True)
    two = {"nodes": (NodeEntry("n1"), NodeEntry("n2")), "members": ("n1", "n2")}
    [reason] = against("demote", "n2", automatic, **two)
    assert "auto_promote" in reason
    assert against("demote", "n2", automatic) == ()  # n3 may be vice
    assert against("disqualify", "n2", automatic, **two) == ()


def test_every_reason_is_listed() -> None:
    busy = Situation(serving=False, busy="a function is in progress", auto_promote=False)
    assert len(against("switchover", "n9", busy, vice="", vice_ready=False, swap_open=True)) == 5
    for function in LADDER:
        found = against(function, "n9", busy, role="vice", master="n2", swap_open=True)
        assert len(found) == 5, found
