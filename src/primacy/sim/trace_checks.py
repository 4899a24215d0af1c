"""What must be true of all recorded nodes together, judged when all records have been read.

S1  at most one node holds a term, and no life might answer in an older term when a newer one might.
S6  a claim comes from the ready vice, from formation or by force, or was handed over; within a term only its master
    writes.
S7  one incarnation never acts on rights of another; nothing is recorded of a life after its obituary was heard.
    one request has one outcome.

Readings of two clocks are never compared: where lives of different machines meet, that part of S1 and S7 is told as
not checked. So is every change of the record whose writer, or whose predecessor, is in no record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from primacy.machines.ids import Member
from primacy.machines.records import Mastership
from primacy.sim.trace_facts import Doing, Facts, Right


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not true: the clause, and the sentence."""

    clause: str
    text: str

    def __str__(self) -> str:
        return f"{self.clause}: {self.text}"


def findings(facts: Facts) -> list[Finding]:
    """Return everything that is not true."""
    return [
        *_history(facts),
        *_overlaps(facts),
        *_claims(facts),
        *_rights(facts),
        *_after_death(facts),
        *_outcomes(facts),
    ]


# ---- S1 ----


def _history(facts: Facts) -> Iterator[Finding]:
    masters: dict[int, tuple[Member, str]] = {}
    for revision, rows in sorted(facts.records.items()):
        for record, where in rows[1:]:
            first, there = rows[0]
            yield Finding(
                "S1",
                f"revision {revision} is two records: {_told(first)} ({there}); {_told(record)} ({where})",
            )
        for record, where in rows:
            holder, there = masters.setdefault(record.term, (record.master, where))
            if holder != record.master:
                yield Finding(
                    "S1",
                    f"term {record.term} has two masters: {holder} ({there}) and {record.master} ({where})",
                )


def _overlaps(facts: Facts) -> Iterator[Finding]:
    rights = sorted(
        ((term, doing, right) for doing in facts.doings.values() for term, right in doing.rights.items()),
        key=lambda each: (each[0], each[1].member.node),
    )
    forced = {term for doing in facts.doings.values() for term in doing.forced}
    for index, (term, doing, right) in enumerate(rights):
        end_ns = _end_ns(facts, doing, right)
        for later, other, begun in rights[index + 1 :]:
            if other.member == doing.member or not _one_clock(doing, other):
                continue
            if any(term < each <= later for each in forced):
                continue  # towards a master that was declared dead S1 need not hold
            if end_ns > begun.first_ns:
                yield Finding(
                    "S1",
                    f"{other.member} might answer in term {later} at {begun.first_ns} ns, and {doing.member} in term "
                    f"{term} for {(end_ns - begun.first_ns) / 1e6:.3f} ms more",
                )


def _end_ns(facts: Facts, doing: Doing, right: Right) -> int:
    """Until when a right was one: a dead process answers nothing, whatever its page says."""
    ends = [right.until_ns]
    for other in facts.doings.values():
        if _one_clock(doing, other):
            if doing.member.incarnation in other.lost:
                ends.append(other.lost[doing.member.incarnation])
            if other.member.node == doing.member.node and other.began_ns > doing.began_ns:
                ends.append(other.began_ns)  # its guardian has ended every process of the life before
    return min(ends)


def _one_clock(one: Doing, other: Doing) -> bool:
    return bool(one.clock) and one.clock == other.clock


# ---- S6 ----


def _claims(facts: Facts) -> Iterator[Finding]:
    for revision, rows in sorted(facts.records.items()):
        new = rows[0][0]
        found, old = predecessor(facts, revision, new)
        why = _not_allowed(facts, old, new) if found else ""
        if why:
            yield Finding("S6", f"{why}: revision {revision}, {_told(new)}")


def predecessor(facts: Facts, revision: int, new: Mastership) -> tuple[bool, Mastership | None]:
    """Return whether it is known what stood before this record, and that (None: nothing)."""
    for write in facts.writes:
        if write.record == new and write.expect < revision:
            if write.expect == 0:
                return True, None
            old = facts.at(write.expect)
            if old is not None:
                return True, old
    return False, None


