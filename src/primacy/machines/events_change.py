"""Events of a change of the configuration table: its beginning, the end of each of its steps, its own end."""

from __future__ import annotations

from primacy.machines.event_base import Base


class ChangeBegan(Base, frozen=True, kw_only=True):
    """The whole plan of a change of the table stands in the ledger: whatever dies, it is carried out.

    by, reason: who asked, and why. steps: what is to be done, in order. replaces: the change whose place it takes.
    """

    node: str
    change: str
    by: str
    reason: str
    steps: list[str]
    replaces: str = ""

    def sentence(self) -> str:
        """Return the event in words."""
        instead = f", in the place of {self.replaces}" if self.replaces else ""
        steps = "; ".join(self.steps)
        return f"change {self.change} of the table begins{instead}, by {self.by} ({self.reason}): {steps}"


class ChangeStepEnded(Base, frozen=True, kw_only=True):
    """A step of a change has ended: done | failed. step: its number, from 1."""

    node: str
    change: str
    step: int
    what: str
    outcome: str
    reasons: list[str]

    def sentence(self) -> str:
        """Return the event in words."""
        why = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return f"change {self.change}, step {self.step}: {self.what}: {self.outcome}{why}"


class ChangeEnded(Base, frozen=True, kw_only=True):
    """A change is over: done | failed | refused (nothing was changed) | replaced. held: what was not done any more."""

    node: str
    change: str
    outcome: str
    reasons: list[str]
    held: list[str]

    def sentence(self) -> str:
        """Return the event in words."""
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        held = f"; not done: {', '.join(self.held)}" if self.held else ""
        return f"change {self.change} of the table is over, {self.outcome}{why}{held}"
