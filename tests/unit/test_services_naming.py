"""The naming service itself: its operations as a replica runs them, and what ends by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from primacy.errors import InvalidName, NameExists, NameNotFound, Refused
from primacy.machines import naming
from primacy.machines.naming import Change, Entry
from primacy.services.naming import NODE_ABSENT_S, SILENCE_S, Naming


class Context:
    """An operation's context: each `at` is the next entry of the log."""

    def __init__(self) -> None:
        self.sequence = 0
        self.session = 0
        self.published: list[tuple[str, Change]] = []

    def at(self, session: int = 0) -> Any:
        self.sequence += 1
        self.session = session
        return self

    def publish(self, topic: str, event: Change) -> None:
        self.published.append((topic, event))


class Timer:
    """A timer's context: which sessions live, how long each has been silent, who is a member."""

    def __init__(self, service: Naming, ctx: Context) -> None:
        self.nodes = ["n1", "n2"]
        self.silent_s: dict[int, float] = {}
        self.ended: list[dict[str, Any]] = []
        self._service, self._ctx = service, ctx

    def silent_sessions(self, seconds: float) -> list[int]:
        return [session for session, silent_s in self.silent_s.items() if silent_s >= seconds]

    async def call(self, operation: str, **arguments: Any) -> Any:
        self.ended.append(arguments)
        return getattr(self._service, operation)(self._ctx.at(), **arguments)


@pytest.fixture
def ctx() -> Context:
    return Context()


@pytest.fixture
def service() -> Naming:
    return Naming()


@pytest.fixture
def timer(service: Naming, ctx: Context) -> Any:
    return Timer(service, ctx)


def test_every_change_is_published_under_its_name(service: Naming, ctx: Context) -> None:
    assert service.bind(ctx.at(), "a", "x", {"k": "v"}) == 1
    assert service.rebind(ctx.at(), "a", "y") == 2
    assert service.unbind(ctx.at(), "a") == 3
    assert [(topic, event.name, event.version) for topic, event in ctx.published] == [
        ("a", "a", 1),
        ("a", "a", 2),
        ("a", "a", 3),
    ]
    assert [event.binding and event.binding.endpoint for _, event in ctx.published] == ["x", "y", None]


def test_what_is_refused_changes_nothing(service: Naming, ctx: Context) -> None:
    service.bind(ctx.at(), "a", "x")
    before = msgspec.msgpack.encode(service.state)
    with pytest.raises(NameExists) as exists:
        service.bind(ctx.at(), "a", "y")
    assert str(exists.value) == "name 'a': bound already; unbind it first, or rebind"
    with pytest.raises(NameExists):
        service.bind_many(ctx.at(), [Entry("b", ""), Entry("a", "")])
    with pytest.raises(InvalidName):
        service.bind_many(ctx.at(), [Entry("b", ""), Entry("a b", "")])
    with pytest.raises(InvalidName, match="no session"):
        service.bind(ctx.at(session=0), "b", "", lifetime="session")
    with pytest.raises(Refused, match="501 names"):
        service.bind_many(ctx.at(), [Entry(f"n{number}", "") for number in range(501)])
    with pytest.raises(NameNotFound):
        service.unbind(ctx.at(), "b")
    with pytest.raises(NameNotFound):
        service.resolve("b")
    with pytest.raises(InvalidName):
        service.listing("/")
    assert msgspec.msgpack.encode(service.state) == before
    assert len(ctx.published) == 1


def test_the_number_of_names_is_limited(service: Naming, ctx: Context) -> None:
    for first in range(0, naming.BINDINGS_MAX, naming.ENTRIES_MAX):
        names = range(first, first + naming.ENTRIES_MAX)
        service.bind_many(ctx.at(), [Entry(f"n{number:05}", "") for number in names])
    with pytest.raises(Refused, match="40000 names; at most 40000"):
        service.bind(ctx.at(), "c", "")
    service.bind_many(ctx.at(), [Entry("n00000", "x"), Entry("n00001", "y")], replace=True)


def test_release_ends_what_the_session_owns(service: Naming, ctx: Context) -> None:
    service.bind(ctx.at(session=7), "a", "", lifetime="session")
    service.bind(ctx.at(session=7), "b", "")
    service.bind(ctx.at(session=8), "c", "", lifetime="session")
    assert service.release(ctx.at(session=7)) == 1
    assert service.state.names == ["b", "c"]


async def test_names_of_a_silent_session_end(service: Naming, ctx: Context, timer: Any) -> None:
    service.bind(ctx.at(session=7), "a", "", lifetime="session")
    service.bind(ctx.at(session=8), "b", "", lifetime="session")
    timer.silent_s = {7: SILENCE_S - 1, 8: 0.0, 9: 1000.0}
    await service.expire(timer)
    assert timer.ended == [], "nothing is logged while nothing ends"
    timer.silent_s[7] = SILENCE_S
    await service.expire(timer)
    assert timer.ended == [{"sessions": [7], "nodes": [], "upto": 2}]
    assert service.state.names == ["b"]


async def test_names_of_a_session_that_has_ended_end(service: Naming, ctx: Context, timer: Any) -> None:
    service.bind(ctx.at(session=7), "a", "", lifetime="session")
    await service.expire(timer)
    assert service.state.names == []


def test_a_name_bound_after_the_timer_looked_stays(service: Naming, ctx: Context) -> None:
    service.bind(ctx.at(session=7), "old", "", lifetime="session")
    upto = service.state.version
    service.bind(ctx.at(session=7), "new", "", lifetime="session")
    assert service.end_owners(ctx.at(), [7], [], upto) == ["old"]
    assert service.state.names == ["new"]


async def test_names_of_a_node_end_when_it_has_left(service: Naming, ctx: Context, timer: Any) -> None:
    service.bind(ctx.at(), "a", "", lifetime="node:n2")
    service.bind(ctx.at(), "b", "", lifetime="node:n1")
    timer.nodes = ["n1"]
    for _ in range(NODE_ABSENT_S):
        await service.expire(timer)
    timer.nodes = ["n1", "n2"]
    await service.expire(timer)
    assert service.state.names == ["a", "b"], "it came back in time"
    timer.nodes = ["n1"]
    for _ in range(NODE_ABSENT_S + 1):
        await service.expire(timer)
    assert service.state.names == ["b"]
    timer.nodes = []
    for _ in range(NODE_ABSENT_S + 1):
        await service.expire(timer)
    assert service.state.names == ["b"], "a primary that knows no members yet ends nothing"


def test_a_snapshot_holds_everything(service: Naming, ctx: Context) -> None:
    service.bind(ctx.at(session=7), "a/b", "x", {"k": "v"}, "session")
    service.bind(ctx.at(), "c", "y", {}, "node:n1")
    other = Naming()
    other.restore(service.snapshot())
    assert other.state == service.state
    assert other.digest() == service.digest()
