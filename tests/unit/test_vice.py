"""What a vice does: promises, doubts, seals, claims."""

from __future__ import annotations

from itertools import permutations

import pytest

from primacy.machines import membership as m
from primacy.machines.ids import MS
from primacy.machines.messages import Beat, Echo, Obituary
from primacy.machines.records import Mastership, Vice
from primacy.machines.swap import Outcome, Purpose
from primacy.machines.timing import PROFILES, between
from primacy.machines.vice import ViceDuty
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster


def _formed(ready: bool = True) -> Cluster:
    cluster = Cluster(N1, N2, N3)
    if ready:
        cluster.formed()
    else:
        cluster.run(20)
        cluster.serve("n1")
        cluster.run(600)
    assert cluster.record.is_vice(N2)
    assert isinstance(cluster.monitors["n2"].vice, ViceDuty)
    return cluster


def _beat(cluster: Cluster) -> Beat:
    return Beat(cluster.record.term, cluster.revision, cluster.now_ns)


def _echoes(effects: list[m.Effect]) -> list[Echo]:
    return [e.message for e in effects if isinstance(e, m.Send) and isinstance(e.message, Echo)]


def _silence(cluster: Cluster, ms: float) -> None:
    """n2 hears nothing more of the master for so long."""
    cluster.cut |= {("n1", "n2")}
    cluster.run(ms, "n2")


def test_an_echo_of_the_vice_is_a_promise_and_restarts_the_grace() -> None:
    cluster = _formed()
    cluster.now_ns += 40 * MS
    beat = _beat(cluster)
    effects = cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=beat))
    assert [(e.vice, e.sent_ns) for e in _echoes(effects)] == [(True, beat.sent_ns)]
    assert cluster.monitors["n2"].vice.grace.since_ns == cluster.now_ns


@pytest.mark.parametrize(
    ("sender", "term", "revision"),
    [(N3, 0, 0), (N1, -1, 0), (N1, 1, 1), (N1, 0, 1)],
    ids=["not the master", "older term", "newer term", "newer revision"],
)
def test_any_other_beat_is_no_reason_to_promise(sender: object, term: int, revision: int) -> None:
    cluster = _formed()
    since_ns = cluster.monitors["n2"].vice.grace.since_ns
    cluster.now_ns += 40 * MS
    beat = Beat(cluster.record.term + term, cluster.revision + revision, cluster.now_ns)
    effects = cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=sender, message=beat))
    assert not [e for e in _echoes(effects) if e.vice]
    assert cluster.monitors["n2"].vice.grace.since_ns == since_ns


def test_the_record_is_read_as_soon_as_a_lease_has_passed() -> None:
    cluster = _formed()
    cluster.effects["n2"].clear()
    _silence(cluster, TIMING.lease_ms - 20)
    assert not cluster.took("n2", m.Read)
    cluster.run(40, "n2")
    assert cluster.took("n2", m.Read)
    assert not cluster.took("n2", m.Seal)


@pytest.mark.parametrize("ready", [False, True])
def test_only_a_ready_vice_claims(ready: bool) -> None:
    cluster = _formed(ready)
    _silence(cluster, TIMING.grace_ms + 20)
    assert (cluster.record.master == N2) is ready
    assert bool(cluster.took("n2", m.Seal)) is ready


@pytest.mark.parametrize("ready", [False, True])
def test_after_the_masters_obituary_only_a_ready_vice_claims(ready: bool) -> None:
    cluster = _formed(ready)
    cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    assert (cluster.record.master == N2) is ready


def _refuses(cluster: Cluster) -> None:
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNAVAILABLE


def test_a_claim_that_is_surely_not_written_ends_the_seal_and_is_tried_again_a_beat_later() -> None:
    cluster = _formed()
    _refuses(cluster)
    _silence(cluster, TIMING.grace_ms + 1_000)
    effects = [
        e for e in cluster.effects["n2"] if isinstance(e, m.Seal | m.SwapRecord | m.Acknowledge | m.Closed)
    ]
    claims = [i for i, e in enumerate(effects) if isinstance(e, m.SwapRecord)]
    for at in claims:
        assert isinstance(effects[at - 1], m.Seal)
        assert effects[at + 1 : at + 3] == [m.Acknowledge(1), m.Closed(Purpose.CLAIM, Outcome.NOT_WRITTEN)]
    assert len(claims) == pytest.approx(1_000 / TIMING.beat_ms, abs=3)
    assert cluster.record.master == N1


