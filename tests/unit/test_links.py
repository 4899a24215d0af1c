"""Links up and down, peers reachable and unreachable: by tables, and against a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from primacy.machines.links import Change, LinkDown, Links, LinkUp, PeerReachable, PeerUnreachable

SILENCE_NS = 100


def test_first_link_up_is_reachable_last_link_down_is_not() -> None:
    links = Links(SILENCE_NS)
    assert links.arrived("n2", 0, 0) == [LinkUp("n2", 0), PeerReachable("n2")]
    assert links.arrived("n2", 1, 10) == [LinkUp("n2", 1)]
    assert links.arrived("n2", 1, 50) == []
    assert links.up("n2") == [0, 1]
    assert links.due_ns() == 100
    assert links.tick(99) == []
    assert links.tick(100) == [LinkDown("n2", 0, silent_ns=100)]
    assert links.reachable("n2")
    assert links.tick(160) == [LinkDown("n2", 1, silent_ns=110), PeerUnreachable("n2")]
    assert not links.reachable("n2")
    assert links.due_ns() is None
    assert links.tick(10_000) == []
    assert links.arrived("n2", 1, 10_000) == [LinkUp("n2", 1), PeerReachable("n2")]


def test_peers_are_judged_apart_and_by_their_own_silence() -> None:
    links = Links(SILENCE_NS)
    links.expect("n3", 1000)
    links.arrived("n2", 0, 0)
    links.arrived("n3", 0, 0)
    assert links.tick(100) == [LinkDown("n2", 0, 100), PeerUnreachable("n2")]
    assert links.due_ns() == 1000
    assert links.tick(1000) == [LinkDown("n3", 0, 1000), PeerUnreachable("n3")]


def test_a_link_taken_down_is_down_to_every_peer_at_once() -> None:
    links = Links(SILENCE_NS)
    for peer, link in (("n2", 0), ("n2", 1), ("n3", 0)):
        links.arrived(peer, link, 0)
    assert links.take_down(0, 5) == [
        LinkDown("n2", 0, 5),
        LinkDown("n3", 0, 5),
        PeerUnreachable("n3"),
    ]
    assert links.take_down(0, 5) == []


def test_a_forgotten_peer_is_unreachable_and_judged_by_the_common_silence_again() -> None:
    links = Links(SILENCE_NS)
    links.expect("n2", 1000)
    links.arrived("n2", 0, 0)
    assert links.forget("n2", 7) == [LinkDown("n2", 0, 7), PeerUnreachable("n2")]
    assert links.forget("n2", 8) == []
    links.arrived("n2", 0, 10)
    assert links.due_ns() == 110


@given(
    st.lists(
        st.tuples(st.sampled_from(["n2", "n3", ""]), st.integers(0, 2), st.integers(0, 120)),
        max_size=100,
    )
)
def test_the_changes_tell_the_whole_story(steps: list[tuple[str, int, int]]) -> None:
    """Replaying the changes gives the state that the arrivals and the clock give; no change is told twice."""
    links, heard, told = Links(SILENCE_NS), dict[tuple[str, int], int](), set[tuple[str, int]]()
    reachable, now = set[str](), 0
    for peer, link, passed in steps:
        now += passed
        changes: list[Change]
        if peer:
            changes = links.arrived(peer, link, now)
            heard[peer, link] = now
        else:
            changes = links.tick(now)
            heard = {key: at for key, at in heard.items() if now - at < SILENCE_NS}
        for change in changes:
            match change:
                case LinkUp(peer=who, link=index):
                    assert (who, index) not in told
                    told.add((who, index))
                case LinkDown(peer=who, link=index, silent_ns=silent):
                    assert silent >= SILENCE_NS
                    told.remove((who, index))
                case PeerReachable(peer=who):
                    assert who not in reachable
                    reachable.add(who)
                case PeerUnreachable(peer=who):
                    reachable.remove(who)
        assert told == set(heard)
        assert reachable == {who for who, _ in heard}
        assert links.due_ns() == (min(heard.values()) + SILENCE_NS if heard else None)


def test_the_silence_that_is_judged_by_can_change() -> None:
    links = Links(100)
    links.arrived("n2", 0, 0)
    links.retime(200)
    assert links.tick(150) == []
    links.retime(100)
    assert [type(change) for change in links.tick(150)] == [LinkDown, PeerUnreachable]
