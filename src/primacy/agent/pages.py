"""The lease pages of this node's servers, as the agent writes them.

A page belongs to one (service, term). What the monitor wants to stand in the pages of a term is remembered, so that a
page that arrives later from the guardian says at once what it must; pages of the next term are asked for in advance,
so that a failover does not wait for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from primacy.agent.guardian_link import GuardianLink
from primacy.lease_page import LeasePage


class Pages:
    """Pages by (service, term)."""

    def __init__(self, guardian: GuardianLink, on_arrival: Callable[[str, int], None]) -> None:
        self._guardian = guardian
        self._on_arrival = on_arrival
        self._pages: dict[tuple[str, int], tuple[LeasePage, int]] = {}
        self._wanted: set[tuple[str, int]] = set()
        self._until: tuple[int, int] = (0, 0)  # (term, valid_until_ns) of the primaries
        self._acknowledging = 0  # the term that the secondaries may acknowledge
        guardian.on_page = self._arrived

    def grant(self, term: int, until_ns: int) -> None:
        """Primaries of this term may answer until then; those of no other term may."""
        self._until = (term, until_ns)
        for (_, of), (page, _) in self._pages.items():
            if of == term:
                page.valid_until_ns = until_ns

    def acknowledge(self, term: int) -> None:
        """Secondaries may acknowledge appends of this term."""
        self._acknowledging = term
        for (_, of), (page, _) in self._pages.items():
            if of == term:
                page.ack_term = term

    def seal(self) -> None:
        """Secondaries acknowledge nothing from now on."""
        self._acknowledging = 0
        for page, _ in self._pages.values():
            page.ack_term = 0

    def want(self, service: str, term: int) -> int | None:
        """Return the descriptor of the page, or None: it was asked for, `on_arrival` will tell."""
        if (service, term) in self._pages:
            return self._pages[service, term][1]
        if (service, term) not in self._wanted:
            self._wanted.add((service, term))
            self._guardian.want_page(service, term)
        return None

    def forget_before(self, term: int) -> None:
        """Pages of older terms say nothing any more; drop them."""
        for service, of in [key for key in self._pages if key[1] < term]:
            page, fd = self._pages.pop((service, of))
            page.revoke()
            page.close()
            os.close(fd)
            self._guardian.drop_page(service, of)
        self._wanted = {key for key in self._wanted if key[1] >= term}

    def close(self) -> None:
        """The agent ends: let go of every page, as it is."""
        for page, fd in self._pages.values():
            page.close()
            os.close(fd)
        self._pages.clear()

    def _arrived(self, service: str, term: int, fd: int) -> None:
        if (service, term) not in self._wanted:  # its term was over before it came
            os.close(fd)
            self._guardian.drop_page(service, term)
            return
        self._wanted.discard((service, term))
        page = LeasePage(fd)
        self._pages[service, term] = (page, fd)
        if self._until[0] == term:
            page.valid_until_ns = self._until[1]
        if self._acknowledging == term:
            page.ack_term = term
        self._on_arrival(service, term)
