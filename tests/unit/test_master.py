"""What a master does: its gate under every swap, its vice's way to ready, its beats."""

from __future__ import annotations

import msgspec
import pytest

from primacy.machines import membership as m
from primacy.machines.ids import FOREVER_NS, MS, NEVER_NS, Member
from primacy.machines.master import MasterDuty
from primacy.machines.messages import Beat, Echo, Obituary
from primacy.machines.records import Mastership, Vice
from primacy.machines.swap import Outcome, Purpose, Swap
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster


def _formed() -> Cluster:
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    return cluster


def _record(vice: bool | None) -> Mastership:
    """vice: None = no vice, else whether it is ready."""
    named = None if vice is None else Vice("n2", N2.incarnation, vice)
    return Mastership(1, N1, named, 5, "test", N1)


def _swap(purpose: Purpose, vice: bool | None) -> Swap:
    return Swap(purpose, 7, _record(vice), token=99)


HELD = -1  # stands for the end of the lease
GATE = {  # (the record's vice, the open swap's purpose, its record's vice): until when may be answered
    (None, None, None): FOREVER_NS,
    (False, None, None): FOREVER_NS,
    (True, None, None): HELD,
    (None, Purpose.APPOINT, False): FOREVER_NS,
    (False, Purpose.READY, True): HELD,
    (False, Purpose.DROP, None): FOREVER_NS,
    (True, Purpose.DROP, None): NEVER_NS,
    (True, Purpose.HANDOVER, True): NEVER_NS,
    (None, Purpose.RENEW, None): NEVER_NS,
    (True, Purpose.RENEW, None): NEVER_NS,
    (None, Purpose.STOP, None): NEVER_NS,
    (True, Purpose.STOP, None): NEVER_NS,
}


@pytest.mark.parametrize(("vice", "purpose", "new"), GATE)
def test_the_gate_counts_the_record_and_the_swap(
    vice: bool | None, purpose: Purpose | None, new: bool | None
) -> None:
    monitor = _formed().monitors["n1"]
    monitor.record = _record(vice)
    monitor.swap = _swap(purpose, new) if purpose is not None else None
    assert isinstance(monitor.master, MasterDuty)
    expected = GATE[vice, purpose, new]
    assert monitor.master.valid_until_ns() == (
        monitor.master.lease.until_ns if expected == HELD else expected
    )


def test_after_the_orderly_stop_nothing_is_answered() -> None:
    cluster = _formed()
    cluster.give("n1", m.StopCluster(now_ns=cluster.now_ns, positions={"s": (1, 4)}))
    assert cluster.record.stopped == {"s": (1, 4)}
    assert cluster.until_ns("n1") == NEVER_NS
    cluster.run(5_000)
    assert cluster.record.term == 1
    assert cluster.until_ns("n1") == NEVER_NS


def _echo(cluster: Cluster, **changed: object) -> Echo:
    record = cluster.record
    fields = {
        "term": record.term, "revision": cluster.revision, "sent_ns": cluster.now_ns, "vice": True, "able": True,
        "healthy": True, "appointment": record.appointment,
    }  # fmt: skip
    return Echo(**(fields | changed))


@pytest.mark.parametrize(
    ("sender", "changed"),
    [
        (N3, {}),
        (Member("n2", "f" * 32), {}),
        (N2, {"vice": False}),
        (N2, {"term": 0}),
        (N2, {"term": 2}),
        (N2, {"appointment": 0}),
        (N2, {"sent_ns": 1 << 62}),
    ],
    ids=[
        "not the vice",
        "another life",
        "no promise",
        "older term",
        "newer term",
        "older appointment",
        "future",
    ],
)
def test_only_the_vices_promise_for_a_beat_that_was_sent_prolongs_the_lease(
    sender: Member, changed: dict[str, object]
) -> None:
    cluster = _formed()
    cluster.cut = {("n2", "n1")}
    cluster.run(50, "n1")
    before_ns = cluster.until_ns("n1")
    message = _echo(cluster, **changed)
    cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=sender, message=message))
    assert cluster.until_ns("n1") == before_ns
    cluster.give("n1", m.Received(now_ns=cluster.now_ns, sender=N2, message=_echo(cluster)))
    assert cluster.until_ns("n1") == cluster.now_ns + TIMING.lease_ns


