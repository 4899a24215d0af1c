"""What recorded agents did to the mastership record and to their own rights, gathered from all nodes.

The ledger itself is not recorded: its history is put together from what every node read, was told or wrote. Nothing
is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from primacy.errors import ConfigError
from primacy.machines import coordination as ssc
from primacy.machines import membership as cmm
from primacy.machines import messages
from primacy.machines.ids import Member
from primacy.machines.records import OPERATION, Mastership, decode_operations
from primacy.sim.trace_replay import Step


@dataclass(slots=True)
class Right:
    """When the primaries of one life might answer in one term: from the first moment to the end of the last."""

    first_ns: int
    until_ns: int


@dataclass(slots=True)
class Write:
    """A try of a swap of the mastership record."""

    by: Member
    expect: int
    record: Mastership


@dataclass(slots=True)
class Doing:
    """What one life did. Times are readings of its own clock, which `clock` names.

    formed_by_availability: it could form the cluster without being in step. lost: incarnations that it heard to be
    dead, and when.
    """

    member: Member
    clock: str
    began_ns: int
    volatile: bool
    formed_by_availability: bool
    last_ns: int = 0
    rights: dict[int, Right] = field(default_factory=dict)  # by term
    acknowledged: dict[int, str] = field(default_factory=dict)  # by term: where first
    forced: set[int] = field(default_factory=set)  # the terms that it took by force
    lost: dict[str, int] = field(default_factory=dict)
    tries: dict[int, Write] = field(default_factory=dict)  # by token


class Facts:
    """Everything that is told in the records.

    records: what was seen at each revision, and where first; more than one is a fault. writes: all tries of swaps.
    outcomes: by operation, each outcome that the ledger told, and where first.
    """

    def __init__(self) -> None:
        self.doings: dict[Member, Doing] = {}
        self.records: dict[int, list[tuple[Mastership, str]]] = {}
        self.writes: list[Write] = []
        self.outcomes: dict[str, dict[tuple[str, tuple[str, ...]], str]] = {}

    def begins(self, member: Member, clock: str, began_ns: int, volatile: bool, availability: bool) -> None:
        """A life begins."""
        self.doings[member] = Doing(member, clock, began_ns, volatile, availability, last_ns=began_ns)

    def saw(self, step: Step) -> None:
        """Note what one step tells."""
        doing = self.doings[step.life.member]
        doing.last_ns = step.input.now_ns
        if isinstance(step.input, ssc.Input):
            if isinstance(step.input, ssc.RecordChanged) and step.input.key == OPERATION:
                self._operations(step, step.input.value)
            return
        self._given(step, doing, step.input)
        for effect in step.effects:
            self._answered(step, doing, effect)

    def at(self, revision: int) -> Mastership | None:
        """The record at this revision, if any node told of it."""
        found = self.records.get(revision)
        return found[0][0] if found else None

    def was_master(self, member: Member, term: int) -> bool:
        """Whether any record of this term names this member as master."""
        return any(r.term == term and r.master == member for rows in self.records.values() for r, _ in rows)

    def was_vice(self, member: Member, term: int) -> bool:
        """Whether any record of this term names this member as vice."""
        return any(r.term == term and r.is_vice(member) for rows in self.records.values() for r, _ in rows)

    def _given(self, step: Step, doing: Doing, given: cmm.Input) -> None:
        match given:
            case cmm.Learned(revision=revision, record=record) if record is not None:
                self._record(revision, record, step)
            case cmm.Swapped(token=token, answer=cmm.SwapAnswer.DONE, revision=revision) if (
                token in doing.tries
            ):
                self._record(revision, doing.tries[token].record, step)
            case cmm.Received(sender=sender, message=messages.Obituary(member=member)) if member == sender:
                doing.lost.setdefault(member.incarnation, given.now_ns)
            case cmm.Received(message=messages.Announce(revision=revision, record=record)):
                self._record(revision, record, step)
            case cmm.Retimed(availability=True):
                doing.formed_by_availability = True

    def _answered(self, step: Step, doing: Doing, effect: object) -> None:
        match effect:
            case cmm.SwapRecord(expect=expect, record=record, token=token):
                doing.tries[token] = write = Write(doing.member, expect, record)
                self.writes.append(write)
            case cmm.Adopted(revision=revision, record=record):
                self._record(revision, record, step)
            case cmm.Became(role="master", how="force", record=record):
                doing.forced.add(record.term)
            case cmm.Grant(term=term, until_ns=until_ns):
                self._granted(doing, term, until_ns)
            case cmm.Acknowledge(term=term):
                doing.acknowledged.setdefault(term, step.where)

    @staticmethod
    def _granted(doing: Doing, term: int, until_ns: int) -> None:
        """A page is written: what it said before counts until now, what it says now from now on."""
        now_ns, right = doing.last_ns, doing.rights.get(term)
        if until_ns > now_ns:
            if right is None:
                doing.rights[term] = Right(now_ns, until_ns)
            else:
                right.until_ns = until_ns
        elif right is not None:
            right.until_ns = min(right.until_ns, now_ns)

    def _record(self, revision: int, record: Mastership, step: Step) -> None:
        rows = self.records.setdefault(revision, [])
        if all(record != known for known, _ in rows):
            rows.append((record, step.where))

    def _operations(self, step: Step, value: bytes | None) -> None:
        try:
            ended = decode_operations(value).ended if value is not None else ()
        except ConfigError:
            return  # the agent has refused it too
        for each in ended:
            self.outcomes.setdefault(each.id, {}).setdefault((each.outcome, each.reasons), step.where)
