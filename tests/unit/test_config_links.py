"""Who reaches whom while nodes move: every mixture of lives of before and after, and what would cut a node off."""

from __future__ import annotations

import itertools

import pytest

from primacy.config import Node, Table
from primacy.config_links import Address, against, counterparts, moved, placed

HERE, THERE = (
    {"A": "10.0.0.1", "B": "10.1.0.1", "C": "10.2.0.1"},
    {"A": "10.0.0.2", "B": "10.1.0.2", "C": "10.2.0.2"},
)
CHANGES = [
    ("A", "AB"),
    ("AB", "A"),
    ("AB", "B"),
    ("AB", "BA"),
    ("AB", "AC"),
    ("A", "BA"),
    ("ABC", "C"),
    ("AB", "AB"),
]


def _row(side: dict[str, str], networks: str, port: int = 7300) -> Node:
    return Node(links=[side[n] for n in networks], port=port)


def _at(side: dict[str, str], networks: str, port: int = 7300) -> list[Address]:
    return [(side[n], port) for n in networks]


def _networks(own: list[Address], found: list[Address | None]) -> list[tuple[str, str]]:
    names = {v: k for side in (HERE, THERE) for k, v in side.items()}
    return [(names[a[0]], names[b[0]]) for a, b in zip(own, found, strict=True) if b is not None]


@pytest.mark.parametrize(("before", "after"), CHANGES)
@pytest.mark.parametrize(("mine", "theirs"), list(itertools.product((0, 1), (0, 1))))
def test_lives_of_before_and_after_reach_each_other_in_a_common_network(
    before: str, after: str, mine: int, theirs: int
) -> None:
    """Both nodes change in the same way; each of them has moved, or has not yet."""
    lives = (before, after)
    own, other = _at(HERE, lives[mine]), _at(THERE, lives[theirs], 7400 if theirs else 7300)
    found = counterparts(own, _row(HERE, after), other, _row(THERE, after, 7400))
    pairs = _networks(own, found)
    assert [a for a, b in pairs if a == b], (pairs, own, other)
    used = [b for b in found if b is not None]
    assert len(used) == len(set(used))
    assert set(used) <= set(other), "only where somebody listens"
    stands = Table(nodes={"n1": _row(HERE, before), "n2": _row(THERE, before)})
    wanted = Table(nodes={"n1": _row(HERE, after), "n2": _row(THERE, after, 7400)})
    assert against(stands, wanted, frozenset({"n1", "n2"})) == []


def test_of_a_node_of_which_nothing_is_known_there_is_nothing_to_pair() -> None:
    assert counterparts(_at(HERE, "AB"), _row(HERE, "AB"), [], _row(THERE, "AB")) == [None, None]


CUT_OFF = [("A", "B"), ("AB", "C"), ("A", "BC")]


@pytest.mark.parametrize(("before", "after"), CUT_OFF)
def test_a_node_that_would_be_out_of_reach_does_not_move(before: str, after: str) -> None:
    stands = Table(nodes={"n1": _row(HERE, before), "n2": Node(links=["10.9.0.2"])})
    wanted = Table(nodes={"n1": _row(HERE, after), "n2": Node(links=["10.9.0.2"])})
    (reason,) = against(stands, wanted, frozenset({"n1", "n2"}))
    assert "no link to n2 would last" in reason
    assert against(stands, wanted, frozenset({"n2"})) == [], "it does not run: it begins there"
    assert moved(stands, wanted) == ["n1"]


TORN = [
    ("AB", "B", "AB"),
    ("AB", "B", "A"),
    ("AB", "BA", "AB"),
    ("ABC", "AC", "ABC"),
    ("AB", "CB", "BC"),
    ("AB", "CA", "AB"),
]


@pytest.mark.parametrize(("before", "mine", "theirs"), TORN)
def test_a_link_does_not_change_its_network(before: str, mine: str, theirs: str) -> None:
    """The first link goes at one node and stays at the other: what is left would be at different places."""
    stands = Table(nodes={"n1": _row(HERE, before), "n2": _row(THERE, before)})
    wanted = Table(nodes={"n1": _row(HERE, mine), "n2": _row(THERE, theirs)})
    reasons = against(stands, wanted, frozenset({"n1", "n2"}))
    assert [r for r in reasons if r.startswith("nodes.n1.links: a link is known by its place")], reasons
    assert against(stands, wanted, frozenset()) == []


def test_nobody_takes_the_place_of_another_one_that_runs() -> None:
    stands = Table(nodes={"n1": _row(HERE, "AB", 7300), "n2": _row(HERE, "AB", 7332)})
    wanted = Table(nodes={"n1": _row(HERE, "AB", 7340), "n2": _row(HERE, "AB", 7400)})
    (reason,) = against(stands, wanted, frozenset({"n1", "n2"}))
    assert reason.startswith("nodes.n1: its new place is still that of n2 (port 7332)")
    assert against(stands, wanted, frozenset({"n1"})) == []


def test_a_row_has_the_place_of_the_life_that_runs() -> None:
    row = Node(links=["10.0.0.1"], port=7300, priority=3)
    life = placed(row, [("10.0.0.9", 7400), ("10.0.1.9", 7400)])
    assert (life.links, life.port, life.priority) == (["10.0.0.9", "10.0.1.9"], 7400, 3)
    assert placed(row, []) == row, "of a life that has not said where it is"
