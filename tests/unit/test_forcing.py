"""The monitor that is asked for force: it reads first, seals as a vice, and answers once."""

from __future__ import annotations

from typing import Any

from primacy.machines import forcing
from primacy.machines import membership as m
from primacy.machines.ids import FOREVER_NS, MS, Member
from primacy.machines.messages import Obituary
from primacy.machines.swap import Purpose
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster


def asked(cluster: Cluster, node: str, **fields: Any) -> m.ForceAnswered:
    """Ask a node for force; return its one answer."""
    before = len(cluster.took(node, m.ForceAnswered))
    record = cluster.monitors[node].record
    usual = {
        "recorded": record.master if record is not None else None,
        "assume_dead": "",
        "by": "ada",
        "reason": "",
    }
    cluster.give(node, m.Force(now_ns=cluster.now_ns, id=7, **usual | fields))
    cluster.run(TIMING.beat_ms)  # the record was read a moment ago: it is read again a beat later
    answers = cluster.took(node, m.ForceAnswered)[before:]
    assert [answer.id for answer in answers] == [7]
    return answers[0]


def lonely() -> Cluster:
    """n1 was master with the ready vice n2; both are gone for long, without a word. n3 is left."""
    cluster = Cluster(N1, N2, N3)
    cluster.formed()
    del cluster.monitors["n1"], cluster.monitors["n2"]
    cluster.run(TIMING.silence_ns / MS + 10)
    return cluster


def test_force_is_refused_while_a_master_is_heard() -> None:
    cluster = Cluster(N1, N2, N3)
    record = cluster.formed()
    answer = asked(cluster, "n3", assume_dead="n1")
    assert answer.kind == "refused"
    assert any("heard the master n1" in reason for reason in answer.reasons)
    assert cluster.record == record
    assert asked(cluster, "n1").reasons == ("n1 is master already",)


def test_the_operators_word_makes_a_master_and_stands_in_the_record() -> None:
    cluster = lonely()
    assert asked(cluster, "n3").kind == "refused"
    answer = asked(cluster, "n3", assume_dead="n1", reason="no power")
    assert (answer.kind, answer.term) == ("done", 2)
    assert cluster.record.master == N3
    assert cluster.record.cause == "forced by ada; declared n1 dead: no power"
    assert cluster.took("n3", m.Became)[-1].how == "force"
    assert cluster.until_ns("n3") == FOREVER_NS
    [event] = [e.event for e in cluster.took("n3", m.Publish) if type(e.event).__name__ == "MasterForced"]
    assert (event.proof, event.by, event.former) == ("word", "ada", "n1")
    assert event.may_lose == answer.may_lose


