"""Telling the others: repeated until acknowledged or superseded, and never longer than a datagram."""

from __future__ import annotations

import pytest

from primacy.cgtp.crypto import PAYLOAD_BYTES_MAX
from primacy.config import POSITIONS_BYTES_MAX
from primacy.machines import membership as m
from primacy.machines.announcing import GREETED_MAX
from primacy.machines.ids import Member
from primacy.machines.mastership import Monitor
from primacy.machines.messages import Announce, Heard, Hello, encode
from primacy.machines.records import CAUSE_BYTES_MAX, Mastership, Vice
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster

BIG = (1 << 32) - 1


def _announced(cluster: Cluster, to: str) -> list[Announce]:
    sent = cluster.took("n1", m.Send)
    return [e.message for e in sent if e.node == to and isinstance(e.message, Announce)]


def _cut_off(node: str) -> set[tuple[str, str]]:
    others = {"n1", "n2", "n3"} - {node}
    return {(o, node) for o in others} | {(node, o) for o in others}


def test_news_is_repeated_to_who_has_not_acknowledged_it_and_to_nobody_else() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.cut = _cut_off("n3")
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N2))
    cluster.effects["n1"].clear()
    cluster.run(1_000, "n1", "n2")
    assert len(_announced(cluster, "n3")) > 3
    newest = {a.version for a in _announced(cluster, "n3")}
    cluster.cut = set()
    cluster.run(600)
    assert cluster.monitors["n3"].record == cluster.record
    cluster.effects["n1"].clear()
    cluster.run(1_000)
    assert _announced(cluster, "n3") == []
    assert newest


def test_a_thawed_node_is_told_more_seldom_after_it_was_silent_for_long() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.cut = _cut_off("n3")
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N2))
    cluster.run(3_000, "n1", "n2")
    cluster.effects["n1"].clear()
    cluster.run(2_000, "n1", "n2")
    assert len(_announced(cluster, "n3")) == pytest.approx(2_000 / TIMING.member_ms, abs=1)


def test_only_the_newest_version_counts_as_acknowledged() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    peer = cluster.monitors["n1"].peers.get("n3")
    assert peer is not None
    known = peer.acknowledged_version
    heard = Heard(known - 1, N1.incarnation)
    cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=N3, message=heard))
    assert peer.acknowledged_version == known


def test_what_a_former_life_has_announced_counts_for_no_later_one() -> None:
    """It may have been held somewhere, and be acknowledged when the node has a new life with news of its own."""
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    monitor = cluster.monitors["n3"]
    announce = Announce(cluster.revision, cluster.record, False, 99)
    effects = monitor.step(m.Received(now_ns=cluster.now_ns, sender=N1, message=announce))
    assert m.Send("n1", Heard(99, N1.incarnation)) in effects
    peer = cluster.monitors["n1"].peers.get("n3")
    assert peer is not None
    known = peer.acknowledged_version
    cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=N3, message=Heard(99, "a former life")))
    assert peer.acknowledged_version == known
    cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=N3, message=Heard(99, N1.incarnation)))
    assert peer.acknowledged_version == 99


def test_a_new_life_hears_the_news_again() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.join(Member("n3", "e" * 32))
    cluster.run(700)
    assert cluster.monitors["n3"].record == cluster.record


def test_who_made_another_one_master_tells_it_until_it_beats() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.cut = {("n1", "n2")}
    cluster.give("n1", m.HandOver(now_ns=cluster.now_ns, term=1, in_step=True, cause="test"))
    cluster.effects["n1"].clear()
    cluster.run(160, "n1")
    assert len(_announced(cluster, "n2")) >= 3
    cluster.cut = set()
    cluster.run(200)
    assert cluster.monitors["n2"].role == "master"
    cluster.effects["n1"].clear()
    cluster.run(500)
    assert _announced(cluster, "n2") == []


def test_strangers_are_greeted_often_while_a_master_is_sought_and_seldom_afterwards() -> None:
    cluster = Cluster(N1, nodes=(m.NodeEntry("n1"), m.NodeEntry("n2")))
    cluster.run(1_000)
    searching = len(cluster.took("n1", m.Greet))
    cluster.run(2_000)
    assert cluster.monitors["n1"].role == "master"
    cluster.effects["n1"].clear()
    cluster.run(1_000)
    assert len(cluster.took("n1", m.Greet)) < searching / 3


