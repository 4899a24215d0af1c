"""The monitor as a whole: formation, the open swap, what both records allow."""

from __future__ import annotations

import pytest

from primacy.machines import membership as m
from primacy.machines.events import ObituaryHeard
from primacy.machines.ids import FOREVER_NS, MS, Member
from primacy.machines.mastership import Monitor
from primacy.machines.messages import Announce, Beat, Echo, Obituary
from primacy.machines.records import Mastership, Vice
from primacy.machines.swap import Outcome, Purpose
from tests.unit.cmm_tools import N1, N2, N3, NODES, TIMING, Cluster


def test_first_formation_elects_the_first_node_once_all_are_heard() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.run(20)
    assert cluster.record is not None
    assert cluster.record.master == N1
    assert [c.monitors[n].role for c in [cluster] for n in ("n1", "n2", "n3")] == [
        "master",
        "member",
        "member",
    ]
    assert all(monitor.record == cluster.record for monitor in cluster.monitors.values())


def test_a_missing_eligible_node_delays_formation_by_the_window_only() -> None:
    cluster = Cluster(N2, N3)
    cluster.run(TIMING.formation_ms - 50)
    assert cluster.record is None
    cluster.run(100)
    assert cluster.record is not None
    assert cluster.record.master == N2


def test_formation_ends_with_a_ready_vice() -> None:
    record = Cluster(N1, N2, N3).formed()
    assert record.ready_vice == N2
    assert record.term == 1


def test_master_alone_answers_for_ever_and_with_a_ready_vice_within_its_lease() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.run(20)
    assert cluster.until_ns("n1") == FOREVER_NS
    cluster.formed()
    assert cluster.now_ns < cluster.until_ns("n1") <= cluster.now_ns + TIMING.lease_ns


def test_vice_claims_after_the_grace_and_not_before() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    heard_ns = cluster.monitors["n2"].vice.grace.since_ns
    while cluster.record.term == 1 and cluster.now_ns < heard_ns + 2 * TIMING.grace_ns:
        cluster.run(5, "n2", "n3")
    assert heard_ns + TIMING.grace_ns <= cluster.now_ns <= heard_ns + TIMING.grace_ns + 5 * MS
    assert cluster.record.master == N2
    assert cluster.took("n2", m.Became)[-1].how == "failover"


def test_obituary_lets_the_vice_claim_at_once() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    assert cluster.record.master == N2


@pytest.mark.parametrize("member", [Member("n1", "f" * 32), N3], ids=["older incarnation", "another node"])
def test_obituary_of_anybody_else_lets_nobody_claim(member: Member) -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=member, message=Obituary(member)))
    assert cluster.record.master == N1


def test_nobody_speaks_for_another_in_an_obituary() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N3, message=Obituary(N1)))
    assert cluster.record.master == N1


def test_seal_stands_before_the_claim() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    effects = cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    kinds = [type(e) for e in effects]
    assert kinds.index(m.Seal) < kinds.index(m.SwapRecord)


def test_a_sealed_vice_answers_no_beat_until_its_claim_is_settled() -> None:
    cluster = Cluster(N1, N2, N3)
    record = cluster.formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNCERTAIN
    cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    for _ in range(3):
        beat = Beat(record.term, cluster.revision, cluster.now_ns)
        effects = cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=beat))
        assert not [e for e in effects if isinstance(e, m.Send)]
        read = m.Learned(
            now_ns=cluster.now_ns, revision=cluster.revision, record=record, asked_ns=cluster.now_ns
        )
        cluster.give("n2", read)  # the expected revision settles nothing
    assert cluster.monitors["n2"].vice.sealed


def test_an_uncertain_swap_is_repeated_unchanged_until_it_is_settled() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNCERTAIN
    cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    cluster.run(200, "n2")
    tries = cluster.took("n2", m.SwapRecord)
    assert len(tries) >= 3
    assert len({(t.expect, t.record.term, t.record.cause) for t in tries}) == 1
    assert len({t.token for t in tries}) == len(tries)
    cluster.ledger_says = lambda swap: None
    cluster.run(60, "n2")
    assert cluster.record.master == N2


