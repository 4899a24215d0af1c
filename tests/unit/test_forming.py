"""A member without a role: it waits, reads, and forms when no master lives."""

from __future__ import annotations

import pytest

from primacy.machines import membership as m
from primacy.machines.events import FormationWaits
from primacy.machines.forming import MemberDuty
from primacy.machines.ids import MS
from primacy.machines.mastership import Monitor
from primacy.machines.messages import Beat
from primacy.machines.records import Mastership
from primacy.machines.swap import Outcome, Purpose
from tests.unit.cmm_tools import N1, N2, N3, NODES, TIMING, Cluster

POSITIONS = {"s": (0, 0)}


def _alone(record: Mastership | None = None, **table: object) -> Cluster:
    """n1 alone in its world, with this record in the ledger."""
    cluster = Cluster(nodes=())
    cluster.record, cluster.revision = record, 0 if record is None else 5
    cluster.join(N1, (m.NodeEntry("n1", **table),))
    return cluster


def _waits(cluster: Cluster, node: str) -> list[str]:
    return [e.event.reason for e in cluster.took(node, m.Publish) if isinstance(e.event, FormationWaits)]


def test_nobody_claims_before_it_knows_its_own_journals() -> None:
    monitor = Monitor(N1, "c", TIMING, (m.NodeEntry("n1"),), 0)
    for at_ns in range(0, 10_000 * MS, 50 * MS):
        assert not [e for e in monitor.step(m.Tick(now_ns=at_ns)) if isinstance(e, m.Read | m.SwapRecord)]


def test_the_record_is_read_before_anything_is_claimed() -> None:
    cluster = _alone()
    kinds = [type(e) for e in cluster.effects["n1"]]
    assert kinds.index(m.Read) < kinds.index(m.SwapRecord)
    assert cluster.record.master == N1


def test_without_the_ledger_nobody_claims() -> None:
    cluster = Cluster(nodes=())
    cluster.readable = False
    cluster.join(N1, (m.NodeEntry("n1"),))
    cluster.run(5_000)
    assert not cluster.took("n1", m.SwapRecord)


def test_an_ineligible_node_never_claims() -> None:
    cluster = _alone(eligible=False)
    cluster.run(5_000)
    assert cluster.record is None


def test_a_reason_to_wait_is_told_once() -> None:
    record = Mastership(3, N2, None, 2, "test", N2)
    cluster = Cluster(nodes=())
    cluster.record, cluster.revision = record, 5
    cluster.join(N1, NODES[:2])
    cluster.run(4 * TIMING.formation_ms)
    assert _waits(cluster, "n1") == [
        "only the data of n2 is complete: waiting for it, or for the operator's force"
    ]
    duty = cluster.monitors["n1"].member
    assert isinstance(duty, MemberDuty)
    assert duty.waits_for == _waits(cluster, "n1")[0]


def test_while_a_master_is_heard_no_other_forms() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.cut = {(a, b) for a in ("n1", "n2") for b in ("n1", "n2") if a != b}
    assert not cluster.took("n3", m.SwapRecord)
    cluster.run(5_000, "n3")
    beat = Beat(1, cluster.revision, cluster.now_ns)
    cluster.give("n3", m.Received(now_ns=cluster.now_ns, sender=N1, message=beat))
    swaps = len(cluster.took("n3", m.SwapRecord))
    cluster.run(TIMING.silence_ns / MS - 10, "n3")
    assert len(cluster.took("n3", m.SwapRecord)) == swaps


def test_the_recorded_masters_node_forms_again_in_a_new_term() -> None:
    cluster = _alone(Mastership(3, type(N1)("n1", "e" * 32), None, 2, "test", N1))
    cluster.run(50)
    assert (cluster.record.term, cluster.record.master, cluster.record.vice) == (4, N1, None)
    assert cluster.record.appointment == 3


def test_a_claim_that_an_unavailable_ledger_refuses_is_tried_again_a_beat_later() -> None:
    cluster = Cluster(nodes=())
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNAVAILABLE
    cluster.join(N1, (m.NodeEntry("n1"),))
    cluster.run(1_000)
    tries = len(cluster.took("n1", m.SwapRecord))
    assert tries == pytest.approx(1_000 / TIMING.beat_ms, abs=2)
    cluster.ledger_says = lambda swap: None
    cluster.run(2 * TIMING.beat_ms)
    assert cluster.record.master == N1
    assert {e.purpose for e in cluster.took("n1", m.Closed)} == {Purpose.FORM}


def test_of_two_that_form_at_once_one_is_a_member_afterwards() -> None:
    cluster = Cluster(nodes=())
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNAVAILABLE
    cluster.join(N1, (m.NodeEntry("n1"),))
    theirs = Mastership(1, N2, None, 1, "first", N2)
    cluster.revision, cluster.record = 1, theirs
    cluster.ledger_says = lambda swap: None
    cluster.run(200)
    assert m.Closed(Purpose.FORM, Outcome.LOST) in cluster.effects["n1"]
    assert cluster.monitors["n1"].role == "member"
    assert cluster.record == theirs
