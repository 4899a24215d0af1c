"""The events of one node: all of them, each once, over dropped pushes, restarts and lost numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from primacy.cgtp.tls import client_context
from primacy.client.event_feed import EventFeed, Heard
from primacy.machines.control_wire import EventPushed, Request, Response, encode
from primacy.machines.timeline import Event, following
from tests.unit.cgtp_tools import until
from tests.unit.client_tools import FakeAgent, FakeCluster

PAGE = 3


class Node:
    """What an agent knows of its events, and how it answers."""

    def __init__(self, agent: FakeAgent) -> None:
        self.agent, self.life, self.events = agent, "a", list[Event]()
        agent.answers["events"] = self.answer

    def publish(self, *, push: bool = True) -> None:
        number = self.events[-1]["number"] + 1 if self.events else 1
        event: Event = {
            "node": "n1",
            "incarnation": self.life,
            "number": number,
            "wall_ns": number,
            "event": {},
        }
        self.events.append(event)
        for stream in self.agent.streams if push else []:
            if stream.closed is None:
                stream.send(encode(EventPushed(event)))

    def answer(self, request: Request) -> Response:
        asked = request.arguments
        found = following(self.events, asked["after"], asked["life"])
        last = found[:PAGE][-1] if found else {"number": asked["after"], "incarnation": asked["life"]}
        page = {"events": found[:PAGE], "after": last["number"], "life": last["incarnation"]}
        return Response(request.id, "done", page | {"more": len(found) > PAGE})


class Reader:
    """A feed, and what was taken from it."""

    def __init__(self, fake: FakeCluster) -> None:
        self.heard: list[tuple[str, int]] = []
        self.all = Heard()
        tls = client_context(fake.client)
        self.feed = EventFeed("n1", fake.agents["n1"].addresses, tls, self.all, lambda: None)

    async def hears(self, *expected: tuple[str, int]) -> None:
        def there() -> bool:
            self.heard += [(event["incarnation"], event["number"]) for event in self.all.take()]
            return len(self.heard) >= len(expected)

        await until(there, f"{expected} are heard")
        assert self.heard == list(expected)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path, nodes=1) as fake:
        yield fake


@pytest.fixture
async def reader(fake: FakeCluster) -> AsyncIterator[Reader]:
    reader = Reader(fake)
    yield reader
    if stream := reader.feed.close():
        await stream.wait_closed()


def numbers(life: str, *each: int) -> list[tuple[str, int]]:
    return [(life, number) for number in each]


async def test_all_pages_are_read_and_then_what_is_pushed(fake: FakeCluster, reader: Reader) -> None:
    node = Node(fake.agents["n1"])
    for _ in range(8):
        node.publish()
    await until(lambda: reader.feed.caught_up, "all pages are read")
    asked = len(fake.agents["n1"].requests)
    node.publish()
    await reader.hears(*numbers("a", *range(1, 10)))
    assert len(fake.agents["n1"].requests) == asked


@pytest.mark.parametrize("pushed_after", [True, False])
async def test_a_push_that_was_dropped_is_asked_for(
    fake: FakeCluster, reader: Reader, pushed_after: bool
) -> None:
    node = Node(fake.agents["n1"])
    node.publish()
    await until(lambda: reader.feed.caught_up, "all pages are read")
    node.publish(push=False)
    if pushed_after:
        node.publish()
    await reader.hears(*numbers("a", *range(1, 4 if pushed_after else 3)))


async def test_the_next_life_is_heard_from_where_the_last_one_ended(
    fake: FakeCluster, reader: Reader
) -> None:
    """The crash has cost the file two events that were pushed already; their numbers are given again."""
    agent = fake.agents["n1"]
    node = Node(agent)
    for _ in range(5):
        node.publish()
    await reader.hears(*numbers("a", 1, 2, 3, 4, 5))
    agent.die()
    await until(lambda: not reader.feed.up, "its links are down")
    await until(lambda: reader.feed.hopeless, "it is gone")
    assert reader.feed.why_silent() not in ("", "no answer")
    del node.events[3:]
    node.life = "b"
    for _ in range(3):
        node.publish()
    await agent.start()
    await reader.hears(*numbers("a", 1, 2, 3, 4, 5), *numbers("b", 4, 5, 6))


async def test_what_was_read_elsewhere_is_not_heard_again(fake: FakeCluster, reader: Reader) -> None:
    agent = fake.agents["n1"]
    node = Node(agent)
    node.publish()
    await reader.hears(("a", 1))
    agent.die()
    for _ in range(4):
        node.publish()
    reader.all.accept(node.events[:3])
    await reader.hears(*numbers("a", 1, 2, 3))
    await agent.start()
    await reader.hears(*numbers("a", 1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("kind", "result", "reasons", "why"),
    [
        ("refused", None, ["no"], "no"),
        ("done", [{"number": 1}], [], "the words of another version"),
        ("done", {"events": 7}, [], "the words of another version"),
    ],
)
async def test_an_agent_that_does_not_tell_is_told_as_such(
    fake: FakeCluster, reader: Reader, kind: str, result: Any, reasons: list[str], why: str
) -> None:
    fake.agents["n1"].answers["events"] = lambda request: Response(request.id, kind, result, reasons)
    await until(lambda: reader.feed.hopeless, "the answer has come")
    assert why in reader.feed.why_silent()
    assert not reader.feed.caught_up