def _longest(length: int) -> str:
    return "x" * length


def _positions() -> dict[str, tuple[int, int]]:
    return {f"{_longest(21)}{n}": (BIG, BIG) for n in range(POSITIONS_BYTES_MAX // 36)}


def test_the_longest_hello_fits_into_a_datagram() -> None:
    nodes = tuple(m.NodeEntry(f"{_longest(30)}{n:02d}", priority=1_000_000) for n in range(60))
    me = Member(nodes[0].id, "f" * 32)
    monitor = Monitor(me, _longest(64), TIMING, nodes, 0)
    for node in nodes[1:]:
        hello = Hello(Member(node.id, "e" * 32), _longest(64), 1, 1, True, True, 0, {}, [me.incarnation])
        monitor.step(m.Received(now_ns=1, sender=hello.member, message=hello))
    health = m.Health(now_ns=2, able=True, healthy=True, appointment=0, positions=_positions())
    effects = monitor.step(health) + monitor.step(m.Tick(now_ns=10**9))
    greets = [e for e in effects if isinstance(e, m.Greet)]
    assert {n for g in greets for n in g.nodes} == {n.id for n in nodes[1:]}
    assert max(len(g.message.seen) for g in greets) == GREETED_MAX
    assert all(len(encode(g.message)) <= PAYLOAD_BYTES_MAX for g in greets)


@pytest.mark.parametrize("stopped", [False, True])
def test_the_longest_announcement_fits_into_a_datagram(stopped: bool) -> None:
    node, life = _longest(32), "f" * 32
    cause = "the cluster was stopped in order" if stopped else _longest(CAUSE_BYTES_MAX)
    vice = None if stopped else Vice(node, life, ready=True)
    positions = _positions() if stopped else None
    record = Mastership(BIG, Member(node, life), vice, BIG, cause, Member(node, life), positions)
    assert len(encode(Announce(BIG, record, True, BIG))) <= PAYLOAD_BYTES_MAX


def _greeted(cluster: Cluster, by: str) -> set[str]:
    return {node for effect in cluster.took(by, m.Greet) for node in effect.nodes}


def test_only_those_who_may_be_master_are_greeted_by_a_node_that_may_not() -> None:
    nodes = tuple(m.NodeEntry(n, eligible=n in ("n1", "n2")) for n in ("n1", "n2", "n3", "n4"))
    cluster = Cluster(N1, N3, nodes=nodes)
    cluster.run(50)
    assert _greeted(cluster, "n3") == {"n1", "n2"}
    assert _greeted(cluster, "n1") == {"n2", "n3", "n4"}


def test_who_hears_its_master_greets_nobody_and_the_master_whom_it_does_not_hear() -> None:
    cluster = Cluster(N1, N2, N3, nodes=tuple(m.NodeEntry(n) for n in ("n1", "n2", "n3", "n4")))
    cluster.run(2_000)
    assert cluster.monitors["n1"].role == "master"
    for node in ("n1", "n2", "n3"):
        cluster.effects[node].clear()
    cluster.run(3_000)
    assert [_greeted(cluster, node) for node in ("n1", "n2", "n3")] == [{"n4"}, set(), set()]
    cluster.cut = _cut_off("n3")
    cluster.run(3_000)
    assert _greeted(cluster, "n3") == {"n1", "n2", "n4"}


@pytest.mark.parametrize("cluster_id", ["c", "another"])
@pytest.mark.parametrize("node", ["n1", "n2"])
def test_only_another_node_of_this_cluster_is_greeted_back(cluster_id: str, node: str) -> None:
    """A node that hears its own name (started twice, or its datagram came back) says nothing to itself."""
    cluster = Cluster(N1)
    cluster.effects["n1"].clear()
    stranger = Member(node, "e" * 32)
    hello = Hello(stranger, cluster_id, 1, 1, True, True, 0, {}, [])
    cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=stranger, message=hello))
    welcome = (cluster_id, node) == ("c", "n2")
    assert bool(cluster.took("n1", m.Greet)) == welcome
    peer = cluster.monitors["n1"].peers.get("n2")
    assert peer is not None
    assert (peer.incarnation == stranger.incarnation) == welcome