def _appointed() -> Cluster:
    """n2 is appointed and echoes; it has not joined."""
    cluster = Cluster(N1, N2, N3)
    cluster.run(20)
    cluster.serve("n1")
    cluster.run(600)
    assert cluster.record.vice is not None
    assert not cluster.record.vice.ready
    return cluster


@pytest.mark.parametrize("shift", [-1, 1])
def test_joining_in_another_appointment_makes_nobody_ready(shift: int) -> None:
    cluster = _appointed()
    joined = m.Joined(now_ns=cluster.now_ns, term=1, appointment=cluster.record.appointment + shift)
    cluster.give("n1", joined)
    cluster.run(100)
    assert not cluster.record.vice.ready


def test_ready_is_sent_only_while_the_lease_is_held() -> None:
    cluster = _appointed()
    cluster.cut = {("n1", "n2"), ("n2", "n1")}
    cluster.run(TIMING.lease_ms - 10, "n2", "n3")
    cluster.give("n1", m.Gap(now_ns=cluster.now_ns))  # n1 judges nobody, and holds no lease
    cluster.now_ns += 20 * MS
    cluster.join_mirrors("n1")
    assert not cluster.took("n1", m.ViceReady)
    cluster.cut = set()
    cluster.run(100)
    assert cluster.record.ready_vice == N2 or not cluster.record.is_vice(N2)


@pytest.mark.parametrize("why", ["unhealthy", "stalled", "leaving", "dead", "no node of the table"])
def test_a_vice_that_beats_is_dropped_for_a_reason_that_is_told(why: str) -> None:
    cluster = _formed()
    now_ns, appointment = cluster.now_ns, cluster.record.appointment
    match why:
        case "unhealthy":
            sick = m.Health(now_ns=now_ns, able=False, healthy=False, appointment=appointment)
            cluster.give("n2", sick)
            cluster.run(60)
        case "stalled":
            cluster.give("n1", m.Stalled(now_ns=now_ns, term=1, appointment=appointment, service="stock"))
        case "leaving":
            cluster.give("n1", m.Leaving(now_ns=now_ns, member=N2))
        case "dead":
            cluster.give("n1", m.Received(now_ns=now_ns, sender=N2, message=Obituary(N2)))
        case _:
            nodes = (m.NodeEntry("n1"), m.NodeEntry("n3"))
            cluster.give("n1", m.TableChanged(now_ns=now_ns, nodes=nodes))
    assert cluster.record.vice is None or cluster.record.vice.node != "n2"
    assert cluster.record.master == N1
    dropped = [e for e in cluster.took("n1", m.Publish) if type(e.event).__name__ == "ViceDropped"]
    assert dropped[-1].event.cause


@pytest.mark.parametrize(
    "event",
    [
        m.Stalled(now_ns=0, term=1, appointment=0, service="stock"),
        m.Stalled(now_ns=0, term=9, appointment=1, service="stock"),
        m.Leaving(now_ns=0, member=Member("n2", "f" * 32)),
        m.Leaving(now_ns=0, member=Member("n9", "f" * 32)),
    ],
)
def test_words_of_another_appointment_or_life_drop_nobody(event: m.Input) -> None:
    cluster = _formed()
    fields = {f: getattr(event, f) for f in event.__struct_fields__} | {"now_ns": cluster.now_ns}
    cluster.give("n1", type(event)(**fields))
    cluster.run(100)
    assert cluster.record.ready_vice == N2


