"""What is known of the other nodes: one life at a time, and nothing of it is a right."""

from __future__ import annotations

from itertools import combinations

import pytest

from primacy.machines.ids import Member
from primacy.machines.membership import NodeEntry
from primacy.machines.messages import Hello
from primacy.machines.peers import NEVER_HEARD, Peers
from primacy.machines.rulings import Appoint, Nobody, appoint

ME, N2 = Member("n1", "1" * 32), Member("n2", "2" * 32)
NODES = (NodeEntry("n1"), NodeEntry("n2"), NodeEntry("n3", priority=5))


def _peers() -> Peers:
    return Peers(ME, NODES)


def _hello(member: Member, positions: dict[str, tuple[int, int]] | None = None) -> Hello:
    return Hello(member, "c", 1, 1, True, True, 0, positions)


def test_own_entry_and_the_others() -> None:
    peers = _peers()
    assert peers.own == NODES[0]
    assert [p.entry.id for p in peers] == ["n2", "n3"]
    assert peers.get("n1") is None
    assert peers.get("n9") is None


def test_a_new_life_forgets_what_the_former_one_said() -> None:
    peers = _peers()
    peer = peers.heard(N2, 100)
    assert peer is not None
    peer.able = peer.leaving = True
    peer.acknowledged_version, peer.rest_until_ns = 7, 9
    peers.greeted(_hello(N2, {"s": (1, 1)}), 110)
    assert peers.heard(N2, 120) is peer
    assert peer.able
    assert peer.acknowledged_version == 7
    peers.heard(Member("n2", "3" * 32), 130)
    assert (peer.able, peer.leaving, peer.positions, peer.acknowledged_version) == (False, False, None, 0)
    assert (peer.hello_ns, peer.rest_until_ns, peer.heard_ns) == (NEVER_HEARD, NEVER_HEARD, 130)


def test_a_stranger_is_no_peer() -> None:
    peers = _peers()
    assert peers.heard(Member("n9", "9" * 32), 1) is None
    assert peers.greeted(_hello(Member("n9", "9" * 32)), 1) is None
    assert peers.heard(ME, 1) is None


def test_a_hello_is_no_sign_of_a_proven_life() -> None:
    peers = _peers()
    peer = peers.greeted(_hello(N2), 100)
    assert peer is not None
    assert peer.heard_ns == NEVER_HEARD


def test_a_new_table_keeps_what_is_known() -> None:
    peers = _peers()
    peers.heard(N2, 100)
    peers.replace((NodeEntry("n1", eligible=False), NodeEntry("n2", priority=3), NodeEntry("n4")))
    assert [p.entry.id for p in peers] == ["n2", "n4"]
    peer = peers.get("n2")
    assert peer is not None
    assert (peer.heard_ns, peer.entry.priority, peers.own.eligible) == (100, 3, False)


@pytest.mark.parametrize(
    ("entry", "positions", "at_ns", "counts"),
    [
        (NodeEntry("n2"), {"s": (1, 2)}, 199, True),
        (NodeEntry("n2"), {"s": (1, 2)}, 200, False),
        (NodeEntry("n2"), {}, 199, True),
        (NodeEntry("n2"), None, 199, False),
        (NodeEntry("n2", eligible=False), {}, 199, False),
    ],
)
def test_candidates_said_hello_lately_and_know_their_journals(
    entry: NodeEntry, positions: dict[str, tuple[int, int]] | None, at_ns: int, counts: bool
) -> None:
    peers = Peers(ME, (entry,))
    peers.greeted(_hello(N2, positions), 100)
    assert bool(peers.candidates(at_ns, 100)) is counts


UNFIT = ["not able", "ineligible", "not available", "leaving", "dead", "silent", "resting"]


@pytest.mark.parametrize("why", [*combinations(UNFIT, 1), *combinations(UNFIT, 2), ()], ids="+".join)
def test_a_vice_must_be_fit_in_every_way(why: tuple[str, ...]) -> None:
    entry = NodeEntry("n2", eligible="ineligible" not in why, available="not available" not in why)
    peers = Peers(ME, (entry,))
    peer = peers.heard(N2, 0 if "silent" in why else 100)
    assert peer is not None
    peer.able, peer.leaving = "not able" not in why, "leaving" in why
    peer.rest_until_ns = 151 if "resting" in why else 150
    dead = {N2.incarnation} if "dead" in why else {"f" * 32}
    assert isinstance(appoint(peers.vice_view(150, 100, dead)), Nobody) is bool(why)


def test_the_highest_priority_then_the_first_id() -> None:
    peers = Peers(ME, (NodeEntry("n4", priority=1), NodeEntry("n3", priority=1), NodeEntry("n2")))
    for node in ("n2", "n3", "n4"):
        peer = peers.heard(Member(node, node * 16), 0)
        assert peer is not None
        peer.able = True
    best = appoint(peers.vice_view(1, 10, set()))
    assert isinstance(best, Appoint)
    assert (best.node, best.incarnation) == ("n3", "n3" * 16)