def _not_allowed(facts: Facts, old: Mastership | None, new: Mastership) -> str:
    if old is None:
        return "" if new.term == 1 and new.by == new.master else "the first record is not by its master"
    if new.term == old.term:
        return "" if new.by == old.master == new.master else "only the master changes the record of its term"
    if new.term != old.term + 1:
        return "a term was left out"
    if new.by == old.master:
        allowed = new.master in (old.master, old.ready_vice)
        return "" if allowed else "handed over to a node that is not the ready vice"
    if new.by != new.master:
        return "written by neither master"
    doing = facts.doings.get(new.master)
    if new.master == old.ready_vice or old.stopped is not None or (doing and new.term in doing.forced):
        return ""
    if old.vice is not None and new.master == old.vice.member:
        return "a claim by a vice that is not ready"
    if doing is not None and doing.formed_by_availability:
        return (
            ""
            if _was_dead(facts, old.master, doing)
            else "formed although nothing said that the master is dead"
        )
    if doing is not None and doing.volatile:
        return "a formation although the state was in memory only"
    in_step = {old.master.node, old.ready_vice.node if old.ready_vice else ""}
    return "" if new.master.node in in_step else "a formation by a node that was not in step"


def _was_dead(facts: Facts, member: Member, doing: Doing) -> bool:
    heard = any(member.incarnation in each.lost for each in facts.doings.values())
    return heard or member.node == doing.member.node


# ---- S7, and one outcome ----


def _rights(facts: Facts) -> Iterator[Finding]:
    for doing in facts.doings.values():
        for term in doing.rights:
            if not facts.was_master(doing.member, term):
                yield Finding(
                    "S7", f"{doing.member} lets itself answer in term {term}, of which it was never master"
                )
        for term, where in doing.acknowledged.items():
            if not facts.was_vice(doing.member, term):
                yield Finding("S7", f"{where} acknowledges in term {term}, of which it was never vice")


def _after_death(facts: Facts) -> Iterator[Finding]:
    for doing in facts.doings.values():
        for dead, heard_ns in doing.lost.items():
            for other in facts.doings.values():
                late = other.member.incarnation == dead and _one_clock(doing, other)
                if late and other.last_ns > heard_ns:
                    yield Finding(
                        "S7",
                        f"{other.member} went on for {(other.last_ns - heard_ns) / 1e6:.3f} ms after {doing.member} "
                        "had heard its guardian say that its processes are dead",
                    )


def _outcomes(facts: Facts) -> Iterator[Finding]:
    for operation, told in sorted(facts.outcomes.items()):
        if len(told) > 1:
            each = "; ".join(f"{outcome} ({where})" for (outcome, _), where in told.items())
            yield Finding("one outcome", f"operation {operation} has several: {each}")


def unchecked(facts: Facts) -> list[str]:
    """Return what could not be judged, and why, in sentences."""
    found = []
    clocks = {doing.clock for doing in facts.doings.values()}
    if len(clocks) > 1 or "" in clocks:
        found.append(
            "whether two nodes might answer at one time: their clocks are not the same, so their readings cannot be "
            "compared (the history of the record was checked all the same)"
        )
    alone = [
        revision
        for revision, rows in sorted(facts.records.items())
        if not predecessor(facts, revision, rows[0][0])[0]
    ]
    if alone:
        some = ", ".join(map(str, alone[:5])) + (" and more" if len(alone) > 5 else "")
        found.append(
            f"whether {len(alone)} changes of the record were allowed (revisions {some}): who wrote them, or what "
            "stood before, is in no record"
        )
    forced = sorted({term for doing in facts.doings.values() for term in doing.forced})
    if forced:
        found.append(
            f"S1 towards masters that lost terms {forced} to force: an operator's word stands for proof"
        )
    return found


def _told(record: Mastership) -> str:
    vice = "no vice"
    if record.vice is not None:
        vice = f"{'ready' if record.vice.ready else 'not ready'} vice {record.vice.member}"
    return f"term {record.term}, master {record.master}, {vice}, by {record.by}: {record.cause}"