def test_after_a_claim_that_was_not_written_the_next_beat_begins_the_grace_anew() -> None:
    cluster = _formed()
    _refuses(cluster)
    _silence(cluster, TIMING.grace_ms + 20)
    effects = cluster.give("n2", m.Received(now_ns=cluster.now_ns, sender=N1, message=_beat(cluster)))
    assert [e.vice for e in _echoes(effects)] == [True]
    assert cluster.monitors["n2"].vice.grace.since_ns == cluster.now_ns


def test_a_claim_that_lost_against_a_change_of_the_master_is_over() -> None:
    cluster = _formed()
    newer = type(cluster.record)(1, N1, None, 9, "dropped", N1)
    _silence(cluster, TIMING.grace_ms - 10)
    cluster.revision, cluster.record = cluster.revision + 1, newer
    cluster.run(50, "n2")
    assert m.Closed(Purpose.CLAIM, Outcome.LOST) in cluster.effects["n2"]
    assert cluster.monitors["n2"].role == "member"
    assert not cluster.monitors["n2"].vice.sealed
    assert cluster.record == newer


def test_nobody_is_judged_within_a_beat_after_a_gap_of_ones_own() -> None:
    cluster = _formed()
    cluster.cut = {("n1", "n2"), ("n2", "n1"), ("n2", "n3")}
    cluster.now_ns += 10 * TIMING.grace_ns  # n2 did not run
    cluster.give("n2", m.Gap(now_ns=cluster.now_ns))
    cluster.run(TIMING.beat_ms - 10, "n2")
    assert not cluster.took("n2", m.Seal)
    cluster.run(30, "n2")
    assert cluster.record.master == N2


def test_becoming_vice_restarts_the_grace() -> None:
    cluster = _formed()
    became_ns = cluster.now_ns
    cluster.give("n2", m.Leaving(now_ns=cluster.now_ns, member=N2))
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N2))
    cluster.run(100)
    assert cluster.record.is_vice(N3)
    assert cluster.monitors["n3"].vice.grace.since_ns >= became_ns
    assert m.Seal(1) in cluster.effects["n2"]
    assert m.Acknowledge(1) in cluster.effects["n3"]


@pytest.mark.parametrize("healthy", [True, False])
def test_an_echo_tells_whether_its_servers_mirror_in_this_appointment(healthy: bool) -> None:
    cluster = _formed()
    for appointment, expected in [(cluster.record.appointment, healthy), (0, True)]:
        health = m.Health(now_ns=cluster.now_ns, able=False, healthy=healthy, appointment=appointment)
        cluster.give("n2", health)
        effects = cluster.monitors["n2"].step(
            m.Received(now_ns=cluster.now_ns, sender=N1, message=_beat(cluster))
        )
        assert [e.healthy for e in _echoes(effects)] == [expected]


def test_nothing_is_promised_to_a_master_that_would_trust_it_for_longer_than_the_grace() -> None:
    cluster = _formed()
    before_ns = cluster.monitors["n2"].vice.grace.since_ns
    cluster.now_ns += 40 * MS
    long = Beat(cluster.record.term, cluster.revision, cluster.now_ns, PROFILES["wan"].lease_ns)
    for node, echoes in (("n2", []), ("n3", [False])):
        effects = cluster.monitors[node].step(m.Received(now_ns=cluster.now_ns, sender=N1, message=long))
        assert [e.able for e in _echoes(effects)] == echoes, (
            "a member with such a grace is not appointed either"
        )
    assert cluster.monitors["n2"].vice.grace.since_ns == before_ns


_STEPS = [("n1", 1), ("n2", 1), ("n1", 2), ("n2", 2)]