def test_conflict_with_its_own_first_try_is_no_defeat() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    answers = iter([m.SwapAnswer.UNCERTAIN])

    def written_but_uncertain(swap: m.SwapRecord) -> m.SwapAnswer | None:
        said = next(answers, None)
        if said is not None:
            cluster.write(swap)
        return said

    cluster.ledger_says = written_but_uncertain
    cluster.cut = {("n2", "n1")}
    cluster.run(TIMING.lease_ms + 200, "n1")  # the vice is silent: n1 drops it
    assert not cluster.record.is_vice(N2)
    assert cluster.monitors["n1"].role == "master"
    assert cluster.until_ns("n1") == FOREVER_NS


def test_master_is_silent_while_the_drop_of_a_ready_vice_is_unsettled() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNCERTAIN
    cluster.cut = {("n2", "n1")}
    cluster.run(TIMING.lease_ms + 20, "n1")
    assert cluster.until_ns("n1") == 0
    cluster.cut = set()
    cluster.deliver("n2", "n1", _echo(cluster))
    assert cluster.until_ns("n1") == 0


def _echo(cluster: Cluster) -> Echo:
    record = cluster.monitors["n2"].record
    return Echo(record.term, cluster.revision, cluster.now_ns, True, False, True, record.appointment)


def test_unavailable_ledger_changes_nothing_while_both_hear_each_other() -> None:
    cluster = Cluster(N1, N2, N3)
    record = cluster.formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNAVAILABLE
    cluster.readable = False
    cluster.run(10_000)
    assert cluster.record == record
    assert cluster.until_ns("n1") > cluster.now_ns
    assert not cluster.took("n2", m.Seal)


def test_a_blip_during_a_ledger_outage_is_forgiven() -> None:
    cluster = Cluster(N1, N2, N3)
    record = cluster.formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNAVAILABLE
    cluster.readable = False
    cluster.cut = {("n1", "n2"), ("n2", "n1")}
    cluster.run(1_000)
    assert cluster.until_ns("n1") < cluster.now_ns  # silent: the lease lapsed
    cluster.cut = set()
    cluster.run(200)
    assert cluster.record == record
    assert cluster.until_ns("n1") > cluster.now_ns


def test_a_vice_that_cannot_reach_the_ledger_neither_seals_nor_claims() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.readable = False
    cluster.cut = {("n2", "n1"), ("n2", "n3")}
    cluster.run(3 * TIMING.grace_ms, "n2")
    assert not cluster.took("n2", m.Seal)
    assert len(cluster.took("n2", m.SwapRecord)) == 0


def test_hand_over_exchanges_the_roles_and_both_are_ready() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.give("n1", m.HandOver(now_ns=cluster.now_ns, term=1, in_step=True, cause="test"))
    assert (cluster.record.term, cluster.record.master, cluster.record.ready_vice) == (2, N2, N1)
    cluster.run(100)
    assert cluster.took("n2", m.Became)[-1].clean
    assert cluster.until_ns("n2") > cluster.now_ns
    assert cluster.until_ns("n1") == 0
    assert m.Closed(Purpose.HANDOVER, Outcome.DONE) in cluster.effects["n1"]


def test_an_unsettled_hand_over_keeps_the_switching_master_silent() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNCERTAIN
    cluster.give("n1", m.HandOver(now_ns=cluster.now_ns, term=1, in_step=True, cause="test"))
    cluster.run(1_000)
    assert cluster.until_ns("n1") == 0
    _, late = cluster.held_swaps[0]
    cluster.ledger_says = lambda swap: None
    assert cluster.write(late)
    cluster.run(200)
    assert cluster.monitors["n1"].role == "vice"
    assert cluster.monitors["n2"].role == "master"


def test_a_deposed_master_learns_it_from_an_announcement() -> None:
    cluster = Cluster(N1, N2, N3)
    record = cluster.formed()
    newer = Mastership(2, N2, None, record.appointment + 1, "claimed", N2)
    message = Announce(cluster.revision + 1, newer, False, 1)
    effects = cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=N2, message=message))
    assert m.Grant(1, 0) in effects
    assert next(e for e in effects if isinstance(e, m.Became)).how == "deposed"


def test_stale_news_is_no_news() -> None:
    cluster = Cluster(N1, N2, N3)
    record = cluster.formed()
    older = Mastership(1, N3, Vice("n2", N2.incarnation, True), 1, "old", N3)
    cluster.give("n1", m.Learned(now_ns=cluster.now_ns, revision=1, record=older))
    assert cluster.monitors["n1"].record == record


