"""What is judged of all recorded nodes together: each clause by a story that breaks it, and by one that does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from primacy.machines import coordination as c
from primacy.machines import membership as m
from primacy.machines import messages
from primacy.machines.ids import FOREVER_NS, MS, Member
from primacy.machines.records import OPERATION, Mastership, Operation, Operations, Vice, encode
from primacy.sim.trace_checks import findings, unchecked
from primacy.sim.trace_facts import Facts
from tests.unit.trace_tools import N1, N2, N3, step

READY = Vice(N2.node, N2.incarnation, True)


def _record(term: int, master: Member, vice: Vice | None = None, **changed: Any) -> Mastership:
    return msgspec.structs.replace(Mastership(term, master, vice, 1, "a test", master), **changed)


class Story:
    """What some lives did, told in order."""

    def __init__(self, *members: Member, clocks: tuple[str, ...] = (), availability: bool = False) -> None:
        self.facts = Facts()
        for number, member in enumerate(members or (N1, N2, N3)):
            clock = clocks[number] if clocks else "one"
            self.facts.begins(member, clock, 0, False, availability)

    def step(self, member: Member, item: Any, *effects: Any) -> None:
        """One step of a life."""
        self.facts.saw(step(member, item, *effects))

    def tick(self, member: Member, at_ms: int, *effects: Any) -> None:
        """Time has passed at a life's monitor."""
        self.step(member, m.Tick(now_ns=at_ms * MS), *effects)

    def write(self, member: Member, expect: int, revision: int, record: Mastership, *more: Any) -> None:
        """A life swaps the record, and adopts it."""
        self.tick(member, 1, m.SwapRecord(expect, record, revision))
        done = m.Swapped(now_ns=MS, token=revision, answer=m.SwapAnswer.DONE, revision=revision)
        self.step(member, done, m.Adopted(revision, record), *more)

    @property
    def broken(self) -> set[str]:
        """The clauses that are broken."""
        return {finding.clause for finding in findings(self.facts)}


def _formed(**options: Any) -> Story:
    story = Story(**options)
    story.write(N1, 0, 1, _record(1, N1))
    story.write(N1, 1, 2, _record(1, N1, READY))
    return story


def test_a_claim_after_the_lease_breaks_nothing() -> None:
    story = _formed()
    story.tick(N1, 10, m.Grant(1, 260 * MS))
    story.write(N2, 2, 3, _record(2, N2))
    story.tick(N2, 310, m.Grant(2, FOREVER_NS))
    assert story.broken == set()
    assert unchecked(story.facts) == []


def test_two_who_might_answer_at_one_time_are_found() -> None:
    story = _formed()
    story.tick(N1, 10, m.Grant(1, 260 * MS))
    story.write(N2, 2, 3, _record(2, N2))
    story.tick(N2, 250, m.Grant(2, FOREVER_NS))
    [found] = findings(story.facts)
    assert found.clause == "S1"
    assert f"{N1} in term 1 for 10.000 ms more" in found.text


def test_a_right_ends_with_its_revocation_an_obituary_or_the_next_life() -> None:
    story = _formed()
    story.tick(N1, 10, m.Grant(1, 260 * MS))
    story.tick(N1, 20, m.Grant(1, 0))
    story.write(N2, 2, 3, _record(2, N2))
    story.tick(N2, 30, m.Grant(2, FOREVER_NS))
    assert story.broken == set()
    story.write(N3, 3, 4, _record(3, N3, by=N3, stopped=None))
    story.step(N3, m.Received(now_ns=40 * MS, sender=N2, message=messages.Obituary(N2)))
    story.tick(N3, 41, m.Grant(3, FOREVER_NS))
    assert "S1" not in story.broken
    story.facts.begins(Member("n3", "another life"), "one", 50 * MS, False, False)
    story.write(N1, 4, 5, _record(4, N1))
    story.tick(N1, 60, m.Grant(4, FOREVER_NS))
    assert "S1" not in story.broken


