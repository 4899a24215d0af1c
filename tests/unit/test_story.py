"""What an operator is told: each fact once, from the node whose word counts; the rest are details."""

from __future__ import annotations

import pytest

from primacy.machines import events
from primacy.machines.events import Stamped
from primacy.machines.story import DETAILS, GAP_TOLD_MS, Story
from primacy.machines.timeline import Event
from tests.unit.samples import members

LIFE = "1" * 32
ELECTED = events.MasterElected(term=1, node="n1", how="formation", cause="test")


def told(*happened: tuple[str, events.Event]) -> list[bool]:
    """Return for each event whether the story tells it; the first of each pair has published it."""
    story = Story()
    plain: list[Event] = [
        Stamped(node=node, incarnation=node, number=1, wall_ns=1, event=event).plain()
        for node, event in happened
    ]
    return [story.tells(event) for event in plain]


def hears(node: str, peer: str, *, reachable: bool) -> tuple[str, events.Event]:
    """Return that a node hears a peer or no longer does."""
    return node, events.NodeChanged(term=1, node=node, peer=peer, reachable=reachable)


def obituary(by: str, of: str, life: str = LIFE) -> tuple[str, events.Event]:
    """Return that a node heard of a death."""
    return by, events.ObituaryHeard(term=1, node=of, incarnation=life)


def link(node: str, peer: str, *, up: bool, others_up: int) -> tuple[str, events.Event]:
    """Return that a link of a node went up or down."""
    return node, events.LinkChanged(term=1, node=node, peer=peer, link=1, up=up, others_up=others_up)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.LevelCompleted(node="n1", function="failover", level=1), False),
        (events.ServerChanged(node="n1", service="s", old="spare", new="primary"), False),
        (events.FunctionBegan(node="n1", function="failover", cause=""), True),
        (events.FunctionBegan(node="n1", function="initialize", cause=""), False),
        (events.FunctionBegan(node="n1", function="demote", cause="", operation="o1"), False),
        (events.FunctionEnded(node="n1", function="demote", outcome="completed", operation="o1"), True),
        (events.OperationBegan(node="n1", function="demote", reason="", operation="o1"), True),
        (events.FunctionBegan(node="n1", function="reconnect", cause=""), False),
        (events.FunctionEnded(node="n1", function="failover", outcome="completed"), True),
        (events.FunctionEnded(node="n1", function="initialize", outcome="completed"), True),
        (events.FunctionEnded(node="n1", function="reconnect", outcome="completed"), False),
        (events.FunctionEnded(node="n1", function="reconnect", outcome="failed"), True),
        (events.SchedulingGap(node="n1", gap_ms=GAP_TOLD_MS - 1), False),
        (events.SchedulingGap(node="n1", gap_ms=GAP_TOLD_MS), True),
        (events.InService(node="n1", function="failover"), True),
        (events.FormationWaits(node="n1", reason="", passing=True), False),
        (events.FormationWaits(node="n1", reason=""), True),
    ],
)
def test_what_is_told_by_itself(event: events.Event, expected: bool) -> None:
    assert told(("n1", event)) == [expected]


def test_a_death_is_told_once_and_what_follows_from_it_not_at_all() -> None:
    assert told(
        ("n1", ELECTED),
        obituary("n2", "n1"),
        obituary("n3", "n1"),
        hears("n2", "n1", reachable=False),
        link("n2", "n1", up=False, others_up=0),
    ) == [True, True, False, False, False]


def test_a_node_that_has_said_that_it_stops_is_not_told_as_dead() -> None:
    stops = events.NodeStopped(node="n2", cause="")
    assert told(("n2", stops), obituary("n1", "n2", "n2"), obituary("n1", "n2", "2" * 32)) == [
        True,
        False,
        True,
    ]


def test_the_death_of_the_next_life_is_news() -> None:
    assert told(obituary("n2", "n1"), obituary("n2", "n1", "2" * 32)) == [True, True]


def test_a_node_that_nobody_hears_is_told_once_and_its_return_by_the_master() -> None:
    assert told(
        ("n1", ELECTED),
        hears("n1", "n3", reachable=False),
        hears("n2", "n3", reachable=False),
        hears("n2", "n3", reachable=True),
        hears("n1", "n3", reachable=True),
        hears("n1", "n3", reachable=True),
    ) == [True, True, False, False, True, False]


def test_a_node_that_starts_need_not_be_told_as_heard() -> None:
    started = events.NodeStarted(node="n2", incarnation=LIFE)
    assert told(("n1", ELECTED), ("n2", started), hears("n1", "n2", reachable=True)) == [True, True, False]


def test_a_link_of_several_is_told_by_the_master_and_so_is_its_return() -> None:
    assert told(
        ("n1", ELECTED),
        link("n1", "n2", up=True, others_up=1),
        link("n2", "n1", up=False, others_up=1),
        link("n1", "n2", up=False, others_up=1),
        link("n1", "n2", up=True, others_up=1),
        link("n2", "n1", up=True, others_up=1),
    ) == [True, False, False, True, True, False]


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([("n1", ELECTED)], False),
        ([("n1", ELECTED), obituary("n2", "n1")], True),
        ([("n1", ELECTED), obituary("n2", "n3")], False),
        ([("n1", ELECTED), hears("n2", "n1", reachable=False)], True),
        ([("n1", ELECTED), ("n1", events.NodeStopped(node="n1", cause=""))], True),
        ([("n1", ELECTED), ("n1", events.NodeStarted(node="n1", incarnation=LIFE))], True),
        ([("n1", ELECTED), ("n1", events.MasterDeposed(term=2, node="n1", by="n2", cause=""))], True),
        (
            [
                ("n1", ELECTED),
                ("n2", events.MasterElected(term=2, node="n2", how="", cause="")),
                ("n1", events.MasterDeposed(term=2, node="n1", by="n2", cause="")),
            ],
            False,
        ),
    ],
)
def test_who_waits_for_a_master_is_told_while_there_is_none(
    happened: list[tuple[str, events.Event]], expected: bool
) -> None:
    assert told(*happened, ("n3", events.FormationWaits(term=1, node="n3", reason="")))[-1] is expected


def test_kinds_that_are_not_known_are_told() -> None:
    assert Story().tells({"node": "n1", "event": {"event": "OfALaterVersion"}})
    assert Story().tells({"node": "n1"})


def test_every_rule_is_about_a_kind_that_there_is() -> None:
    assert set(DETAILS) <= {kind.__name__ for kind in members(events.Event)}
