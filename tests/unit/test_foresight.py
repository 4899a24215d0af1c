"""What would happen: the rules asked about what has not happened."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from primacy.machines import membership as m
from primacy.machines.foresight import FUNCTIONS, Question, Scene, lose, parse
from primacy.machines.formation import stranded
from primacy.machines.ids import MS, Member
from primacy.machines.messages import Obituary
from primacy.machines.records import Mastership, Vice
from primacy.machines.rulings import ViceCandidate
from tests.unit.cmm_tools import N1, N2, N3, TIMING, Cluster


def _candidate(node: str, **changed: object) -> ViceCandidate:
    return replace(ViceCandidate(node, node * 16, 0, True, True, "", True, False, False, 10 * MS), **changed)


def _record(vice: bool | None = True) -> Mastership:
    named = None if vice is None else Vice("n2", "n2" * 16, vice)
    return Mastership(4, Member("n1", "n1" * 16), named, 7, "n2 did not answer for a lease", N1)


def _scene(vice: bool | None = True, *others: ViceCandidate, **changed: object) -> Scene:
    scene = Scene(
        me=Member("n1", "n1" * 16),
        record=_record(vice),
        serving=True,
        own=_candidate("n1"),
        nodes=others or (_candidate("n2"), _candidate("n3")),
        lease_ns=250 * MS,
        grace_ns=300 * MS,
        silence_ns=1_800 * MS,
    )
    return replace(scene, **changed)


def test_losing_the_master_names_the_vice_and_the_next_vice() -> None:
    found = lose(_scene(), "n1")
    assert found.possible
    text = "\n".join(found.then)
    assert "n2 claims term 5 at once" in text
    assert "n2 claims after the grace of 300.0 ms" in text
    assert "n3 is appointed vice then" in text
    assert found.candidates["n2"] == []
    assert "only the ready vice (n2)" in found.candidates["n3"][0]
    assert "n1" not in found.candidates


@pytest.mark.parametrize("vice", [None, False])
def test_losing_a_master_without_a_ready_vice_strands_the_cluster(vice: bool | None) -> None:
    found = lose(_scene(vice), "n1")
    assert not found.possible
    assert found.reasons == [stranded(_record(vice))]
    assert set(found.candidates) == {"n2", "n3"}
    assert all("only the data of n1 is complete" in reasons[0] for reasons in found.candidates.values())


def test_with_availability_the_freshest_may_form_without_a_ready_vice() -> None:
    found = lose(_scene(None, availability=True), "n1")
    assert found.possible
    assert found.candidates == {"n2": [], "n3": []}


def test_losing_the_vice_tells_of_the_silence_and_who_is_next() -> None:
    found = lose(_scene(True, _candidate("n2"), _candidate("n3", available=False)), "n2")
    assert found.possible
    text = "\n".join(found.then)
    assert "n1 takes it out of the record at once" in text
    assert "n1 answers nobody after its lease of 250.0 ms" in text
    assert "nobody can be appointed vice then (n3: it is a spare" in text


def test_losing_another_node_changes_no_role() -> None:
    found = lose(_scene(), "n3")
    assert found.possible
    assert found.then == ["no role changes: n3 is neither master nor vice"]
    alone = lose(_scene(None), "n3")
    assert alone.then[1] == "n2 is appointed vice then"


def test_what_cannot_be_lost_is_told() -> None:
    assert "no node of this cluster" in lose(_scene(), "n9").reasons[0]
    assert "never had a master" in lose(_scene(record=None), "n1").reasons[0]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("lose n1", Question("lose", "n1")),
        ("  LOSE   master ", Question("lose", "master")),
        ("switchover", Question("switchover")),
        *((f"{function} n2", Question(function, "n2")) for function in FUNCTIONS),
    ],
)
def test_questions(text: str, question: Question) -> None:
    assert parse(text) == question


@pytest.mark.parametrize("text", ["", "   ", "lose", "promote", "explode n1", "lose n1 n2", "shutdown"])
def test_what_is_no_question_is_told_what_can_be_asked(text: str) -> None:
    found = parse(text)
    assert isinstance(found, str)
    assert 'ask "lose NODE"' in found


def test_the_master_that_dies_as_it_drops_a_living_vice_strands_it_and_it_is_said() -> None:
    """The known limit: the record names only the dead master, and says so in words; nobody claims."""
    cluster = Cluster(N1, N2, N3)
    cluster.formed()

    def written_and_dead(swap: m.SwapRecord) -> m.SwapAnswer | None:
        if swap.record.vice is None and swap.record.term == 1:
            assert cluster.write(swap)
            del cluster.monitors["n1"]
        return None

    cluster.ledger_says = written_and_dead
    cluster.cut = {("n2", "n1"), ("n1", "n2")}
    cluster.run(TIMING.lease_ms + 10, "n1")
    assert "n1" not in cluster.monitors
    assert (cluster.record.master, cluster.record.vice) == (N1, None)
    for node in ("n2", "n3"):
        cluster.give(node, m.Received(now_ns=cluster.now_ns, sender=N1, message=Obituary(N1)))
    cluster.run(5_000)
    assert cluster.record.master == N1
    for node in ("n2", "n3"):
        assert "only the data of n1 is complete" in cluster.monitors[node].member.waits_for
    text = stranded(cluster.monitors["n2"].record)
    assert "n1 as master of term 1 and no vice (n2 did not answer for a lease)" in text
    assert "nobody else may claim" in text
    assert "force" in text


@pytest.mark.parametrize("record", [None, _record(), replace(_record(None), stopped={"s": (1, 1)})])
def test_a_record_that_lets_others_claim_strands_nobody(record: Mastership | None) -> None:
    assert stranded(record) == ""
