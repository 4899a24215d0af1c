"""What a service class consists of; and every way to declare it wrongly has its own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import primacy
from primacy.errors import ConfigError
from primacy.machines.description import (
    Health,
    Marks,
    Timer,
    coroutines,
    described,
    mark_kind,
    marks_of,
    service_name,
)
from primacy.machines.host_wire import Callback
from primacy.service import LocalService, Service, describe


class Counted(msgspec.Struct):
    count: int = 0


class Counter(Service[Counted]):
    """Everything a service may have."""

    @primacy.on("failover", level=2, timeout=1, on_failure="retry", retries=3, delay=0.5)
    @primacy.on("switchover")
    async def take_over(self, ctx: Any) -> None: ...

    @primacy.operation
    def increment(self, ctx: Any) -> int:
        self.state.count += 1
        return self.state.count

    @primacy.query
    def count(self) -> int:
        return self.state.count

    @primacy.query(confirm=True)
    def surely(self) -> int:
        return self.state.count

    @primacy.timer(2)
    async def tick(self, ctx: Any) -> None: ...

    @primacy.health(period=3, failures=2)
    async def look(self, ctx: Any) -> None: ...


def test_everything_is_found() -> None:
    found = describe(Counter)
    assert sorted(found.operations) == ["increment"]
    assert sorted(found.queries) == ["count", "surely"]
    assert found.confirmed == {"surely"}
    assert found.timers == [Timer("tick", 2.0)]
    assert found.health == [Health("look", 3.0, 2.0, 2)]
    assert sorted(found.callbacks, key=lambda each: each.function) == [
        Callback("failover", 2, "take_over", 1.0, "retry", 3, 0.5),
        Callback("switchover", 1, "take_over"),
    ]


def test_what_is_inherited_is_found_and_may_be_overridden() -> None:
    class Twice(Counter):
        @primacy.operation
        def increment(self, ctx: Any) -> int:
            self.state.count += 2
            return self.state.count

    assert Twice.state_type is Counted
    assert sorted(describe(Twice).operations) == ["increment"]
    assert "tick" in {timer.name for timer in describe(Twice).timers}


def test_any_coroutine_may_be_registered_as_a_callback_by_somebody_else() -> None:
    class Open(Counter):
        async def undecorated(self, ctx: Any) -> None: ...
        async def _hidden(self, ctx: Any) -> None: ...
        def plain(self) -> None: ...

    found = coroutines(Open)
    assert {"undecorated", "take_over", "tick"} <= found
    assert not {"_hidden", "plain", "increment", "count", "snapshot"} & found


def test_marks_are_kept_on_the_function() -> None:
    def function() -> None: ...

    mark_kind(function, "query").confirm = True
    assert marks_of(function) == Marks(kind="query", confirm=True)


def wrong_async_operation() -> type:
    class Wrong(Service[Counted]):
        @primacy.operation
        async def increment(self, ctx: Any) -> int:
            return 1

    return Wrong


def wrong_generator() -> type:
    class Wrong(Service[Counted]):
        @primacy.query
        def count(self) -> Any:
            yield 1

    return Wrong


def wrong_plain_callback() -> type:
    class Wrong(Service[Counted]):
        @primacy.on("failover")
        def take_over(self, ctx: Any) -> None: ...

    return Wrong


def wrong_twice() -> type:
    class Wrong(Service[Counted]):
        @primacy.on("failover", level=2)
        @primacy.on("failover", level=2)
        async def take_over(self, ctx: Any) -> None: ...

    return Wrong


def wrong_two_kinds() -> type:
    class Wrong(Service[Counted]):
        @primacy.query
        @primacy.operation
        def increment(self, ctx: Any) -> None: ...

    return Wrong


def wrong_operation_as_callback() -> type:
    class Wrong(Service[Counted]):
        @primacy.operation
        @primacy.on("failover")
        def increment(self, ctx: Any) -> None: ...

    return Wrong


def wrong_name() -> type:
    class Wrong(Service[Counted]):
        @primacy.query
        def snapshot(self) -> bytes:
            return b""

    return Wrong


def wrong_state() -> type:
    class Wrong(Service[dict[str, int]]): ...

    return Wrong


def wrong_local() -> type:
    class Wrong(LocalService):
        @primacy.operation
        def increment(self, ctx: Any) -> None: ...

    return Wrong


def wrong_function() -> type:
    class Wrong(Service[Counted]):
        @primacy.on("failver")
        async def take_over(self, ctx: Any) -> None: ...

    return Wrong


def wrong_failure() -> type:
    class Wrong(Service[Counted]):
        @primacy.on("failover", on_failure="panic")
        async def take_over(self, ctx: Any) -> None: ...

    return Wrong


def wrong_numbers() -> type:
    class Wrong(Service[Counted]):
        @primacy.on("failover", timeout=0)
        async def take_over(self, ctx: Any) -> None: ...

    return Wrong


def wrong_timer() -> type:
    class Wrong(Service[Counted]):
        @primacy.timer(0)
        async def tick(self, ctx: Any) -> None: ...

    return Wrong


def wrong_health() -> type:
    class Wrong(Service[Counted]):
        @primacy.health(period=0)
        async def look(self, ctx: Any) -> None: ...

    return Wrong


def wrong_two_checks() -> type:
    class Wrong(Service[Counted]):
        @primacy.health()
        async def look(self, ctx: Any) -> None: ...

        @primacy.health()
        async def listen(self, ctx: Any) -> None: ...

    return Wrong


def wrong_plain_check() -> type:
    class Wrong(Service[Counted]):
        @primacy.health()
        def look(self, ctx: Any) -> None: ...

    return Wrong


def wrong_local_check() -> type:
    class Wrong(LocalService):
        @primacy.health()
        async def look(self, ctx: Any) -> None: ...

    return Wrong


def wrong_base() -> type:
    return Counted


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (wrong_async_operation, r"Wrong\.increment: .*@operation is for a plain `def`"),
        (wrong_generator, r"Wrong\.count: .*@query is for a plain `def`"),
        (wrong_plain_callback, r"Wrong\.take_over: .*callbacks, timers and health checks are coroutines"),
        (wrong_twice, r"@on\('failover', level=2\) twice"),
        (wrong_two_kinds, "both @operation and @query"),
        (wrong_operation_as_callback, "@operation and @on"),
        (wrong_name, "the name 'snapshot'"),
        (wrong_state, "a msgspec Struct"),
        (wrong_local, "a local service has callbacks only"),
        (wrong_function, "function 'failver'; one of: initialize, shutdown"),
        (wrong_failure, "one of: refuse, retry, restart, escalate"),
        (wrong_numbers, "the time-out is more than 0 s"),
        (wrong_timer, "more than 0 s"),
        (wrong_health, "more than 0 s each, and at least one failure"),
        (wrong_two_checks, "several @health: listen, look"),
        (wrong_plain_check, r"Wrong\.look: .*health checks are coroutines"),
        (wrong_local_check, "a local service has callbacks only"),
        (wrong_base, "a class derived from primacy.Service or LocalService"),
    ],
)
def test_what_is_wrong_has_its_own_words(make: Callable[[], type], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        describe(make())


def test_described_is_what_describe_uses() -> None:
    assert described(Counter, reserved=set(), local=False).confirmed == {"surely"}


@pytest.mark.parametrize(
    ("name", "kebab"), [("Inventory", "inventory"), ("KeyValue", "key-value"), ("HTTPDoor2", "http-door2")]
)
def test_a_service_is_named_after_its_class(name: str, kebab: str) -> None:
    assert service_name(name) == kebab