def test_an_obituary_needs_no_word() -> None:
    cluster = lonely()
    cluster.give("n3", m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    assert asked(cluster, "n3").kind == "done"


def test_a_node_that_is_in_the_table_no_more_cannot_be_master_by_force() -> None:
    cluster = lonely()
    cluster.give("n3", m.TableChanged(now_ns=cluster.now_ns, nodes=(m.NodeEntry("n1"), m.NodeEntry("n2"))))
    answer = asked(cluster, "n3", assume_dead="n1")  # nobody would hear it
    assert answer.kind == "refused"
    assert "n3 is not eligible, or a spare" in answer.reasons


def test_a_dry_run_gives_the_same_answer_and_changes_nothing() -> None:
    cluster = lonely()
    record = cluster.record
    answer = asked(cluster, "n3", assume_dead="n1", dry_run=True)
    assert (answer.kind, answer.reasons) == ("possible", ())
    assert cluster.record == record
    assert asked(cluster, "n3", dry_run=True).reasons == asked(cluster, "n3").reasons


def test_it_reads_the_record_first() -> None:
    cluster = lonely()
    reads = len(cluster.took("n3", m.Read))
    asked(cluster, "n3", assume_dead="n1")
    assert len(cluster.took("n3", m.Read)) > reads


def test_without_the_ledger_nobody_is_made_master() -> None:
    cluster = lonely()
    cluster.readable = False
    cluster.run(100)
    assert asked(cluster, "n3", assume_dead="n1").reasons == (forcing._NO_LEDGER,)
    cluster.readable = True
    cluster.run(100)
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNAVAILABLE
    assert asked(cluster, "n3", assume_dead="n1").reasons == (forcing._NO_LEDGER,)


def test_what_was_proven_of_another_master_proves_nothing() -> None:
    cluster = lonely()
    answer = asked(cluster, "n3", assume_dead="n1", recorded=Member("n1", "e" * 32))
    assert answer.reasons == (forcing._CHANGED,)


def test_a_second_request_is_refused_while_the_first_is_not_settled() -> None:
    cluster = lonely()
    cluster.ledger_says = lambda swap: m.SwapAnswer.UNCERTAIN
    first = m.Force(now_ns=cluster.now_ns, id=1, recorded=N1, assume_dead="n1", by="ada", reason="")
    cluster.give("n3", first)
    assert not cluster.took("n3", m.ForceAnswered)
    assert asked(cluster, "n3", assume_dead="n1").reasons == (forcing._UNDER_WAY,)
    cluster.ledger_says = lambda swap: None
    cluster.run(200)
    assert [a.kind for a in cluster.took("n3", m.ForceAnswered) if a.id == 1] == ["done"]


def test_another_change_that_came_first_is_told() -> None:
    cluster = lonely()

    def other_first(swap: m.SwapRecord) -> m.SwapAnswer | None:
        cluster.ledger_says = lambda swap: None
        cluster.revision += 1  # somebody wrote
        return None

    cluster.ledger_says = other_first
    cluster.give(
        "n3", m.Force(now_ns=cluster.now_ns, id=1, recorded=N1, assume_dead="n1", by="ada", reason="")
    )
    cluster.run(200)
    [answer] = cluster.took("n3", m.ForceAnswered)
    assert answer.kind == "refused"
    assert "came first" in answer.reasons[0]


def test_a_vice_that_is_not_ready_seals_itself_before_the_swap() -> None:
    cluster = Cluster(N1, N2)
    cluster.run(TIMING.formation_ms + 50)
    cluster.serve("n1")
    cluster.run(600)
    assert cluster.monitors["n2"].role == "vice"
    del cluster.monitors["n1"]
    cluster.run(TIMING.silence_ns / MS + 10)
    before = len(cluster.effects["n2"])
    assert asked(cluster, "n2", assume_dead="n1").kind == "done"
    kinds = [type(effect) for effect in cluster.effects["n2"][before:]]
    assert kinds.index(m.Seal) < kinds.index(m.SwapRecord)
    assert cluster.monitors["n2"].role == "master"


def test_a_returning_old_master_that_was_alone_reads_and_steps_down() -> None:
    cluster = Cluster(N1, N3)
    cluster.run(TIMING.formation_ms + 50)
    cluster.serve("n1")
    away = cluster.monitors.pop("n1")
    cluster.run(TIMING.silence_ns / MS + 10)
    assert asked(cluster, "n3", assume_dead="n1").kind == "done"
    cluster.cut = {("n1", "n3"), ("n3", "n1")}
    cluster.monitors["n1"] = away
    assert cluster.until_ns("n1") == FOREVER_NS
    cluster.run(TIMING.grace_ms + 20)
    assert cluster.until_ns("n1") == 0
    assert away.role == "member"


def test_the_purpose_has_a_name() -> None:
    assert Purpose.FORCE.value == "force"


def test_while_it_forms_the_cluster_by_itself_nothing_is_forced() -> None:
    """The obituary that lets it form came between the request and the reading that the request rests on."""
    cluster = lonely()
    cluster.run(2 * TIMING.formation_ms)
    monitor, now_ns = cluster.monitors.pop("n3"), cluster.now_ns
    monitor.step(m.Retimed(now_ns=now_ns, timing=TIMING, availability=True))
    request = m.Force(now_ns=now_ns, id=7, recorded=N1, assume_dead="n1", by="ada", reason="")
    assert any(isinstance(e, m.Read) for e in monitor.step(request))
    effects = monitor.step(m.Received(now_ns=now_ns, sender=N1, message=Obituary(N1)))
    assert any(isinstance(e, m.SwapRecord) for e in effects)
    read = m.Learned(now_ns=now_ns, revision=cluster.revision, record=cluster.record, asked_ns=now_ns)
    answers = [e for e in monitor.step(read) if isinstance(e, m.ForceAnswered)]
    assert [(a.id, a.kind, a.reasons) for a in answers] == [(7, "refused", (forcing._UNDER_WAY,))]


def test_a_reading_that_fails_after_the_swap_was_sent_is_no_answer() -> None:
    """The first try was written and its answer lost; the second finds that the record is another one by now."""
    cluster = lonely()

    def lost(swap: m.SwapRecord) -> m.SwapAnswer:
        cluster.ledger_says, cluster.readable = lambda swap: None, False
        cluster.write(swap)
        return m.SwapAnswer.UNCERTAIN

    cluster.ledger_says = lost
    request = m.Force(now_ns=cluster.now_ns, id=1, recorded=N1, assume_dead="n1", by="ada", reason="")
    cluster.give("n3", request)
    cluster.run(200)
    assert cluster.took("n3", m.ForceAnswered) == []
    cluster.readable = True
    cluster.run(200)
    [answer] = cluster.took("n3", m.ForceAnswered)
    assert (answer.kind, answer.term) == ("done", 2)
    assert cluster.monitors["n3"].role == "master"


def test_before_the_first_formation_nothing_is_forced() -> None:
    cluster = Cluster(N3)
    assert cluster.record is None
    [reason] = asked(cluster, "n3").reasons
    assert "the cluster forms by itself" in reason
