"""The pages that the guardian keeps: one each, revoked before they are forgotten, never too many."""

from __future__ import annotations

import os

import pytest

from primacy.guardian_message import Garbage
from primacy.guardian_page import PAGES_MAX, Pages
from primacy.lease_page import LeasePage


def words(page: LeasePage) -> tuple[int, int]:
    return page.valid_until_ns, page.ack_term


def filled(pages: Pages, service: str, term: int) -> LeasePage:
    """Return a view like a host's, of a page that the agent has filled."""
    page = LeasePage(pages.fd(service, term))
    page.valid_until_ns, page.ack_term = 2**63, term
    return page


def test_the_same_page_is_handed_out_each_time() -> None:
    pages = Pages()
    page = filled(pages, "s", 1)
    assert words(LeasePage(pages.fd("s", 1))) == (2**63, 1)
    assert words(LeasePage(pages.fd("s", 2))) == (0, 0)
    assert words(LeasePage(pages.fd("t", 1))) == (0, 0)
    assert words(page) == (2**63, 1)
    pages.drop_all()


def test_a_dropped_page_is_revoked_and_closed() -> None:
    pages = Pages()
    kept, dropped = filled(pages, "s", 1), filled(pages, "s", 2)
    fd = pages.fd("s", 2)
    pages.drop("s", 2)
    pages.drop("s", 3)  # was never made
    assert (words(kept), words(dropped)) == ((2**63, 1), (0, 0))
    with pytest.raises(OSError):
        os.fstat(fd)
    pages.drop_all()


def test_all_are_revoked_at_once_and_kept() -> None:
    pages = Pages()
    views = [filled(pages, "s", term) for term in range(1, 20)]
    pages.revoke_all()
    assert {words(view) for view in views} == {(0, 0)}
    views[0].ack_term = 5
    assert LeasePage(pages.fd("s", 1)).ack_term == 5
    pages.drop_all()
    assert {words(view) for view in views} == {(0, 0)}


def test_there_is_a_limit() -> None:
    pages = Pages()
    before = len(os.listdir("/proc/self/fd"))
    for term in range(PAGES_MAX):
        pages.fd("s", term)
    with pytest.raises(Garbage, match="drop old ones"):
        pages.fd("s", PAGES_MAX)
    pages.fd("s", 0)
    pages.drop_all()
    assert len(os.listdir("/proc/self/fd")) == before