@pytest.mark.parametrize("order", [p for p in permutations(_STEPS) if max(map(p.index, _STEPS[:2])) < 2])
@pytest.mark.parametrize(("old", "new"), list(permutations(PROFILES, 2)))
@pytest.mark.parametrize("cut_after", range(5))
def test_the_times_change_and_the_lease_still_ends_before_the_grace(
    order: tuple[tuple[str, int], ...], old: str, new: str, cut_after: int
) -> None:
    """Whatever the order in which master and vice take the two steps, and wherever in it they lose each other."""
    cluster = _formed()
    middle = between(PROFILES[old], PROFILES[new])
    times = [middle, PROFILES[new]]
    for node in ("n1", "n2"):
        cluster.give(node, m.Retimed(now_ns=cluster.now_ns, timing=between(TIMING, PROFILES[old])))
    for node in ("n1", "n2"):
        cluster.give(node, m.Retimed(now_ns=cluster.now_ns, timing=PROFILES[old]))
    cluster.run(PROFILES[old].beat_ms + 20)
    for node, step in order[:cut_after]:
        cluster.give(node, m.Retimed(now_ns=cluster.now_ns, timing=times[step - 1]))
        cluster.run(15)
    assert cluster.record.ready_vice == N2
    cluster.cut |= {("n1", "n2"), ("n2", "n1")}
    cluster.ledger_says = lambda swap: m.SwapAnswer.CONFLICT if swap.record.by == N1 else None
    end_ns = cluster.now_ns + 2 * PROFILES["wan"].grace_ns
    while not cluster.took("n2", m.Seal) and cluster.now_ns < end_ns:
        cluster.run(5, "n2")
    assert cluster.took("n2", m.Seal), "the vice never claimed"
    assert cluster.until_ns("n1") <= cluster.now_ns


@pytest.mark.parametrize("learn", [("n1", "n2"), ("n2",), ("n1",)])
@pytest.mark.parametrize(("old", "new"), list(permutations(PROFILES, 2)))
def test_times_that_come_when_beats_have_been_lost_already_count_from_the_last_one(
    old: str, new: str, learn: tuple[str, ...]
) -> None:
    """The two lose each other, and both or one of them take both steps a moment later."""
    cluster = _formed()
    for times in (between(TIMING, PROFILES[old]), PROFILES[old]):
        for node in ("n1", "n2"):
            cluster.give(node, m.Retimed(now_ns=cluster.now_ns, timing=times))
    cluster.run(PROFILES[old].beat_ms + 20)
    cluster.cut |= {("n1", "n2"), ("n2", "n1")}
    cluster.ledger_says = lambda swap: m.SwapAnswer.CONFLICT if swap.record.by == N1 else None
    cluster.run(min(15, PROFILES[old].lease_ms / 2))
    for times in (between(PROFILES[old], PROFILES[new]), PROFILES[new]):
        for node in learn:
            cluster.give(node, m.Retimed(now_ns=cluster.now_ns, timing=times))
    end_ns = cluster.now_ns + 2 * PROFILES["wan"].grace_ns
    while not cluster.took("n2", m.Seal) and cluster.now_ns < end_ns:
        cluster.run(1, "n2")
    assert cluster.took("n2", m.Seal), "the vice never claimed"
    assert cluster.until_ns("n1") <= cluster.now_ns


def test_another_appointment_of_a_vice_that_has_not_heard_that_it_was_dropped_begins_anew() -> None:
    cluster = _formed()
    first = cluster.record
    cluster.effects["n2"].clear()
    cluster.now_ns += 40 * MS
    again = Mastership(1, N1, Vice("n2", N2.incarnation, False), first.appointment + 1, "again", N1)
    learned = m.Learned(now_ns=cluster.now_ns, revision=cluster.revision + 2, record=again, asked_ns=None)
    effects = cluster.give("n2", learned)
    kinds = [type(e) for e in effects if isinstance(e, m.Seal | m.Became | m.Acknowledge)]
    assert kinds == [m.Seal, m.Became, m.Acknowledge]
    assert cluster.monitors["n2"].vice.grace.since_ns == cluster.now_ns
