"""Events of a node as such: its agent's life, what it sees of the ledger, and the table that it goes by."""

from __future__ import annotations

from primacy.machines.event_base import Base


class NodeStarted(Base, frozen=True, kw_only=True):
    """An agent began its life."""

    node: str
    incarnation: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} starts a new life, {self.incarnation[:8]}"


class NodeStopped(Base, frozen=True, kw_only=True):
    """An agent ends in order."""

    node: str
    cause: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} stops: {self.cause}"


class SchedulingGap(Base, frozen=True, kw_only=True):
    """The agent itself was not scheduled for a while; it judged nobody by the clock afterwards for one beat."""

    node: str
    gap_ms: float

    def sentence(self) -> str:
        """Return the event in words."""
        return f"the agent of {self.node} was not scheduled for {self.gap_ms:.0f} ms"


class LedgerChanged(Base, frozen=True, kw_only=True):
    """The ledger stopped or began to answer; no role changes by that."""

    node: str
    available: bool
    reason: str = ""

    def sentence(self) -> str:
        """Return the event in words."""
        if self.available:
            return f"the ledger answers {self.node} again"
        return f"the ledger does not answer {self.node} ({self.reason}); roles stay as they are"


class TableTaken(Base, frozen=True, kw_only=True):
    """A node took over a changed configuration table; what it cannot while it runs is behind."""

    node: str
    revision: int
    change: str
    behind: list[str]

    def sentence(self) -> str:
        """Return the event in words."""
        left = f"; it has to restart for: {', '.join(self.behind)}" if self.behind else ""
        return f"{self.node} has the configuration table of revision {self.revision}: {self.change}{left}"


class RestartAsked(Base, frozen=True, kw_only=True):
    """The master told a node to restart in order, because it is behind a changed table."""

    node: str
    by: str
    reason: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.by} tells {self.node} to restart: {self.reason}"


class RecordEnded(Base, frozen=True, kw_only=True):
    """The record of an agent's inputs (boot parameter `record`) ends before the agent does, which goes on without."""

    node: str
    reason: str

    def sentence(self) -> str:
        """Return the event in words."""
        return f"{self.node} records its inputs no more: {self.reason}"