def test_readings_of_two_clocks_are_not_compared() -> None:
    story = _formed(clocks=("one", "another", "one"))
    story.tick(N1, 10, m.Grant(1, 260 * MS))
    story.write(N2, 2, 3, _record(2, N2))
    story.tick(N2, 20, m.Grant(2, FOREVER_NS))
    assert story.broken == set()
    assert any("their clocks are not the same" in each for each in unchecked(story.facts))


def test_two_masters_of_a_term_and_two_records_of_a_revision_are_found() -> None:
    story = _formed()
    story.step(N2, m.Learned(now_ns=5, revision=2, record=_record(1, N2)))
    told = [str(finding) for finding in findings(story.facts)]
    assert any("revision 2 is two records" in each for each in told)
    assert any("term 1 has two masters" in each for each in told)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (_record(2, N3), "a formation by a node that was not in step"),
        (_record(3, N2), "a term was left out"),
        (_record(1, N2, by=N2), "only the master changes the record"),
        (_record(2, N3, by=N1), "handed over to a node that is not the ready vice"),
        (_record(2, N2, by=N3), "written by neither master"),
    ],
)
def test_changes_of_the_record_that_nobody_may_make_are_found(record: Mastership, why: str) -> None:
    story = _formed()
    story.write(record.master, 2, 3, record)
    assert any(f.clause == "S6" and why in f.text for f in findings(story.facts))


def test_a_claim_of_a_vice_that_is_not_ready_is_found() -> None:
    story = Story()
    story.write(N1, 0, 1, _record(1, N1, Vice(N2.node, N2.incarnation, False)))
    story.write(N2, 1, 2, _record(2, N2))
    assert ["a claim by a vice that is not ready" in f.text for f in findings(story.facts)] == [True]


def test_formation_by_availability_rests_on_a_death() -> None:
    story = _formed(availability=True)
    story.write(N3, 2, 3, _record(2, N3))
    assert story.broken == {"S6"}
    story.step(N3, m.Received(now_ns=0, sender=N1, message=messages.Obituary(N1)))
    assert "S6" not in story.broken


def test_force_stands_for_proof_and_is_told() -> None:
    story = _formed()
    story.tick(N1, 10, m.Grant(1, FOREVER_NS))
    taken = _record(2, N3)
    story.write(N3, 2, 3, taken, m.Became("master", "force", 3, taken, False))
    story.tick(N3, 20, m.Grant(2, FOREVER_NS))
    assert story.broken == set()
    assert any("lost terms [2] to force" in each for each in unchecked(story.facts))


def test_rights_of_others_are_found() -> None:
    story = _formed()
    story.tick(N2, 5, m.Grant(1, FOREVER_NS))
    story.tick(N3, 5, m.Acknowledge(1))
    assert [f.clause for f in findings(story.facts)] == ["S7", "S7"]
    story = _formed()
    story.tick(N2, 5, m.Acknowledge(1))
    assert story.broken == set()


def test_a_life_that_goes_on_after_its_obituary_is_found() -> None:
    story = _formed()
    story.step(N2, m.Received(now_ns=5 * MS, sender=N1, message=messages.Obituary(N1)))
    story.tick(N1, 4)
    assert story.broken == set()
    story.tick(N1, 6)
    assert story.broken == {"S7"}


def test_a_request_with_two_outcomes_is_found() -> None:
    story = _formed()

    def told(member: Member, outcome: str) -> None:
        ended = Operation("o1", "demote", "n2", "a test", "n1", 1, outcome=outcome)
        value = encode(Operations(None, (ended,)))
        story.step(member, c.RecordChanged(now_ns=1, key=OPERATION, revision=9, value=value))

    told(N1, "done")
    told(N2, "done")
    assert story.broken == set()
    told(N3, "refused")
    assert story.broken == {"one outcome"}


def test_a_change_whose_writer_is_in_no_record_is_told() -> None:
    story = Story()
    story.step(N1, m.Learned(now_ns=5, revision=7, record=_record(4, N2)))
    assert story.broken == set()
    assert any("revisions 7" in each for each in unchecked(story.facts))
