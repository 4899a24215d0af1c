"""Links and members by what arrives: an event for each change, and the members follow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.events import Event, LinkChanged, NodeChanged
from primacy.machines.link_watch import LinkWatch

SILENCE_NS = 100


class Rig:
    """A watch, its events and what its members have been."""

    def __init__(self, *peers: str) -> None:
        self.events: list[Event] = []
        self.members: list[tuple[str, ...]] = []
        self.watch = LinkWatch("n1", SILENCE_NS, self.events.append, self._changed)
        self.watch.watch(frozenset(peers), 3, 0)

    def _changed(self) -> None:
        self.members.append(self.watch.members)


def test_the_first_link_up_makes_a_member_and_the_last_one_down_unmakes_it() -> None:
    rig = Rig("n2")
    rig.watch.arrived("n2", 0, 10)
    rig.watch.arrived("n2", 1, 50)
    rig.watch.arrived("n2", 0, 60)
    rig.watch.judge(155)
    rig.watch.judge(160)
    fields = {"term": 3, "node": "n1", "peer": "n2"}
    assert rig.events == [
        LinkChanged(**fields, link=1, up=True),
        NodeChanged(**fields, reachable=True),
        LinkChanged(**fields, link=2, up=True, others_up=1),
        LinkChanged(**fields, link=2, up=False, others_up=1),
        LinkChanged(**fields, link=1, up=False),
        NodeChanged(**fields, reachable=False),
    ]
    assert rig.members == [("n1", "n2"), ("n1",)]


def test_who_is_not_watched_is_nothing() -> None:
    rig = Rig("n2")
    rig.watch.arrived("n3", 0, 10)
    assert (rig.events, rig.members, rig.watch.up("n3")) == ([], [], [])


def test_a_peer_that_is_no_longer_watched_is_forgotten_silently() -> None:
    rig = Rig("n2", "n3")
    rig.watch.arrived("n2", 0, 10)
    rig.watch.arrived("n3", 0, 10)
    rig.events.clear()
    rig.watch.watch(frozenset({"n3"}), 4, 20)
    assert rig.events == []
    assert rig.watch.members == ("n1", "n3")
    rig.watch.watch(frozenset({"n2", "n3"}), 4, 20)
    assert rig.watch.members == ("n1", "n3"), "it counts again when it is heard again"


@pytest.mark.parametrize("how", ["buried", "taken down"])
def test_a_death_or_an_operators_word_counts_at_once(how: str) -> None:
    rig = Rig("n2")
    rig.watch.arrived("n2", 0, 10)
    if how == "buried":
        rig.watch.buried("n2", 11)
    else:
        rig.watch.taken_down(0, 11)
    assert rig.watch.members == ("n1",)
    assert isinstance(rig.events[-1], NodeChanged)


MOVES = st.lists(
    st.tuples(st.sampled_from(["n2", "n3"]), st.integers(0, 1), st.integers(0, 60))
    | st.tuples(st.sampled_from(["judge", "bury", "down", "watch"]), st.integers(0, 1), st.integers(0, 150)),
    max_size=40,
)


@given(MOVES)
def test_members_are_always_those_with_a_link_and_changes_alternate(
    moves: list[tuple[str, int, int]],
) -> None:
    rig, now_ns = Rig("n2", "n3"), 0
    for what, link, passes_ns in moves:
        now_ns += passes_ns
        match what:
            case "judge":
                rig.watch.judge(now_ns)
            case "bury":
                rig.watch.buried("n2", now_ns)
            case "down":
                rig.watch.taken_down(link, now_ns)
            case "watch":
                rig.watch.watch(frozenset({"n2", "n3"}), 3, now_ns)
            case peer:
                rig.watch.arrived(peer, link, now_ns)
        assert rig.watch.members == tuple(sorted({"n1", *(p for p in ("n2", "n3") if rig.watch.up(p))}))
    for peer in ("n2", "n3"):
        states = [e.reachable for e in rig.events if isinstance(e, NodeChanged) and e.peer == peer]
        assert all(a != b for a, b in pairwise(states))
        assert states[:1] in ([], [True])


def test_another_silence_counts_from_then_on() -> None:
    rig = Rig("n2")
    rig.watch.arrived("n2", 0, 0)
    rig.watch.retime(2 * SILENCE_NS)
    rig.watch.judge(SILENCE_NS)
    assert rig.watch.members == ("n1", "n2")
    rig.watch.judge(2 * SILENCE_NS)
    assert rig.watch.members == ("n1",)
