"""The lease pages as the agent writes them: a page says what it must from the moment it is there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from primacy import guardian_message
from primacy.agent.guardian_link import GuardianLink
from primacy.agent.pages import Pages
from primacy.lease_page import LeasePage
from tests.unit.agent_tools import PlayedGuardian
from tests.unit.cgtp_tools import until


class Rig:
    """Pages and the guardian that makes them."""

    def __init__(self) -> None:
        self.guardian = PlayedGuardian()
        self.link = GuardianLink(self.guardian.fd)
        self.link.attach(asyncio.get_running_loop(), lambda: None)
        self.guardian.attach()
        self.arrived: list[tuple[str, int]] = []
        self.pages = Pages(self.link, lambda service, term: self.arrived.append((service, term)))

    async def page(self, service: str, term: int) -> LeasePage:
        """The page, as a host would see it."""
        await until(lambda: self.pages.want(service, term) is not None, f"the page of {service}, {term}")
        fd = self.pages.want(service, term)
        assert fd is not None
        return LeasePage(fd, writable=False)

    def close(self) -> None:
        """End everything."""
        self.pages.close()
        self.link.close()
        self.guardian.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    made.close()


ORDERS = {"grant": lambda p: p.grant(3, 99), "acknowledge": lambda p: p.acknowledge(3)}


@pytest.mark.parametrize("first", ["the page", "the right"])
@pytest.mark.parametrize("kind", ORDERS)
async def test_a_right_stands_in_the_page_whichever_came_first(rig: Rig, kind: str, first: str) -> None:
    if first == "the right":
        ORDERS[kind](rig.pages)
    page = await rig.page("stock", 3)
    if first == "the page":
        ORDERS[kind](rig.pages)
    assert (page.valid_until_ns, page.ack_term) == ((99, 0) if kind == "grant" else (0, 3))
    page.close()


@pytest.mark.parametrize("term", [2, 4])
@pytest.mark.parametrize("kind", ORDERS)
async def test_pages_of_other_terms_say_nothing(rig: Rig, kind: str, term: int) -> None:
    page = await rig.page("stock", term)
    ORDERS[kind](rig.pages)
    late = await rig.page("door", term)
    assert [p.valid_until_ns for p in (page, late)] == [0, 0]
    assert [p.ack_term for p in (page, late)] == [0, 0]
    page.close()
    late.close()


async def test_a_seal_is_in_every_page_at_once_and_in_those_that_come_later(rig: Rig) -> None:
    early = await rig.page("stock", 3)
    rig.pages.acknowledge(3)
    rig.pages.seal()
    late = await rig.page("door", 3)
    assert (early.ack_term, late.ack_term) == (0, 0)
    early.close()
    late.close()


async def test_a_page_is_asked_for_once_and_its_arrival_is_told(rig: Rig) -> None:
    for _ in range(3):
        assert rig.pages.want("stock", 3) is None
    await until(lambda: rig.arrived, "the page has come")
    assert rig.arrived == [("stock", 3)]
    assert rig.guardian.took(guardian_message.MakePage) == [guardian_message.MakePage("stock", 3)]
    assert rig.pages.want("stock", 3) is not None


async def test_pages_of_older_terms_are_revoked_and_dropped(rig: Rig) -> None:
    old, new = await rig.page("stock", 3), await rig.page("stock", 4)
    rig.pages.grant(3, 99)
    rig.pages.forget_before(4)
    assert old.valid_until_ns == 0
    await until(lambda: rig.guardian.took(guardian_message.DropPage), "the guardian is told")
    assert rig.guardian.took(guardian_message.DropPage) == [guardian_message.DropPage("stock", 3)]
    rig.pages.grant(4, 100)
    assert new.valid_until_ns == 100
    old.close()
    new.close()


async def test_a_page_whose_term_is_over_before_it_comes_is_given_back(rig: Rig) -> None:
    """Otherwise the guardian would keep it for as long as the agent lives."""
    rig.guardian.holds_pages = True
    rig.pages.want("stock", 3)
    await until(lambda: rig.guardian.waiting, "it was asked for")
    rig.pages.forget_before(4)
    rig.guardian.give_pages()
    await until(lambda: rig.guardian.took(guardian_message.DropPage), "it is given back")
    assert rig.arrived == []
    assert rig.guardian.pages._pages == {}


MOVES = ["grant", "take away", "acknowledge", "seal"]


@pytest.mark.parametrize("moves", [*itertools.product(MOVES, repeat=3)], ids="-".join)
async def test_two_pages_of_a_term_always_say_the_same(rig: Rig, moves: tuple[str, ...]) -> None:
    """One is there from the start, one comes at the end: the machine's last word stands in both."""
    early = await rig.page("stock", 3)
    until_ns, acknowledging = 0, 0
    for move in moves:
        match move:
            case "grant":
                rig.pages.grant(3, until_ns := 99)
            case "take away":
                rig.pages.grant(3, until_ns := 0)
            case "acknowledge":
                rig.pages.acknowledge(acknowledging := 3)
            case "seal":
                rig.pages.seal()
                acknowledging = 0
    late = await rig.page("door", 3)
    assert {(p.valid_until_ns, p.ack_term) for p in (early, late)} == {(until_ns, acknowledging)}
    early.close()
    late.close()
