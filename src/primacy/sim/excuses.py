"""Towards which former masters S1 and S2 need not hold, because an assumption of theirs was broken by the run itself.

Two things do that, and nothing else: an operator declares a master dead that lives; and the clock of a master is so
slow, or that of the vice that takes over so fast, that the lease of the one outlasts the grace of the other. Only reads
rest on clocks: what was written is judged all the same (S3, and S4 of all that changes something).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from primacy.machines.ids import Member
from primacy.machines.records import Mastership
from primacy.sim.linearizability import Model, Record

if TYPE_CHECKING:
    from primacy.sim.host import Host
    from primacy.sim.plan import Plan


class Excuses:
    """declared: members declared dead by word while they lived. of_clocks: whether clocks excuse anybody."""

    def __init__(self, plan: Plan) -> None:
        self.declared: set[Member] = set()
        self.of_clocks = True
        self._plan = plan
        self._outlasting: set[tuple[Member, int]] = set()  # masters whose lease the next one did not wait for

    def judged(self, history: list[Record], model: Model) -> list[Record]:
        """Return the part of a history that must be linearizable: reads may have been stale."""
        reads: frozenset[str] = getattr(model, "reads", frozenset())
        return [each for each in history if each.operation not in reads] if self._outlasting else history

    def changed(self, old: Mastership | None, new: Mastership) -> None:
        """The record was changed; must be told before anybody is judged by it."""
        if old is None or old.term == new.term or not self.of_clocks:
            return
        if self._plan.beyond(old.master.node, new.master.node):
            self._outlasting.add((old.master, old.term))

    def of(self, host: Host) -> bool:
        """Whether this primary need not be silent although a newer one may answer."""
        return self.cover(host.member, host.term)

    def cover(self, member: Member, term: int) -> bool:
        """Whether this master of this term need not be silent although a newer one may answer."""
        return member in self.declared or (member, term) in self._outlasting
