"""The agent's end of its channel to the guardian: orders that the real parser takes, and words that are told."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from primacy import channel, guardian_message
from primacy.agent.guardian_link import GuardianLink
from primacy.lease_page import LeasePage, create
from tests.unit.cgtp_tools import until


class Ends:
    """A link and the guardian's raw end."""

    def __init__(self) -> None:
        ours, theirs = channel.pair()
        self.guardian = channel.Channel(ours)
        self.link = GuardianLink(theirs.detach())
        self.lost: list[bool] = []
        self.link.attach(asyncio.get_running_loop(), lambda: self.lost.append(True))

    def orders(self) -> list[tuple[guardian_message.Order, list[int]]]:
        """What has been asked for, as the guardian reads it."""
        return [(guardian_message.parse(m, len(fds)), fds) for m, fds in self.guardian.receive()]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    yield made
    made.link.close()
    made.guardian.close()


def test_a_spawn_hands_over_its_descriptors_by_name() -> None:
    async def run() -> None:
        ends = Ends()
        reading, writing = os.pipe()
        ends.link.spawn("host-stock", ["python", "-m", "x"], {"A": "1", "B": None}, "/", {"FD": writing})
        ((order, fds),) = ends.orders()
        assert order == guardian_message.Spawn(
            "host-stock", ["python", "-m", "x"], {"A": "1", "B": None}, "/", ["FD"]
        )
        os.write(fds[0], b"here")
        assert os.read(reading, 10) == b"here"
        channel.close_all([reading, writing, *fds])
        ends.link.close()
        ends.guardian.close()

    asyncio.run(run())


ORDERS: list[tuple[Callable[[GuardianLink], None], guardian_message.Order]] = [
    (lambda link: link.kill("host-stock"), guardian_message.Kill("host-stock", 9)),
    (lambda link: link.want_page("stock", 7), guardian_message.MakePage("stock", 7)),
    (lambda link: link.drop_page("stock", 7), guardian_message.DropPage("stock", 7)),
    (lambda link: link.stop(), guardian_message.Stop()),
    (lambda link: link.stop("reboot"), guardian_message.Stop("reboot")),
    (lambda link: link.alive(1.5), guardian_message.Alive(1.5)),
    (lambda link: link.hold_obituaries([]), guardian_message.Hold([])),
    (
        lambda link: link.hold_obituaries([("127.0.0.1", "127.0.0.2", 7300, b"\xff\0")]),
        guardian_message.Hold([["127.0.0.1", "127.0.0.2", 7300, base64.b64encode(b"\xff\0").decode()]]),
    ),
]


@pytest.mark.parametrize(("give", "order"), ORDERS)
async def test_an_order_arrives_as_it_was_given(
    ends: Ends, give: Callable[[GuardianLink], None], order: guardian_message.Order
) -> None:
    give(ends.link)
    assert ends.orders() == [(order, [])]


async def test_a_sign_of_life_never_takes_the_place_of_another_word(ends: Ends) -> None:
    for number in range(5000):  # more than the kernel holds for a guardian that does not read
        ends.link.want_page("stock", number)
    for _ in range(5000):
        ends.link.alive(1.0)
    found: list[guardian_message.Order] = []

    def all_have_come() -> bool:
        found.extend(order for order, _ in ends.orders())
        return len(found) >= 5000

    await until(all_have_come, "all words arrive")
    assert found == [guardian_message.MakePage("stock", number) for number in range(5000)]


EXITS = [
    ((0, None), "exited with 0"),
    ((1, None), "exited with 1"),
    ((-9, None), "was ended by signal 9"),
    ((127, "no such file"), "could not be started: no such file"),
]


@pytest.mark.parametrize(("end", "how"), EXITS)
async def test_an_exit_is_told_in_words(ends: Ends, end: tuple[int, str | None], how: str) -> None:
    told: list[tuple[str, str]] = []
    ends.link.on_exited = lambda name, how: told.append((name, how))
    code, error = end
    ends.guardian.send(guardian_message.exited("host-stock", 5, code, error or ""))
    await until(lambda: told, "the exit is told")
    assert told == [("host-stock", how)]


async def test_other_words_are_told_as_they_are(ends: Ends) -> None:
    told: list[Any] = []
    ends.link.on_spawned = lambda name, pid: told.append((name, pid))
    ends.link.on_trouble = told.append
    ends.link.on_missed = told.append
    ends.guardian.send(guardian_message.encode("spawned", name="host-stock", pid=5))
    ends.guardian.send(guardian_message.encode("error", what="term: wanted a number", of="{}"))
    ends.guardian.send(guardian_message.encode("missed", count=2, children={"host-stock": 5}))
    ends.guardian.send(guardian_message.encode("a word of a later version"))
    ends.guardian.send(guardian_message.encode("spawned", name="host-door", pid=6))
    await until(lambda: len(told) == 4, "all are told")
    assert told == [
        ("host-stock", 5),
        "the guardian cannot do it: term: wanted a number",
        {"host-stock": 5},
        ("host-door", 6),
    ]


async def test_a_page_arrives_with_its_descriptor(ends: Ends) -> None:
    told: list[tuple[str, int, int]] = []
    ends.link.on_page = lambda service, term, fd: told.append((service, term, fd))
    fd = create()
    LeasePage(fd).ack_term = 7
    ends.guardian.send(guardian_message.encode("page", service="stock", term=7), [fd])
    await until(lambda: told, "the page has come")
    ((service, term, theirs),) = told
    page = LeasePage(theirs)
    assert (service, term, page.ack_term) == ("stock", 7, 7)
    page.close()
    channel.close_all([fd, theirs])


async def test_a_guardian_that_is_gone_is_told_once(ends: Ends) -> None:
    ends.guardian.close()
    await until(lambda: ends.lost, "it is told")
    assert ends.lost == [True]