def test_a_new_incarnation_has_no_rights() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    reborn = cluster.join(Member("n1", "a" * 32))
    cluster.give("n1", m.Tick(now_ns=cluster.now_ns))
    assert reborn.role == "member"
    assert cluster.until_ns("n1") == 0


def test_monitor_never_raises_on_answers_to_forgotten_questions() -> None:
    monitor = Monitor(N1, "c", TIMING, NODES, 0)
    for event in (
        m.Swapped(now_ns=1, token=99, answer=m.SwapAnswer.DONE, revision=5),
        m.ReadFailed(now_ns=2),
        m.Joined(now_ns=3, term=4, appointment=4),
        m.Serving(now_ns=4, term=9),
        m.Stalled(now_ns=5, term=9, appointment=1, service="s"),
        m.HandOver(now_ns=6, term=1, in_step=True, cause=""),
        m.Renew(now_ns=7, term=1, cause=""),
        m.StopCluster(now_ns=8, positions={}),
        m.Leaving(now_ns=9, member=N2),
        m.Gap(now_ns=10),
    ):
        monitor.step(event)


def test_a_hand_over_out_of_step_leaves_the_new_master_alone_and_free_to_appoint() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.give("n1", m.HandOver(now_ns=cluster.now_ns, term=1, in_step=False, cause="test"))
    assert (cluster.record.term, cluster.record.master, cluster.record.vice) == (2, N2, None)
    cluster.run(60)
    assert cluster.until_ns("n2") == FOREVER_NS
    cluster.serve("n2")
    cluster.run(600)
    assert cluster.record.vice is not None


def test_a_master_without_any_link_leaves_its_place_to_the_vice_though_it_reaches_the_ledger() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    cluster.cut = {(a, b) for a in ("n1", "n2", "n3") for b in ("n1", "n2", "n3") if "n1" in (a, b)}
    cluster.give("n1", m.Linked(now_ns=cluster.now_ns, up=False))
    lapses_ns = cluster.until_ns("n1")
    while cluster.record.term == 1:
        cluster.run(5)
        assert cluster.record.ready_vice in (N2, None)
        assert cluster.now_ns < lapses_ns + TIMING.grace_ns
    assert cluster.now_ns > lapses_ns
    assert cluster.record.master == N2


def test_a_master_with_links_again_drops_a_vice_that_has_not_claimed() -> None:
    cluster = Cluster(N1, N2, nodes=NODES[:2])
    cluster.formed()
    cluster.give("n1", m.Linked(now_ns=cluster.now_ns, up=False))
    del cluster.monitors["n2"]
    cluster.run(2 * TIMING.grace_ms)
    assert cluster.record.ready_vice == N2
    cluster.give("n1", m.Linked(now_ns=cluster.now_ns, up=True))
    assert cluster.record.vice is None
    assert cluster.record.master == N1


def test_a_recorded_master_whose_journal_was_set_aside_forms_nothing() -> None:
    record = Mastership(4, Member("n1", "f" * 32), None, 9, "x", Member("n1", "f" * 32))
    cluster = Cluster(N1, N2, N3)
    cluster.revision, cluster.record = 7, record
    cluster.give(
        "n1", m.Health(now_ns=cluster.now_ns, able=False, healthy=True, appointment=0, complete=False)
    )
    cluster.run(3 * TIMING.formation_ms)
    assert cluster.record == record
    cluster.give(
        "n1",
        m.Health(now_ns=cluster.now_ns, able=False, healthy=True, appointment=0, positions={"s": (4, 2)}),
    )
    cluster.run(3 * TIMING.formation_ms)
    assert cluster.record.master == N1


def test_an_obituary_is_repeated_and_told_once() -> None:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    for _ in range(3):
        cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=N3, message=Obituary(N3)))
    told = [e.event for e in cluster.took("n1", m.Publish) if isinstance(e.event, ObituaryHeard)]
    assert [event.incarnation for event in told] == [N3.incarnation]


def test_who_is_no_node_of_the_table_is_not_heard() -> None:
    cluster = Cluster(N1, N2, N3)
    record = cluster.formed()
    stranger = Member("n9", "9" * 32)
    cluster.effects["n2"].clear()
    forged = Announce(cluster.revision + 9, Mastership(9, stranger, None, 9, "mine", stranger), True, 1)
    for message in (Beat(record.term, cluster.revision, cluster.now_ns), forged):
        cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=stranger, message=message))
    assert cluster.took("n2", m.Send) == []
    assert cluster.monitors["n2"].record == record