@pytest.mark.parametrize(
    "event",
    [
        m.HandOver(now_ns=0, term=9, in_step=True, cause="x"),
        m.Renew(now_ns=0, term=9, cause="x"),
    ],
)
def test_a_request_of_another_term_is_answered_and_changes_nothing(event: m.HandOver | m.Renew) -> None:
    cluster = _formed()
    before = cluster.record
    fields = {f: getattr(event, f) for f in event.__struct_fields__} | {"now_ns": cluster.now_ns}
    effects = cluster.give("n1", type(event)(**fields))
    closed = [e for e in effects if isinstance(e, m.Closed)]
    assert [c.outcome for c in closed] == [Outcome.NOT_WRITTEN]
    assert cluster.record == before


@pytest.mark.parametrize("what", ["hand over", "renew", "stop"])
def test_one_change_of_the_record_at_a_time(what: str) -> None:
    cluster = _formed()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNCERTAIN
    cluster.give("n1", m.Leaving(now_ns=cluster.now_ns, member=N2))
    now_ns = cluster.now_ns
    event: m.Input = {
        "hand over": m.HandOver(now_ns=now_ns, term=1, in_step=True, cause="x"),
        "renew": m.Renew(now_ns=now_ns, term=1, cause="x"),
        "stop": m.StopCluster(now_ns=now_ns, positions={}),
    }[what]
    effects = cluster.give("n1", event)
    assert [e.outcome for e in effects if isinstance(e, m.Closed)] == [Outcome.NOT_WRITTEN]
    assert cluster.monitors["n1"].swap.purpose is Purpose.DROP


def test_the_vice_is_beaten_often_and_the_others_seldom() -> None:
    cluster = _formed()
    cluster.effects["n1"].clear()
    cluster.run(2_000)
    beats = [e.node for e in cluster.took("n1", m.Send) if isinstance(e.message, Beat)]
    assert beats.count("n2") == pytest.approx(2_000 / TIMING.beat_ms, abs=3)
    assert beats.count("n3") == pytest.approx(2_000 / TIMING.member_ms, abs=1)


def test_a_dropped_vice_is_not_appointed_again_at_once() -> None:
    cluster = Cluster(N1, N2, nodes=(m.NodeEntry("n1"), m.NodeEntry("n2")))
    cluster.formed()
    stalled = m.Stalled(now_ns=cluster.now_ns, term=1, appointment=cluster.record.appointment, service="s")
    cluster.give("n1", stalled)
    dropped_ns = cluster.now_ns
    assert cluster.record.vice is None
    while cluster.record.vice is None:
        cluster.run(5)
    assert cluster.now_ns - dropped_ns >= TIMING.member_ns - 5 * MS


def test_a_vice_that_somebody_has_made_unready_by_hand_is_made_ready_again() -> None:
    """It has joined every mirror already, so nothing is told of it in between."""
    cluster = _formed()
    by_hand = msgspec.structs.replace(cluster.record, vice=Vice("n2", N2.incarnation, False))
    cluster.revision, cluster.record = cluster.revision + 1, by_hand
    learned = m.Learned(now_ns=cluster.now_ns, revision=cluster.revision, record=by_hand, asked_ns=None)
    effects = cluster.give("n1", learned)
    assert not [e for e in effects if isinstance(e, m.ViceReady | m.Alone | m.Appointed)]
    assert cluster.record.ready_vice == N2
    assert [type(e) for e in cluster.took("n1", m.ViceReady)] == 2 * [m.ViceReady]


def test_who_reads_by_an_echo_has_the_vice_beaten_to_at_once() -> None:
    cluster = _formed()
    cluster.effects["n1"].clear()
    cluster.now_ns += MS
    cluster.give("n1", m.EchoWanted(now_ns=cluster.now_ns))
    [beat] = [e for e in cluster.took("n1", m.Send) if isinstance(e.message, Beat)]
    assert (beat.node, beat.message.sent_ns) == ("n2", cluster.now_ns)
