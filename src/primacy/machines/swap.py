"""One swap on the mastership record until it is settled.

A swap is settled by success, by a conflict, or by learning of a revision *newer* than the expected one.  Reading the
expected revision again settles nothing: the swap may still arrive. Until it is settled the same swap (same content,
same expected revision) is repeated, and the node has only the rights that both records, old and new, give it.
Pure; the caller repeats when `due` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from primacy.machines.records import Mastership


class Purpose(Enum):
    """Why the record is to be changed."""

    CLAIM = "claim"  # the ready vice claims
    FORM = "form"  # a node claims by formation
    FORCE = "force"  # a node claims on an operator's word
    APPOINT = "appoint"  # a vice, not yet ready
    READY = "ready"  # the vice is in step
    DROP = "drop"  # no vice any more
    HANDOVER = "handover"  # the vice becomes master
    RENEW = "renew"  # the master goes on in a new term: a primary was lost, and no vice can take over
    STOP = "stop"  # the whole cluster stops in order


class Outcome(Enum):
    """How a swap ended."""

    DONE = "done"
    LOST = "lost"  # the record is another one by now
    NOT_WRITTEN = "not written"  # the ledger was unavailable; the record is as it was


@dataclass(slots=True)
class Swap:
    """A swap that is not settled yet."""

    purpose: Purpose
    expect: int
    record: Mastership
    token: int
    under_way: bool = True  # the ledger has not answered this try yet
    uncertain: bool = False  # an earlier try may have been written, or may still be
    conflicted: bool = False  # settled, but the record is not known yet: read it
    repeat_ns: int = 0

    def unavailable(self, repeat_ns: int) -> Outcome | None:
        """This try was not written; that says nothing of an earlier uncertain one."""
        self.under_way = False
        self.repeat_ns = repeat_ns
        return None if self.uncertain else Outcome.NOT_WRITTEN

    def unclear(self, repeat_ns: int) -> None:
        """This try may have been written, or may still be."""
        self.under_way = False
        self.uncertain = True
        self.repeat_ns = repeat_ns

    def conflict(self) -> None:
        """Somebody's swap came first, perhaps an earlier try of this one: only the record can tell."""
        self.under_way = False
        self.conflicted = True

    def learned(self, revision: int, record: Mastership) -> Outcome | None:
        """A record was learned: it settles the swap if its revision is newer than the expected one."""
        if revision <= self.expect:
            return None
        return Outcome.DONE if record == self.record else Outcome.LOST

    def due(self, now_ns: int) -> bool:
        """Whether to send the same swap again."""
        return self.uncertain and not self.under_way and not self.conflicted and now_ns >= self.repeat_ns
