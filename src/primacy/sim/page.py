"""The lease page of the simulation: two words that the agent writes and the host reads, at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Page:
    """The page of one term on one node; see `primacy.lease_page`."""

    term: int
    valid_until_ns: int = 0
    ack_term: int = 0

    def revoke(self) -> None:
        """Take both rights away (the guardian does so when the agent has died)."""
        self.valid_until_ns = self.ack_term = 0
