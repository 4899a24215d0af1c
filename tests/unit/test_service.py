"""What an author writes, as its replica drives it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import primacy
from primacy.errors import ConfigError
from primacy.machines.call_wire import DONE, INVALID, RAISED
from primacy.machines.replica import Replica
from primacy.service import LocalService, NoState, OperationContext, Service, ServiceModel

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Stock(msgspec.Struct):
    count: dict[str, int] = {}
    names: set[str] = set()


class Inventory(Service[Stock]):
    """The example of the manual, with everything that can go wrong."""

    @primacy.operation
    def add(self, ctx: OperationContext, article: str, count: int) -> int:
        self.state.count[article] = self.state.count.get(article, 0) + count
        return self.state.count[article]

    @primacy.operation
    def told(self, ctx: OperationContext) -> list[Any]:
        first = ctx.random.random()
        return [
            ctx.time_ns,
            ctx.term,
            ctx.sequence,
            ctx.session,
            ctx.service_name,
            first,
            ctx.random.random(),
        ]

    @primacy.operation
    def fail(self, ctx: OperationContext) -> None:
        raise KeyError(object())

    @primacy.operation
    def unspeakable(self, ctx: OperationContext) -> Any:
        return object()

    @primacy.operation
    def huge(self, ctx: OperationContext) -> bytes:
        return b"x" * 2_000_000

    @primacy.operation
    def shout(self, ctx: OperationContext, size: int) -> None:
        ctx.publish("shout", b"x" * size)

    @primacy.query
    def stock(self, article: str) -> int:
        return self.state.count[article]

    @primacy.query(confirm=True)
    def surely(self) -> int:
        return 1


def made() -> tuple[ServiceModel, Replica]:
    model = ServiceModel(Inventory())
    replica = Replica("inventory", model)
    replica.turn(3, 1_000, 0)
    replica.sequence = 8
    return model, replica


def execute(model: ServiceModel, replica: Replica, operation: str, **arguments: Any) -> tuple[int, Any]:
    outcome, payload = model.execute(model.prepare(operation, encode(arguments)), replica, 5)
    return outcome, decode(payload)


def test_operations_and_queries() -> None:
    model, replica = made()
    assert execute(model, replica, "add", article="bolt", count=3) == (DONE, 3)
    assert execute(model, replica, "add", article="bolt", count=4) == (DONE, 7)
    assert model.answer("stock", encode({"article": "bolt"})) == (DONE, b"\x07")
    assert model.confirms("surely")
    assert not model.confirms("stock")


def test_what_an_operation_is_told_is_the_same_everywhere() -> None:
    told = [execute(*made(), "told") for _ in range(2)]
    assert told[0] == told[1]
    assert told[0][1][:5] == [1_000, 3, 8, 5, "inventory"]
    assert told[0][1][5] != told[0][1][6]


def test_an_exception_is_a_result_without_addresses() -> None:
    outcome, (kind, message) = execute(*made(), "fail")
    assert (outcome, kind, message) == (RAISED, "KeyError", "<object object>")


@pytest.mark.parametrize(
    ("operation", "kind", "words"),
    [("unspeakable", "TypeError", "Encoding objects"), ("huge", "ValueError", "at most 1000000")],
)
def test_a_result_that_cannot_be_sent_is_an_exception(operation: str, kind: str, words: str) -> None:
    outcome, raised = execute(*made(), operation)
    assert (outcome, raised[0]) == (RAISED, kind)
    assert words in raised[1]


def test_events_are_published_within_limits() -> None:
    model, replica = made()
    assert execute(model, replica, "shout", size=10) == (DONE, None)
    assert (replica.events[0].topic, replica.events[0].sequence) == ("shout", 8)
    assert execute(model, replica, "shout", size=300_000)[0] == RAISED


def test_invalid_calls_are_told_before_they_are_logged() -> None:
    model, replica = made()
    assert model.prepare("steal", b"\x80").startswith("there is no operation 'steal'; there is: add, fail")
    wrong = model.prepare("add", encode({"article": "bolt"}))
    assert wrong == "Inventory.add: Object missing required field `count`"
    assert model.execute(wrong, replica, 0) == (INVALID, encode(wrong))
    assert isinstance(model.prepare("add", b"\xc1"), str)
    assert model.answer("add", b"\x80")[0] == INVALID
    assert model.answer("stock", b"\x80")[0] == INVALID
    outcome, payload = model.answer("stock", encode({"article": "none"}))
    assert (outcome, decode(payload)) == (RAISED, ["KeyError", "'none'"])


def test_the_default_snapshot_is_the_state() -> None:
    model, replica = made()
    execute(model, replica, "add", article="bolt", count=3)
    model.service.state.names = {"b", "a"}
    other = ServiceModel(Inventory())
    other.restore(model.snapshot())
    assert other.service.state == model.service.state
    assert other.digest() == model.digest()


def test_snapshots_may_be_the_authors_own() -> None:
    class Own(Service[Stock]):
        def snapshot(self) -> bytes:
            return encode(sorted(self.state.names))

        def restore(self, snapshot: bytes) -> None:
            self.state.names = set(decode(snapshot))

    one, other = Own(), Own()
    one.state.names = {"b", "a"}
    other.restore(one.snapshot())
    assert other.state == one.state
    assert other.digest() == one.digest() == one.snapshot()


def test_each_service_begins_with_a_state_of_its_own() -> None:
    one, other = Inventory(), Inventory()
    one.state.count["bolt"] = 1
    assert other.state.count == {}
    assert isinstance(Service.__new__(Service).state, NoState)
    assert LocalService().primaries is None


def test_a_state_that_cannot_be_made_is_refused() -> None:
    class Needs(msgspec.Struct):
        value: int

    class Wrong(Service[Needs]): ...

    with pytest.raises(ConfigError, match="whose fields all have defaults"):
        Wrong()
