"""The lease pages that the guardian keeps: one for each (service, term), to be able to revoke them all at
once.

The guardian holds every page that it has handed out until it is dropped, and a dropped page is revoked first,
so there is never one in use that the death of the agent would not silence. Standard library only.
"""

from __future__ import annotations

import os

from primacy import lease_page
from primacy.guardian_message import Garbage

PAGES_MAX = 1024


class Pages:
    """The pages of one agent's life."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, int], tuple[int, lease_page.LeasePage]] = {}

    def fd(self, service: str, term: int) -> int:
        """Return the descriptor of the page, which is made at first use and stays ours.

        Raises `Garbage` when 1,024 pages are held, `OSError` when the system has no descriptor left.
        """
        key = (service, term)
        if key not in self._pages:
            if len(self._pages) >= PAGES_MAX:
                raise Garbage(f"{PAGES_MAX} lease pages are held already: drop old ones")
            fd = lease_page.create()
            self._pages[key] = fd, lease_page.LeasePage(fd)
        return self._pages[key][0]

    def drop(self, service: str, term: int) -> None:
        """Revoke and forget a page, if there is such a one."""
        fd, page = self._pages.pop((service, term), (-1, None))
        if page is not None:
            page.revoke()
            page.close()
            os.close(fd)

    def revoke_all(self) -> None:
        """Take the rights of every page away; they are kept."""
        for _, page in self._pages.values():
            page.revoke()

    def drop_all(self) -> None:
        """Revoke and forget every page."""
        for service, term in list(self._pages):
            self.drop(service, term)
