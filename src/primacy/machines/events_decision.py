"""The event of a decision that was acted on: with it, a decision can be explained and taken again (deciding.py)."""

from __future__ import annotations

from typing import Any

from primacy.machines.event_base import Base


class Decided(Base, frozen=True, kw_only=True):
    """A decision about roles was acted on: the rule, exactly its inputs, and the verdict; `explain` takes it again."""

    node: str
    rule: str
    decision: str
    inputs: dict[str, Any]
    result: dict[str, Any]

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} decided {self.decision}"
